//! Two processes with one identity, over real sockets, and on a simulated network where a minute passes at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use runnel::certs::Role;
use runnel::codec::CloseCode;
use runnel::commands::Ping;
use runnel::{
    CloseReason, Config, Handlers, LinkChange, LinkChanges, Node, NodeBuilder, Status, SubmitOptions,
};
use runnel_tests::fleet::TestFleet;
use runnel_tests::sim::{Network, PathConfig, SimEnv};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

#[tokio::test(start_paused = true)]
async fn a_refused_clone_does_not_come_again_before_the_pause_that_it_was_told() {
    let network = Network::new(1, PathConfig::clean(Duration::from_millis(20)));
    let mut tasks = JoinSet::new();
    tasks.spawn(network.clone().run());
    let fleet = TestFleet::new(SimEnv::first_day());
    let listen = SocketAddr::from(([10, 0, 0, 1], 4433));
    let mut start = |builder: NodeBuilder, host: IpAddr, seed| {
        let env = SimEnv::new(network.clone(), host, seed);
        let (node, engine) = builder.start_in(env, CancellationToken::new()).expect("the node starts");
        tasks.spawn(engine);
        node
    };
    let controller = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(listen);
    let _controller = start(controller, listen.ip(), 1);
    let [(_first, mut of_first), (_second, mut of_second)] = [2, 3].map(|number: u8| {
        let clone = NodeBuilder::new(fleet.identity("w1", Role::Worker))
            .peer("c1".parse().expect("a valid name"), [listen.to_string()]);
        let node = start(clone, IpAddr::from([10, 0, 0, number]), number.into());
        let changes = node.link_changes().expect("the node runs");
        (node, changes)
    });
    // Which of the two is refused is a matter of the seed.
    let (pause, mut changes) = tokio::select! {
        pause = asked_pause(&mut of_first) => (pause, of_first),
        pause = asked_pause(&mut of_second) => (pause, of_second),
    };
    assert!(pause > Duration::from_secs(30), "the alternations count for a minute: {pause:?}");
    let refused_at = Instant::now();
    changes.next().await.expect("the node runs and is listened to");
    let came_after = refused_at.elapsed();
    assert!(
        came_after >= pause && came_after < pause + Duration::from_secs(3),
        "{came_after:?}, asked {pause:?}"
    );
}

/// Waits until a node is turned away as one of two. Returns for how long it is asked to stay away.
async fn asked_pause(changes: &mut LinkChanges) -> Duration {
    loop {
        let change = changes.next().await.expect("the node runs and is listened to");
        let (LinkChange::Failed { reason, .. } | LinkChange::Down { reason, .. }) = change else { continue };
        if let CloseReason::Remote { code: Some(CloseCode::DuplicateNode), retry_after, .. } = reason {
            return retry_after.expect("who is refused is told when to come again");
        }
    }
}

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
