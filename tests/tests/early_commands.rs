//! Commands that follow an unanswered hello, on a path that loses and reorders packets, while links are closed or cut and
//! the worker is killed at random moments: each runs at most once, and ends as it ran. On a virtual clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runnel::certs::Role;
use runnel::codec::NodeId;
use runnel::{NodeBuilder, NodeHandle, NotDone, Submission, SubmitOptions};
use runnel_tests::commands::{Gate, Mark, handlers};
use runnel_tests::patience::report;
use runnel_tests::sim::{CONTROLLER_HOST, Network, PathConfig, SimEnv, WORKER_HOST, identity};
use runnel_tests::tally::Tally;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// A worker's process.
struct Process {
    env: Arc<SimEnv>,
    handle: NodeHandle,
    engine: AbortHandle,
}

/// A controller that dials a worker, over a bad path.
struct Rig {
    network: Arc<Network>,
    tasks: JoinSet<()>,
    tally: Tally,
    random: StdRng,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let path = PathConfig {
            reordered: 0.2,
            reordered_by: Duration::from_millis(40),
            duplicated: 0.1,
            ..PathConfig::lossy(Duration::from_millis(25), Duration::from_millis(5), 0.1)
        };
        let network = Network::new(seed, path);
        let mut tasks = JoinSet::new();
        tasks.spawn(network.clone().run());
        Self { network, tasks, tally: Tally::default(), random: StdRng::seed_from_u64(seed) }
    }

    fn start_worker(&mut self) -> Process {
        let env = SimEnv::new(self.network.clone(), WORKER_HOST, self.random.random());
        let builder = NodeBuilder::new(identity("worker", Role::Worker))
            .handlers(handlers(&self.tally, &Gate::closed()))
            .listen(WORKER_AT);
        let (handle, engine) = builder.start_in(env.clone(), CancellationToken::new()).expect("it starts");
        Process { env, handle, engine: self.tasks.spawn(engine) }
    }

    fn start_controller(&mut self, worker: &NodeId) -> NodeHandle {
        let env = SimEnv::new(self.network.clone(), CONTROLLER_HOST, self.random.random());
        let builder = NodeBuilder::new(identity("controller", Role::Controller))
            .peer(worker.clone(), [WORKER_AT.to_string()]);
        let (handle, engine) = builder.start_in(env, CancellationToken::new()).expect("it starts");
        self.tasks.spawn(engine);
        handle
    }

    async fn kill(&mut self, process: Process) {
        self.network.close_sockets(WORKER_HOST);
        process.engine.abort();
        process.env.tasks().kill().await;
    }

    /// Lets some time pass, mostly about as much as a link takes to come up.
    async fn wait(&mut self) {
        let longest = if self.random.random_bool(0.2) { 8000 } else { 500 };
        let pause = Duration::from_millis(self.random.random_range(0..longest));
        sleep_until(Instant::now() + pause).await;
    }
}

/// Runs one seed. Returns how many commands were done, and how many are unknown.
async fn run(seed: u64, kills: bool) -> [usize; 2] {
    let mut rig = Rig::new(seed);
    let mut worker = rig.start_worker();
    let (name, mut submissions) = (worker.handle.node().clone(), Vec::new());
    let controller = rig.start_controller(&name);
    for _ in 0..ROUNDS {
        for _ in 0..rig.random.random_range(1..8) {
            let number = submissions.len() as u64;
            let mark = controller.submit::<Mark>(&name, &number, SubmitOptions::default()).await;
            submissions.push(mark.expect("the queue has room"));
        }
        match rig.random.random_range(0..4) {
            // Both close the link; the second also makes the journal another one.
            0 => drop(controller.forget(&name).await),
            1 => drop(worker.handle.forget(controller.node()).await),
            2 => rig.network.cut_links(),
            _ if kills => {
                rig.kill(worker).await;
                rig.wait().await;
                worker = rig.start_worker();
            }
            _ => {}
        }
        rig.wait().await;
    }
    check(seed, kills, &rig.tally, submissions).await
}

async fn check(seed: u64, kills: bool, tally: &Tally, submissions: Vec<Submission<Mark>>) -> [usize; 2] {
    let (mut done, mut unknown) = (0, 0);
    for (number, submission) in (0..).zip(submissions) {
        let id = submission.id().clone();
        let outcome = submission.outcome().await;
        let runs = tally.runs(&id);
        match outcome {
            Ok(returned) => {
                assert_eq!((returned, runs), (number, 1), "seed {seed}, {id}");
                done += 1;
            }
            Err(NotDone::Unknown(_)) if kills => {
                assert!(runs <= 1, "seed {seed}: {id} ran {runs} times");
                unknown += 1;
            }
            Err(other) => panic!("seed {seed}: {id} ended as {other:?} and ran {runs} times"),
        }
    }
    [done, unknown]
}

#[tokio::test(start_paused = true)]
async fn links_that_come_and_go_neither_lose_nor_repeat_a_command() {
    let mut sums = [0, 0];
    for seed in 1..=SEEDS {
        let counts = run(seed, false).await;
        sums = [sums[0] + counts[0], sums[1] + counts[1]];
    }
    report(&format!("{SEEDS} seeds: {} commands done, {} unknown", sums[0], sums[1]));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_runs_nothing_twice() {
    let mut sums = [0, 0];
    for seed in 1..=SEEDS {
        let counts = run(seed, true).await;
        sums = [sums[0] + counts[0], sums[1] + counts[1]];
    }
    report(&format!("{SEEDS} seeds: {} commands done, {} unknown", sums[0], sums[1]));
}

const SEEDS: u64 = 30;

const ROUNDS: usize = 20;

const WORKER_AT: SocketAddr = SocketAddr::new(WORKER_HOST, 4433);
