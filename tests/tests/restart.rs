//! A node that crashes and comes back at the same address: how soon its peers know, over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use runnel::certs::{Identity, Role};
use runnel::codec::Command;
use runnel::{
    CloseReason, Config, Context, EndpointKeys, HandlerError, Handlers, LinkEnd, NodeBuilder, SubmitOptions,
};
use runnel_tests::crashing::CrashingNode;
use runnel_tests::fleet::TestFleet;

/// Runs until it is told to stop.
enum Linger {}

impl Command for Linger {
    const NAME: &'static str = "test.linger/1";
    type Args = ();
    type Update = ();
    type Result = ();
}

async fn controller(identity: Identity, listen: SocketAddr, keys: EndpointKeys) -> CrashingNode {
    CrashingNode::start(NodeBuilder::new(identity).listen(listen).endpoint_keys(keys)).await
}

fn worker(identity: Identity, controller: SocketAddr) -> NodeBuilder {
    let mut handlers = Handlers::new();
    handlers.on::<Linger, _, _>(|context: Context<Linger>, ()| async move {
        let reason = context.stop_signal().stopped().await;
        Err(HandlerError::stopped(reason, "told to stop"))
    });
    let mut config = Config::default();
    config.liveness.owed_interval = Duration::from_millis(100);
    NodeBuilder::new(identity)
        .config(config)
        .handlers(handlers)
        .peer("c1".parse().expect("a valid name"), [controller.to_string()])
}

/// Crashes a controller that waits for a command, starts it again with the same keys, and returns how the worker's link
/// ended.
async fn crash_and_restart(keys: EndpointKeys) -> LinkEnd {
    let fleet = TestFleet::new(SystemTime::now());
    let identity = || fleet.identity("c1", Role::Controller);
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let before = controller(identity(), any_port, keys.clone()).await;
    let address = before.handle().listening()[0];
    let worker = worker(fleet.identity("w1", Role::Worker), address).start().await.expect("it starts");
    let peer = worker.handle().node().clone();
    before.handle().wait_for_link(&peer).await.expect("the controller runs");
    let mut running = before.handle().submit::<Linger>(&peer, &(), SubmitOptions::default()).await;
    running.as_mut().expect("there is room").progress().await.expect("it starts").expect("it is known");

    before.crash();
    let after = controller(identity(), address, keys).await;
    let mut status = worker.handle().status();
    let peer_of_worker = after.handle().node().clone();
    let ended = status.wait_for(|status| status.end(&peer_of_worker).is_some());
    let end =
        ended.await.expect("the worker runs").end(&peer_of_worker).cloned().expect("it has just been there");
    after.handle().wait_for_link(&peer).await.expect("the controller runs");
    worker.shutdown().await;
    after.crash();
    end
}

#[tokio::test]
async fn a_restart_with_the_same_keys_resets_the_old_link() {
    // A timeout of ours, or a newer link beside the old one, would be another reason.
    let end = crash_and_restart(EndpointKeys::from_bytes(&[7; EndpointKeys::BYTES])).await;
    assert_eq!((end.number.map(|number| number.to_wire()), end.reason), (Some(1), CloseReason::Reset));
}
