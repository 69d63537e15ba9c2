//! How a node ends, on a virtual clock: what is ready is said, peers know, and nothing holds it up for long.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::{CloseCode, Command, FailureKind, NodeId};
use runnel::commands::Ping;
use runnel::{
    CloseReason, Config, Context, HandlerError, Handlers, NodeBuilder, NodeHandle, NotDone, Progress,
    Submission, SubmitError, SubmitOptions,
};
use runnel_tests::fleet::TestFleet;
use runnel_tests::sim::{Network, PathConfig, SimEnv};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs until it is told to stop, and then as much longer as its argument says, in milliseconds.
enum Linger {}

impl Command for Linger {
    const NAME: &'static str = "test.linger/1";
    type Args = u64;
    type Update = ();
    type Result = ();
}

/// A controller that listens, a worker that dials, and what is needed to start the worker again.
struct Pair {
    network: Arc<Network>,
    fleet: TestFleet,
    controller: NodeHandle,
    worker: NodeId,
    stop_worker: CancellationToken,
    worker_task: JoinHandle<()>,
    tasks: JoinSet<()>,
}

impl Pair {
    async fn start() -> Self {
        let network = Network::new(1, PATH);
        let mut tasks = JoinSet::new();
        tasks.spawn(network.clone().run());
        let fleet = TestFleet::new(SimEnv::first_day());
        let builder = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(LISTEN);
        let env = SimEnv::new(network.clone(), CONTROLLER_HOST, 1);
        let (controller, engine) =
            builder.start_in(env, CancellationToken::new()).expect("the controller starts");
        tasks.spawn(engine);
        let stop_worker = CancellationToken::new();
        let worker_task = start_worker(&fleet, &network, stop_worker.clone());
        let worker = "w1".parse().expect("a valid name");
        controller.wait_for_link(&worker).await.expect("the controller runs");
        Self { network, fleet, controller, worker, stop_worker, worker_task, tasks }
    }

    /// Sends a command and waits until it runs.
    async fn linger(&self, longer_ms: u64) -> Submission<Linger> {
        let mut lingering = self.submit::<Linger>(longer_ms).await;
        assert_eq!(lingering.progress().await, Some(Ok(Progress::Started)));
        lingering
    }

    async fn submit<C: Command>(&self, args: C::Args) -> Submission<C> {
        let options = SubmitOptions::default();
        self.controller.submit::<C>(&self.worker, &args, options).await.expect("there is room")
    }

    /// Stops the worker and returns how long that took.
    async fn stop_worker(&mut self) -> Duration {
        let told_at = Instant::now();
        self.stop_worker.cancel();
        (&mut self.worker_task).await.expect("it does not panic");
        told_at.elapsed()
    }
}

fn start_worker(fleet: &TestFleet, network: &Arc<Network>, stop: CancellationToken) -> JoinHandle<()> {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    handlers.on::<Linger, _, _>(|context: Context<Linger>, longer_ms| async move {
        let reason = context.stop_signal().stopped().await;
        tokio::time::sleep(Duration::from_millis(longer_ms)).await;
        Err(HandlerError::stopped(reason, "told to stop"))
    });
    let builder = NodeBuilder::new(fleet.identity("w1", Role::Worker))
        .handlers(handlers)
        .peer("c1".parse().expect("a valid name"), [LISTEN.to_string()]);
    let env = SimEnv::new(network.clone(), WORKER_HOST, 2);
    let (_, engine) = builder.start_in(env, stop).expect("the worker starts");
    tokio::spawn(engine)
}

#[tokio::test(start_paused = true)]
async fn what_handlers_say_when_they_are_told_to_stop_reaches_the_caller() {
    let mut pair = Pair::start().await;
    let lingering = pair.linger(500).await;
    let took = pair.stop_worker().await;
    match lingering.outcome().await {
        Err(NotDone::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Cancelled),
        other => panic!("{other:?}"),
    }
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_stop_holds_the_node_up_for_no_longer_than_allowed() {
    let mut pair = Pair::start().await;
    let _lingering = pair.linger(3_600_000).await;
    let took = pair.stop_worker().await;
    // Twice: for its outcome, and for the task itself.
    assert!((6..=9).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_node_stops_at_once_and_its_peer_knows_why() {
    let mut pair = Pair::start().await;
    let took = pair.stop_worker().await;
    // A round trip for GoAway, and quinn's three probe timeouts after the close.
    assert!(took < Duration::from_millis(600), "{took:?} at a round trip of 40 ms");
    let mut status = pair.controller.status();
    let ended = status.wait_for(|status| status.end(&pair.worker).is_some()).await.expect("it runs");
    let reason = &ended.end(&pair.worker).expect("it has just been there").reason;
    assert!(matches!(reason, CloseReason::Remote { code: Some(CloseCode::Normal), .. }), "{reason:?}");
}

#[tokio::test(start_paused = true)]
async fn commands_for_a_node_that_goes_away_wait_until_it_is_back() {
    let mut pair = Pair::start().await;
    let _lingering = pair.linger(1000).await;
    pair.stop_worker.cancel();
    // The worker drains: it takes nothing new.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let during = pair.submit::<Ping>(7).await;
    pair.stop_worker().await;
    let after = pair.submit::<Ping>(8).await;
    let _again = start_worker(&pair.fleet, &pair.network, CancellationToken::new());
    assert_eq!(after.outcome().await, Ok(8));
    assert_eq!(during.outcome().await, Ok(7));
    assert_eq!(pair.tasks.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_asks_for_a_pause_is_not_dialled_before() {
    let network = Network::new(1, PATH);
    let mut tasks = JoinSet::new();
    tasks.spawn(network.clone().run());
    let fleet = TestFleet::new(SimEnv::first_day());
    let _worker = start_worker(&fleet, &network, CancellationToken::new());
    let start_controller = |stop| {
        let mut config = Config::default();
        config.node.retry_after = Duration::from_secs(30);
        let builder = NodeBuilder::new(fleet.identity("c1", Role::Controller)).config(config).listen(LISTEN);
        let (controller, engine) =
            builder.start_in(SimEnv::new(network.clone(), CONTROLLER_HOST, 1), stop).expect("it starts");
        (controller, tokio::spawn(engine))
    };
    let (stop, worker) = (CancellationToken::new(), "w1".parse().expect("a valid name"));
    let (controller, engine) = start_controller(stop.clone());
    controller.wait_for_link(&worker).await.expect("the controller runs");
    stop.cancel();
    engine.await.expect("it does not panic");
    let stopped_at = Instant::now();
    let (controller, _engine) = start_controller(CancellationToken::new());
    controller.wait_for_link(&worker).await.expect("the controller runs");
    let took = stopped_at.elapsed();
    assert!((29..=32).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_takes_no_commands() {
    let network = Network::new(1, PATH);
    let fleet = TestFleet::new(SimEnv::first_day());
    let stop = CancellationToken::new();
    let builder = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(LISTEN);
    let env = SimEnv::new(network, CONTROLLER_HOST, 1);
    let (controller, engine) = builder.start_in(env, stop.clone()).expect("the controller starts");
    stop.cancel();
    Box::pin(engine).await;
    let worker = "w1".parse().expect("a valid name");
    let refused = controller.submit::<Ping>(&worker, &7, SubmitOptions::default()).await;
    assert!(matches!(refused, Err(SubmitError::NodeStopped)));
}

const CONTROLLER_HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const WORKER_HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const LISTEN: SocketAddr = SocketAddr::new(CONTROLLER_HOST, 4433);

const PATH: PathConfig = PathConfig::clean(Duration::from_millis(20));
