//! What the system grants sockets, and how large packets become.

use std::time::SystemTime;

use runnel_certs::Role;
use runnel_codec::ControlFrame;
use runnel_transport::{LinkEvent, Side, SocketStats, TransportConfig};

use crate::harness::{Nodes, Pair, authority, endpoint, identity};

/// Two nodes of one fleet with the same settings.
fn nodes(config: &TransportConfig) -> Nodes {
    let authority = authority("lab");
    let make =
        |node, role| endpoint(&identity(&authority, node, role, &[]), config.clone(), SystemTime::now());
    Nodes::with(make("c1", Role::Controller), make("w1", Role::Worker))
}

/// The sockets of both nodes, after a link between them.
async fn sockets(config: &TransportConfig) -> Vec<SocketStats> {
    let mut nodes = nodes(config);
    let _pair = nodes.link().await;
    let sockets = [nodes.acceptor.sockets(), nodes.dialler.sockets()].concat();
    assert!(sockets.len() >= 2, "one listens, one dials: {sockets:?}");
    sockets
}

/// Sends small frames one after the other, until the dialler has found that the path carries so much.
async fn until_mtu(pair: &mut Pair, mtu: u16) {
    for _ in 0..FRAMES_MAX {
        if pair.dialler.stats().mtu >= mtu {
            return;
        }
        pair.dialler.send_control(&ControlFrame::Heartbeat);
        let is_heartbeat = |event: &LinkEvent| matches!(event, LinkEvent::Control(ControlFrame::Heartbeat));
        pair.until(Side::Acceptor, is_heartbeat).await;
    }
    panic!("the path was not found to carry {mtu} bytes: {:?}", pair.dialler.stats());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn buffers_are_what_the_system_grants() {
    let bound = |name: &str| {
        let bound = std::fs::read_to_string(format!("/proc/sys/net/core/{name}"));
        bound.expect("Linux says it").trim().parse::<u32>().expect("a number")
    };
    let (receive_max, send_max) = (bound("rmem_max"), bound("wmem_max"));
    let asked = receive_max.max(send_max).saturating_add(1 << 20);
    let config = TransportConfig { socket_buffer_bytes: asked, ..TransportConfig::default() };
    for socket in sockets(&config).await {
        assert_eq!(socket.buffer_bytes_asked, asked);
        assert_eq!(socket.receive_buffer_bytes, Some(receive_max));
        assert_eq!(socket.send_buffer_bytes, Some(send_max));
    }
    let small = receive_max.min(send_max).min(64 << 10);
    let config = TransportConfig { socket_buffer_bytes: small, ..TransportConfig::default() };
    for socket in sockets(&config).await {
        assert_eq!((socket.receive_buffer_bytes, socket.send_buffer_bytes), (Some(small), Some(small)));
    }
}

#[tokio::test]
async fn packets_go_one_by_one_where_the_settings_say_so() {
    let offered = sockets(&TransportConfig::default()).await;
    assert!(offered.iter().all(|socket| socket.send_segments == socket.send_segments_offered));
    let config = TransportConfig { segmentation_offload: false, ..TransportConfig::default() };
    for (socket, offered) in sockets(&config).await.iter().zip(&offered) {
        assert_eq!((socket.send_segments, socket.send_segments_offered), (1, offered.send_segments));
        assert_eq!(socket.receive_segments, offered.receive_segments);
    }
}

#[tokio::test]
async fn packets_become_as_large_as_loopback_and_both_ends_allow() {
    let config = TransportConfig { mtu_max: LARGE, ..TransportConfig::default() };
    let mut nodes = nodes(&config);
    let mut pair = nodes.link().await;
    until_mtu(&mut pair, config.mtu_max - MINIMUM_CHANGE).await;
    let stats = pair.dialler.stats();
    assert!(stats.mtu <= config.mtu_max, "{stats:?}");
    assert!(stats.mtu_probes_sent > 0, "{stats:?}");
    assert_eq!(stats.black_holes, 0, "{stats:?}");
}

#[tokio::test]
async fn a_peer_that_takes_less_gets_less() {
    let (larger, smaller) = (
        TransportConfig { mtu_max: LARGE, ..Default::default() },
        TransportConfig { mtu_max: 1472, ..Default::default() },
    );
    let authority = authority("lab");
    let mut nodes = Nodes::with(
        endpoint(&identity(&authority, "c1", Role::Controller, &[]), larger, SystemTime::now()),
        endpoint(&identity(&authority, "w1", Role::Worker, &[]), smaller, SystemTime::now()),
    );
    let mut pair = nodes.link().await;
    until_mtu(&mut pair, 1472 - MINIMUM_CHANGE).await;
    assert!(pair.dialler.stats().mtu <= 1472, "{:?}", pair.dialler.stats());
}

/// A payload that no Ethernet carries.
const LARGE: u16 = 6500;

/// Probing stops this near to its bound (quinn's default).
const MINIMUM_CHANGE: u16 = 20;

/// A probe goes beside one of these; ten steps are needed, with some room for loss.
const FRAMES_MAX: u32 = 200;
