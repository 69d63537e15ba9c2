//! Commands called like functions, between nodes that share one thread with their callers and handlers.

use bytes::Bytes;
use runnel::certs::Role;
use runnel::codec::{Command, FailureKind, NodeId, RejectionKind};
use runnel::commands::Ping;
use runnel::{
    CallError, Context, HandlerError, Handlers, Node, NodeBuilder, NotDone, SubmitError, SubmitOptions,
};
use runnel_tests::fleet::TestFleet;
use runnel_tests::patience::patient;
use runnel_tests::route::local;
use tokio::task::JoinSet;

/// Counts down from its argument, one update a step, and fails for 13.
enum CountDown {}

impl Command for CountDown {
    const NAME: &'static str = "test.countdown/1";
    type Args = u64;
    type Update = u64;
    type Result = u64;
}

/// A command that nobody handles.
enum Unheard {}

impl Command for Unheard {
    const NAME: &'static str = "test.unheard/1";
    type Args = ();
    type Update = u64;
    type Result = ();
}

struct Nodes {
    controller: Node,
    worker: Node,
    name: NodeId,
}

impl Nodes {
    async fn start() -> Self {
        let fleet = TestFleet::today();
        let mut handlers = Handlers::new();
        handlers.on_inline::<Ping, _>(Ok);
        handlers.on::<CountDown, _, _>(|mut context: Context<CountDown>, from| async move {
            for number in (0..from).rev() {
                context.update(&number).await?;
            }
            if from == 13 { Err(HandlerError::new("unlucky")) } else { Ok(from) }
        });
        let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker)).handlers(handlers);
        let worker = worker.listen(local()).start_here().expect("the worker starts");
        let (name, address) = (worker.handle().node().clone(), worker.handle().listening()[0].to_string());
        let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller));
        let controller =
            controller.peer(name.clone(), [address]).start_here().expect("the controller starts");
        patient("the link", controller.handle().wait_for_link(&name)).await.expect("the controller runs");
        Self { controller, worker, name }
    }

    async fn call<C: Command>(&self, args: C::Args) -> Result<C::Result, CallError> {
        let call = self.controller.handle().call::<C>(&self.name, &args, SubmitOptions::default());
        patient("the end of the call", call).await
    }

    async fn stop(self) {
        patient("the nodes to stop", async {
            self.worker.shutdown().await;
            self.controller.shutdown().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_call_returns_the_result_whatever_updates_its_handler_sends() {
    let nodes = Nodes::start().await;
    assert_eq!(nodes.call::<Ping>(7).await.expect("it succeeds"), 7);
    assert_eq!(nodes.call::<CountDown>(2000).await.expect("it succeeds"), 2000);
    nodes.stop().await;
}

#[tokio::test]
async fn many_calls_at_once_get_each_its_own_result() {
    let nodes = Nodes::start().await;
    let mut calls = JoinSet::new();
    for number in 0..500 {
        let (handle, name) = (nodes.controller.handle().clone(), nodes.name.clone());
        calls.spawn(
            async move { (number, handle.call::<Ping>(&name, &number, SubmitOptions::default()).await) },
        );
    }
    while let Some(called) = patient("the calls", calls.join_next()).await {
        let (number, result) = called.expect("callers do not panic");
        assert_eq!(result.expect("it succeeds"), number);
    }
    nodes.stop().await;
}

#[tokio::test]
async fn a_call_without_a_result_says_why() {
    let nodes = Nodes::start().await;
    match nodes.call::<CountDown>(13).await {
        Err(CallError::NotDone(NotDone::Failed(failure))) => {
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Handler, "unlucky"));
        }
        other => panic!("{other:?}"),
    }
    match nodes.call::<Unheard>(()).await {
        Err(CallError::NotDone(NotDone::Rejected(rejection))) => {
            assert_eq!(rejection.kind, RejectionKind::UnknownCommand);
        }
        other => panic!("{other:?}"),
    }
    nodes.stop().await;
}

#[tokio::test]
async fn a_call_that_is_not_stored_says_so() {
    let nodes = Nodes::start().await;
    let options = SubmitOptions { payload: Bytes::from(vec![0; 2 << 20]), ..SubmitOptions::default() };
    let call = nodes.controller.handle().call::<Ping>(&nodes.name, &1, options);
    match patient("the end of the call", call).await {
        Err(CallError::NotStored(SubmitError::Queue(error))) => {
            assert!(error.to_string().contains("exceeds the limit"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    nodes.stop().await;
}

#[tokio::test]
async fn a_call_of_a_node_that_stops_ends() {
    let nodes = Nodes::start().await;
    let (handle, nobody) = (nodes.controller.handle().clone(), "nobody".parse::<NodeId>().expect("a name"));
    let waiting =
        tokio::spawn(async move { handle.call::<Ping>(&nobody, &1, SubmitOptions::default()).await });
    tokio::task::yield_now().await;
    nodes.stop().await;
    let ended = patient("the end of the call", waiting).await.expect("the caller does not panic");
    let is_told = matches!(
        ended,
        Err(CallError::NotDone(NotDone::NodeStopped) | CallError::NotStored(SubmitError::NodeStopped))
    );
    assert!(is_told, "{ended:?}");
}
