//! Two processes with one identity, over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use runnel::certs::Role;
use runnel::codec::CloseCode;
use runnel::commands::Ping;
use runnel::{CloseReason, Config, Handlers, Node, NodeBuilder, Status, SubmitOptions};
use runnel_tests::fleet::TestFleet;
use tokio::sync::watch;

/// Starts a worker that comes back fast, and keeps its status fresh.
async fn start_worker(
    fleet: &TestFleet,
    name: &str,
    controller: SocketAddr,
) -> (Node, watch::Receiver<Arc<Status>>) {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    let mut config = Config::default();
    config.reconnect.pause_min = Duration::from_millis(1);
    config.reconnect.silent_pause_max = Duration::from_millis(20);
    let builder = NodeBuilder::new(fleet.identity(name, Role::Worker))
        .config(config)
        .handlers(handlers)
        .peer("c1".parse().expect("a valid name"), [controller.to_string()]);
    let node = builder.start().await.expect("the worker starts");
    let status = node.handle().status();
    (node, status)
}

/// Waits until a node is told that it is one of two.
async fn refused(mut status: watch::Receiver<Arc<Status>>) -> String {
    let controller = "c1".parse().expect("a valid name");
    let reason = |status: &Status| status.end(&controller).map(|end| end.reason.clone());
    let is_told = |reason: &Option<CloseReason>| {
        matches!(reason, Some(CloseReason::Remote { code: Some(CloseCode::DuplicateNode), .. }))
    };
    let told = status.wait_for(|status| is_told(&reason(status))).await.expect("the node runs");
    reason(&told).map(|reason| reason.to_string()).expect("it has just been there")
}

#[tokio::test]
async fn a_cloned_node_is_told_so_and_others_are_served() {
    let fleet = TestFleet::new(SystemTime::now());
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let builder = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(listen);
    let controller = builder.start().await.expect("the controller starts");
    let address = controller.handle().listening()[0];

    let (original, original_status) = start_worker(&fleet, "w1", address).await;
    let (clone, clone_status) = start_worker(&fleet, "w1", address).await;
    // Which of the two is refused is a matter of timing.
    let told = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            told = refused(original_status) => told,
            told = refused(clone_status) => told,
        }
    });
    let told = told.await.expect("one of the two is refused");
    assert!(told.contains("stop one of them, or issue it an identity of its own"), "{told}");

    let (other, _status) = start_worker(&fleet, "w2", address).await;
    controller.handle().wait_for_link(other.handle().node()).await.expect("the controller runs");
    for node in ["w1", "w2"] {
        let node = node.parse().expect("a valid name");
        controller.handle().wait_for_link(&node).await.expect("the controller runs");
        let ping = controller.handle().submit::<Ping>(&node, &7, SubmitOptions::default()).await;
        let outcome = ping.expect("there is room").outcome();
        assert_eq!(tokio::time::timeout(PATIENCE, outcome).await.expect("an answer"), Ok(7), "{node}");
    }
    for node in [original, clone, other, controller] {
        node.shutdown().await;
    }
}

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
