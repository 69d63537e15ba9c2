//! Addresses that do not answer, and addresses that change.

use std::net::UdpSocket;
use std::num::NonZeroU32;
use std::time::SystemTime;

use bytes::Bytes;
use runnel_certs::Role;
use runnel_codec::{Class, CloseCode, ControlFrame};
use runnel_transport::{CloseReason, DialRequest, EndpointKeys, LinkEvent, Side, TransportConfig};

use crate::harness::{Nodes, Pair, authority, endpoint, endpoint_with, head, identity, request};

#[tokio::test]
async fn the_second_address_is_tried_when_the_first_is_silent() {
    let mut nodes = Nodes::new();
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let silent_address = silent.local_addr().expect("an address");
    let mut dialler = nodes.dialler.dial(request("w1", &[silent_address, nodes.address]));
    let acceptor = std::future::poll_fn(|cx| {
        assert!(dialler.poll_event(cx).is_pending());
        nodes.acceptor.poll_accept(cx)
    });
    let acceptor = acceptor.await;
    let mut pair = Pair { dialler, acceptor };
    pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Connected)).await;
    assert_eq!(pair.dialler.remote_address(), Some(nodes.address));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_unreachable() {
    let mut nodes = Nodes::new();
    let peer = "w1".parse().expect("a valid name");
    let mut link = nodes.dialler.dial(DialRequest { peer, addresses: vec!["nowhere".into()] });
    let event = std::future::poll_fn(|cx| link.poll_event(cx)).await;
    let LinkEvent::Closed(closed) = event else { panic!("{event:?}") };
    assert!(matches!(&closed.reason, CloseReason::Unreachable { text } if text.starts_with("nowhere: ")));
    assert!(!closed.was_answered());
}

#[tokio::test]
async fn beyond_the_handshakes_at_once_a_peer_proves_its_address_and_is_taken() {
    let authority = authority("lab");
    let dialler = identity(&authority, "c1", Role::Controller, &[]);
    let acceptor = identity(&authority, "w1", Role::Worker, &[]);
    let one_at_once = TransportConfig { handshakes_max: NonZeroU32::MIN, ..TransportConfig::default() };
    let mut nodes = Nodes::with(
        endpoint(&dialler, TransportConfig::default(), SystemTime::now()),
        endpoint(&acceptor, one_at_once, SystemTime::now()),
    );
    // Nobody moves the first handshake on, so it counts as long as its link is held.
    let Pair { dialler: _first, acceptor: held } = nodes.connect().await;
    let mut pair = nodes.connect().await;
    pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Connected)).await;
    drop(held);
}

#[tokio::test]
async fn a_link_goes_on_when_the_dialling_socket_moves() {
    let mut nodes = Nodes::new();
    let mut pair = nodes.link().await;
    let before = pair.acceptor.remote_address();
    nodes.dialler.network_changed();
    let stream = pair.send(&head(Class::Normal), Bytes::new()).await;
    assert_ne!(pair.acceptor.remote_address(), before);
    assert_eq!(pair.acceptor.stats().migrations, 1);
    pair.acceptor.reset(stream, CloseCode::Detached);
    pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Lost { .. })).await;
}

#[tokio::test]
async fn a_closed_endpoint_ends_its_links_and_takes_no_more() {
    let mut nodes = Nodes::new();
    let mut pair = nodes.link().await;
    nodes.acceptor.close(CloseCode::Normal, "shutting down");
    let (dialler, _) = pair.until_closed().await;
    let text = "shutting down".to_owned();
    assert_eq!(
        dialler.reason,
        CloseReason::Remote { code: Some(CloseCode::Normal), text, retry_after: None }
    );
    nodes.acceptor.wait_idle().await;
    for _ in 0..2 {
        let poll =
            std::future::poll_fn(|cx| std::task::Poll::Ready(nodes.acceptor.poll_accept(cx).is_pending()));
        assert!(poll.await);
    }
}

#[tokio::test]
async fn a_crashed_peer_that_kept_its_keys_says_so_to_the_next_packet() {
    let authority = authority("lab");
    let dialler = identity(&authority, "c1", Role::Controller, &[]);
    let acceptor = identity(&authority, "w1", Role::Worker, &[]);
    let (config, now) = (TransportConfig::default(), SystemTime::now());
    let keys = EndpointKeys::from_bytes(&[5; EndpointKeys::BYTES]);
    let (before, env) = endpoint_with(&acceptor, config.clone(), now, keys.clone());
    let mut nodes = Nodes::with(endpoint(&dialler, config.clone(), now), before);
    let Pair { mut dialler, acceptor: _ } = nodes.link().await;

    env.kill().await;
    let (after, _env) = endpoint_with(&acceptor, config, now, keys);
    nodes.acceptor = after;
    nodes.acceptor.listen(nodes.address).expect("the same port");
    dialler.send_control(&ControlFrame::Heartbeat);
    loop {
        if let LinkEvent::Closed(closed) = std::future::poll_fn(|cx| dialler.poll_event(cx)).await {
            assert_eq!(closed.reason, CloseReason::Reset);
            return;
        }
    }
}
