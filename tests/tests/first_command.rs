//! How long the first command takes from the dial on: a link needs a round trip for its handshake, and commands follow the
//! hello. On a virtual clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::NodeId;
use runnel::{Handlers, LinkChange, NodeBuilder, NodeHandle, SubmitOptions};
use runnel_tests::commands::{Gate, Mark, handlers};
use runnel_tests::patience::report;
use runnel_tests::sim::{CONTROLLER_HOST, Network, PathConfig, SimEnv, WORKER_HOST, identity};
use runnel_tests::tally::Tally;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// A controller that dials a worker.
struct Rig {
    network: Arc<Network>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    tally: Tally,
    worker: NodeId,
    seed: u64,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let network = Network::new(seed, PathConfig::clean(RTT / 2));
        let mut tasks = JoinSet::new();
        tasks.spawn(network.clone().run());
        let worker = "worker".parse().expect("a valid name");
        Self { network, tasks, stop: CancellationToken::new(), tally: Tally::default(), worker, seed }
    }

    fn start(&mut self, builder: NodeBuilder, host: std::net::IpAddr) -> (NodeHandle, CancellationToken) {
        self.seed += 1;
        let (env, stop) = (SimEnv::new(self.network.clone(), host, self.seed), self.stop.child_token());
        let (handle, engine) = builder.start_in(env, stop.clone()).expect("it starts");
        self.tasks.spawn(engine);
        (handle, stop)
    }

    fn start_worker(&mut self) -> (NodeHandle, CancellationToken) {
        let handlers: Handlers = handlers(&self.tally, &Gate::closed());
        let builder = NodeBuilder::new(identity("worker", Role::Worker)).handlers(handlers).listen(WORKER_AT);
        self.start(builder, WORKER_HOST)
    }

    fn start_controller(&mut self) -> NodeHandle {
        self.start_controller_to_stop().0
    }

    fn start_controller_to_stop(&mut self) -> (NodeHandle, CancellationToken) {
        let builder = NodeBuilder::new(identity("controller", Role::Controller))
            .peer(self.worker.clone(), [WORKER_AT.to_string()]);
        self.start(builder, CONTROLLER_HOST)
    }

    /// Ends the link, submits a command, and returns how long it takes from the next dial on.
    async fn after_next_dial(&self, controller: &NodeHandle, number: u64) -> Duration {
        let mut changes = controller.link_changes().expect("it runs");
        controller.forget(&self.worker).await.expect("it was met");
        while !matches!(changes.next().await, Ok(LinkChange::Down { .. })) {}
        let mark = controller.submit::<Mark>(&self.worker, &number, SubmitOptions::default()).await;
        let dialled_at = self.next_packet().await;
        assert_eq!(mark.expect("the queue has room").outcome().await, Ok(number));
        dialled_at.elapsed()
    }

    /// Returns when the next packet has left, once none is under way.
    async fn next_packet(&self) -> Instant {
        let mut ticks = interval(Duration::from_millis(1));
        let (mut delivered, mut quiet) = (self.network.counts().delivered, 0);
        loop {
            ticks.tick().await;
            let before = std::mem::replace(&mut delivered, self.network.counts().delivered);
            if before == delivered {
                quiet += 1;
            } else if quiet > RTT.as_millis() {
                return Instant::now() - RTT / 2;
            } else {
                quiet = 0;
            }
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.expect("a node runs").expect("it does not panic");
    }
}

#[track_caller]
fn check(what: &str, took: Duration, round_trips: u32) {
    report(&format!("{what}: {took:?} on a path of {RTT:?}"));
    assert!(took <= RTT * round_trips + GRACE, "{what}: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_command_takes_two_round_trips_from_the_dial_on() {
    let mut rig = Rig::new(1);
    rig.start_worker();
    let began_at = Instant::now();
    let controller = rig.start_controller();
    let mark = controller.submit::<Mark>(&rig.worker, &0, SubmitOptions::default()).await;
    assert_eq!(mark.expect("the queue has room").outcome().await, Ok(0));
    check("never met", began_at.elapsed(), 2);
    for number in 1..=5 {
        check("met", rig.after_next_dial(&controller, number).await, 2);
    }
    assert!(rig.tally.all().values().all(|runs| *runs == 1));
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_hello_to_a_process_that_is_gone_runs_at_the_next_one_once() {
    let mut rig = Rig::new(20);
    let (_worker, stop_worker) = rig.start_worker();
    let controller = rig.start_controller();
    let mark = controller.submit::<Mark>(&rig.worker, &0, SubmitOptions::default()).await;
    assert_eq!(mark.expect("the queue has room").outcome().await, Ok(0));
    let mut changes = controller.link_changes().expect("it runs");
    stop_worker.cancel();
    while !matches!(changes.next().await, Ok(LinkChange::Down { .. })) {}
    rig.tasks.join_next().await.expect("the worker ran").expect("it does not panic");
    let mut marks = Vec::new();
    for number in 1..=20 {
        let mark = controller.submit::<Mark>(&rig.worker, &number, SubmitOptions::default()).await;
        marks.push((number, mark.expect("the queue has room")));
    }
    rig.start_worker();
    for (number, mark) in marks {
        assert_eq!(mark.outcome().await, Ok(number));
    }
    let runs = rig.tally.all();
    assert!(runs.len() == 21 && runs.values().all(|runs| *runs == 1), "{runs:?}");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_hello_with_too_low_a_number_runs_once() {
    let mut rig = Rig::new(40);
    let (worker, _) = rig.start_worker();
    let (older, stop_older) = rig.start_controller_to_stop();
    let mark = older.submit::<Mark>(&rig.worker, &0, SubmitOptions::default()).await;
    assert_eq!(mark.expect("the queue has room").outcome().await, Ok(0));
    let mut changes = worker.link_changes().expect("it runs");
    stop_older.cancel();
    while !matches!(changes.next().await, Ok(LinkChange::Down { .. })) {}
    // Another process, which knows neither the worker nor the number of the link that it had.
    let began_at = Instant::now();
    let controller = rig.start_controller();
    let mut marks = Vec::new();
    for number in 1..=20 {
        let mark = controller.submit::<Mark>(&rig.worker, &number, SubmitOptions::default()).await;
        marks.push((number, mark.expect("the queue has room")));
    }
    for (number, mark) in marks {
        assert_eq!(mark.outcome().await, Ok(number));
    }
    check("a number too low", began_at.elapsed(), 4);
    let runs = rig.tally.all();
    assert!(runs.len() == 21 && runs.values().all(|runs| *runs == 1), "{runs:?}");
    rig.stop().await;
}

/// There and back.
const RTT: Duration = Duration::from_millis(50);

const GRACE: Duration = Duration::from_millis(10);

const WORKER_AT: SocketAddr = SocketAddr::new(WORKER_HOST, 4433);
