//! One case: two nodes, urgent commands, and mostly bulk that never ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runnel::codec::{Class, Command, Never};
use runnel::{
    Body, BodyError, BodyReader, BodyWriter, Config, Context, HandlerError, Handlers, SubmitOptions,
};
use runnel_tests::sim::{Pair, PathConfig};
use runnel_transport::CongestionControl;
use tokio::time::{Instant, interval, sleep};

/// What is measured.
pub(crate) struct Case {
    pub(crate) path: PathConfig,
    pub(crate) bulk: Bulk,
    pub(crate) control: CongestionControl,
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
}

/// Gives its argument back, on the engine's thread.
enum Ping {}

impl Command for Ping {
    const NAME: &'static str = "urgent.ping/1";
    type Args = Vec<u8>;
    type Update = Never;
    type Result = Vec<u8>;
}

/// Takes its body.
enum Take {}

impl Command for Take {
    const NAME: &'static str = "urgent.take/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

/// Makes a body without end.
enum Make {}

impl Command for Make {
    const NAME: &'static str = "urgent.make/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

/// Measures one case for so long, after ten seconds in which the bulk has found its rate.
pub(crate) fn measure(case: &Case, time: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("the system has room for a runtime").block_on(run(case, time))
}

async fn run(case: &Case, time: Duration) -> Figures {
    let taken = Arc::new(AtomicU64::new(0));
    let mut config = Config::default();
    config.transport.congestion = case.control;
    let pair = Pair::start_configured(case.seed, case.path, handlers(&taken), &config).await;
    let mut bulk = tokio::task::JoinSet::new();
    for _ in 0..BULK {
        match case.bulk {
            Bulk::None => {}
            Bulk::Up => {
                let (writer, body) = Body::live();
                let options =
                    SubmitOptions { class: Class::Bulk, body: Some(body), ..SubmitOptions::default() };
                let submission = pair.submit::<Take>((), options).await;
                bulk.spawn(async move { make(writer).await.map(|()| drop(submission)) });
            }
            Bulk::Down => {
                let options =
                    SubmitOptions { class: Class::Bulk, result_body: true, ..SubmitOptions::default() };
                let mut submission = pair.submit::<Make>((), options).await;
                let body = submission.result_body().expect("it was asked for");
                let taken = taken.clone();
                bulk.spawn(async move { take(body, &taken).await.map(|()| drop(submission)) });
            }
        }
    }
    sleep(WARM_UP).await;
    let (before, began_at) = (taken.load(Ordering::Relaxed), Instant::now());
    let mut latencies = ping(&pair, case.interval, time).await;
    let bytes = taken.load(Ordering::Relaxed) - before;
    let bits_per_second = bytes as f64 * 8.0 / began_at.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let rate = case.path.rate.map_or(1.0, |rate| rate.bits_per_second as f64);
    bulk.shutdown().await;
    pair.stop().await;
    Figures { latencies, used: bits_per_second / rate }
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

fn handlers(taken: &Arc<AtomicU64>) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    let taken = taken.clone();
    handlers.on::<Take, _, _>(move |mut context: Context<Take>, ()| {
        let taken = taken.clone();
        async move {
            let body = context.body().ok_or_else(|| HandlerError::new("a body is needed"))?;
            Ok(take(body, &taken).await?)
        }
    });
    handlers.on::<Make, _, _>(|mut context: Context<Make>, ()| async move {
        let body = context.result_body().ok_or_else(|| HandlerError::new("nobody reads"))?;
        Ok(make(body).await?)
    });
    handlers
}

async fn take(mut body: BodyReader, taken: &AtomicU64) -> Result<(), BodyError> {
    while let Some(piece) = body.next().await? {
        taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

async fn make(mut body: BodyWriter) -> Result<(), BodyError> {
    let piece = Bytes::from(vec![0x5a; 64 << 10]);
    loop {
        body.write(piece.clone()).await?;
    }
}

impl Figures {
    /// Returns the latency that so many percent of the commands did not exceed.
    pub(crate) fn latency(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
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

/// Bodies at once.
const BULK: usize = 4;

const WARM_UP: Duration = Duration::from_secs(10);
