//! What two nodes owe each other when windows are small, and when one of them comes back as another process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::{Command, NodeId, UnknownReason};
use runnel::{Config, Context, Handlers, NodeBuilder, NodeHandle, NotDone, Progress, SubmitOptions};
use runnel_tests::fleet::TestFleet;
use runnel_tests::sim::{CONTROLLER_HOST, Network, PathConfig, SimEnv, WORKER_HOST};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Sends as many updates as its argument says, each of 1 KiB.
enum Talk {}

impl Command for Talk {
    const NAME: &'static str = "test.talk/1";
    type Args = u64;
    type Update = Vec<u8>;
    type Result = u64;
}

/// A controller's address and a worker that dials it.
struct Rig {
    network: Arc<Network>,
    fleet: TestFleet,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    worker: NodeId,
    /// Told when a handler has ended.
    ended: Arc<Notify>,
}

impl Rig {
    fn start(seed: u64) -> Self {
        let network = Network::new(seed, PathConfig::clean(Duration::from_millis(20)));
        let (mut tasks, stop, ended) = (JoinSet::new(), CancellationToken::new(), Arc::new(Notify::new()));
        tasks.spawn(network.clone().run());
        let fleet = TestFleet::new(SimEnv::first_day());
        let builder = NodeBuilder::new(fleet.identity("worker", Role::Worker))
            .handlers(handlers(ended.clone()))
            .peer("controller".parse().expect("a valid name"), [address().to_string()]);
        let env = SimEnv::new(network.clone(), WORKER_HOST, seed + 1);
        let (worker, engine) = builder.start_in(env, stop.clone()).expect("the worker starts");
        tasks.spawn(engine);
        Self { network, fleet, tasks, stop, worker: worker.node().clone(), ended }
    }

    /// Starts a process of the controller and waits for its link.
    async fn controller(&mut self, seed: u64, config: Config, stop: CancellationToken) -> NodeHandle {
        let identity = self.fleet.identity("controller", Role::Controller);
        let builder = NodeBuilder::new(identity).listen(address()).config(config);
        let env = SimEnv::new(self.network.clone(), CONTROLLER_HOST, seed);
        let (controller, engine) = builder.start_in(env, stop).expect("the controller starts");
        self.tasks.spawn(engine);
        controller.wait_for_link(&self.worker).await.expect("the controller runs");
        controller
    }
}

fn handlers(ended: Arc<Notify>) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on::<Talk, _, _>(move |mut context: Context<Talk>, count| {
        let ended = ended.clone();
        async move {
            for _ in 0..count {
                context.update(&vec![7; 1024]).await?;
            }
            ended.notify_one();
            Ok(count)
        }
    });
    handlers
}

fn address() -> SocketAddr {
    SocketAddr::new(CONTROLLER_HOST, 4433)
}

#[tokio::test(start_paused = true)]
async fn updates_longer_than_their_window_come_one_by_one() {
    let mut rig = Rig::start(1);
    let mut config = Config::default();
    config.send_queue.updates_window_bytes = 16;
    let controller = rig.controller(1, config, rig.stop.clone()).await;
    let mut submission =
        controller.submit::<Talk>(&rig.worker, &20, SubmitOptions::default()).await.expect("room");
    let mut updates = 0;
    while let Some(progress) =
        tokio::time::timeout(Duration::from_secs(600), submission.progress()).await.expect("updates go on")
    {
        updates += usize::from(matches!(progress.expect("updates decode"), Progress::Update(_)));
    }
    assert_eq!((updates, submission.outcome().await), (20, Ok(20)));
    rig.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_nobody_hears_any_more_ends_when_its_sender_is_another_process() {
    let mut rig = Rig::start(2);
    let first_stop = CancellationToken::new();
    let first = rig.controller(2, Config::default(), first_stop.clone()).await;
    // Far beyond what the window and the worker hold of updates that are not taken.
    let mut unread =
        first.submit::<Talk>(&rig.worker, &20_000, SubmitOptions::default()).await.expect("room");
    assert_eq!(unread.progress().await, Some(Ok(Progress::Started)));
    first_stop.cancel();
    rig.tasks.join_next().await.expect("the first engine ran").expect("it does not panic");
    let second = rig.controller(3, Config::default(), rig.stop.clone()).await;
    let ended = tokio::time::timeout(Duration::from_secs(600), rig.ended.notified()).await;
    ended.expect("the handler does not wait for ever");
    let talk = second.submit::<Talk>(&rig.worker, &3, SubmitOptions::default()).await.expect("room");
    assert_eq!(talk.outcome().await, Ok(3), "and its sender is served as ever");
    rig.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_is_abandoned_is_unknown_and_its_handler_goes_on_unheard() {
    let mut rig = Rig::start(3);
    let controller = rig.controller(4, Config::default(), rig.stop.clone()).await;
    let mut unread =
        controller.submit::<Talk>(&rig.worker, &20_000, SubmitOptions::default()).await.expect("room");
    assert_eq!(unread.progress().await, Some(Ok(Progress::Started)));
    controller.abandon(unread.id()).await.expect("it runs");
    assert!(controller.release(unread.id()).await.is_err(), "nothing is held back");
    assert_eq!(unread.outcome().await, Err(NotDone::Unknown(UnknownReason::Abandoned)));
    let ended = tokio::time::timeout(Duration::from_secs(600), rig.ended.notified()).await;
    ended.expect("the handler does not wait for ever");
    let talk = controller.submit::<Talk>(&rig.worker, &3, SubmitOptions::default()).await.expect("room");
    assert_eq!(talk.outcome().await, Ok(3), "the link goes on");
    rig.stop.cancel();
}
