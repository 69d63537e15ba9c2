//! One case: two nodes, urgent commands, and mostly bulk that never ends.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runnel::codec::{Class, Command, Never};
use runnel::{Config, Handlers, SubmitOptions};
use runnel_tests::endless::{Endless, Taken, Way, handle_endless};
use runnel_tests::sim::{CONTROLLER_HOST, Pair, PathConfig, WORKER_HOST};
use runnel_transport::CongestionControl;
use tokio::time::{Instant, interval, sleep};

/// What is measured.
pub(crate) struct Case {
    pub(crate) path: PathConfig,
    pub(crate) bulk: Bulk,
    pub(crate) control: CongestionControl,
    /// Bodies of bulk at once.
    pub(crate) bodies: usize,
    /// Between two urgent commands.
    pub(crate) interval: Duration,
    pub(crate) seed: u64,
}

/// Which way the bulk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// There is none.
    None,
    /// With commands, from the controller to the worker.
    Up,
    /// With results, from the worker to the controller.
    Down,
}

/// What was measured.
pub(crate) struct Figures {
    /// From submit to outcome, in order of length.
    pub(crate) latencies: Vec<Duration>,
    /// Bytes of bodies that came, as a part of what the link carries.
    pub(crate) used: f64,
    /// Bytes of all packets on the way of the bulk, or of the commands if there is none, as a part of the same: with
    /// headers, urgent commands, acknowledgements, and what was sent again.
    pub(crate) on_the_wire: f64,
}

/// Gives its argument back, on the engine's thread.
enum Ping {}

impl Command for Ping {
    const NAME: &'static str = "urgent.ping/1";
    type Args = Vec<u8>;
    type Update = Never;
    type Result = Vec<u8>;
}

/// Measures one case for so long, after ten seconds in which the bulk has found its rate.
pub(crate) fn measure(case: &Case, time: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("the system has room for a runtime").block_on(run(case, time))
}

async fn run(case: &Case, time: Duration) -> Figures {
    let taken = Taken::default();
    let mut config = Config::default();
    config.transport.congestion = case.control;
    let pair = Pair::start_configured(case.seed, case.path, handlers(&taken), &config).await;
    let mut bulk = Endless::default();
    if let Some(way) = case.bulk.way() {
        for _ in 0..case.bodies {
            bulk.begin(&pair, way, Class::Bulk, &taken).await;
        }
    }
    sleep(WARM_UP).await;
    let (before, began_at) = ((taken.bytes(), case.bulk.carried_bytes(&pair)), Instant::now());
    let mut latencies = ping(&pair, case.interval, time).await;
    let rate = case.path.rate.map_or(1.0, |rate| rate.bits_per_second as f64);
    let part = |bytes: u64| bytes as f64 * 8.0 / began_at.elapsed().as_secs_f64() / rate;
    let used = part(taken.bytes() - before.0);
    let on_the_wire = part(case.bulk.carried_bytes(&pair) - before.1);
    latencies.sort_unstable();
    bulk.end().await;
    pair.stop().await;
    Figures { latencies, used, on_the_wire }
}

/// Submits an urgent command in each interval, and returns how long each took.
async fn ping(pair: &Pair, every: Duration, time: Duration) -> Vec<Duration> {
    let (mut ticks, mut waiting) = (interval(every), FuturesUnordered::new());
    let (until, mut latencies) = (Instant::now() + time, Vec::new());
    loop {
        tokio::select! {
            biased;
            Some(latency) = waiting.next() => latencies.push(latency),
            now = ticks.tick() => {
                if now >= until {
                    break;
                }
                let options = SubmitOptions { class: Class::Urgent, ..SubmitOptions::default() };
                let submission = pair.submit::<Ping>(vec![0; 100], options).await;
                waiting.push(async move {
                    submission.outcome().await.expect("it ends well");
                    now.elapsed()
                });
            }
        }
    }
    latencies.extend(waiting.collect::<Vec<_>>().await);
    latencies
}

fn handlers(taken: &Taken) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    handle_endless(&mut handlers, taken);
    handlers
}

impl Figures {
    /// Returns the latency that so many percent of the commands did not exceed.
    pub(crate) fn latency(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl Bulk {
    fn way(self) -> Option<Way> {
        match self {
            Self::None => None,
            Self::Up => Some(Way::Up),
            Self::Down => Some(Way::Down),
        }
    }

    /// Returns how many bytes the link has carried its way so far.
    fn carried_bytes(self, pair: &Pair) -> u64 {
        match self {
            Self::None | Self::Up => pair.network.carried_bytes(CONTROLLER_HOST, WORKER_HOST),
            Self::Down => pair.network.carried_bytes(WORKER_HOST, CONTROLLER_HOST),
        }
    }
}

impl fmt::Display for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

const WARM_UP: Duration = Duration::from_secs(10);
