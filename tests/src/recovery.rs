//! How soon commands are through again after a path was dark, or a NAT has forgotten its ports: on a virtual clock.
//!
//! A [`Case`] is a fault, what was going on when it came, and a seed; [`measure`] says what became of the commands.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::codec::{Class, CommandId};
use runnel::{Body, BodyError, BodyWriter, Config, SubmitOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};

use crate::commands::{Digest, Gate, Mark, handlers};
use crate::sim::{NatConfig, NatKind, Pair, PathConfig, RateConfig, WORKER_HOST};
use crate::tally::Tally;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Case {
    /// What befalls the path.
    pub fault: Fault,
    /// What is going on meanwhile.
    pub load: Load,
    /// Decides what is random.
    pub seed: u64,
    /// Of both nodes.
    pub config: Config,
}

/// What befalls the path between a controller and the worker that has dialled it from behind a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets through for so long.
    Blackout(Duration),
    /// The NAT has other ports from now on, and tells nobody.
    Rebind,
}

/// What is going on when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Commands come, one in so long.
    Flowing(Duration),
    /// The same beside bodies that fill the path.
    Saturated(Duration),
    /// Nothing for a minute; the one command comes with the fault.
    Idle,
}

/// What became of the commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How long it took after a blackout until any command was through; after a rebind, one that was submitted behind it.
    pub first: Option<Duration>,
    /// How long the slowest command took.
    pub longest: Duration,
    /// Commands submitted.
    pub commands: usize,
    /// Commands that did not end, or not well.
    pub failed: usize,
    /// Commands whose handler was not called just once.
    pub doubled: usize,
}

/// A command that has ended.
struct Ended {
    id: CommandId,
    submitted_at: Instant,
    at: Instant,
    is_well: bool,
}

/// Looks at one case, on a runtime and a clock of its own.
///
/// # Panics
///
/// When a node does not start, like all of the harness.
pub fn measure(case: &Case) -> Recovered {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("the system has room for a runtime").block_on(run(case))
}

async fn run(case: &Case) -> Recovered {
    let (tally, mut random) = (Tally::default(), ChaCha8Rng::seed_from_u64(case.seed));
    let handlers = handlers(&tally, &Gate::closed());
    let pair = Pair::start_behind(case.seed, PATH, NAT, handlers, &case.config).await;
    let mut bodies = match case.load {
        Load::Saturated(_) => fill(&pair).await,
        Load::Flowing(_) | Load::Idle => JoinSet::new(),
    };
    let warm_up = if case.load == Load::Idle { Duration::from_secs(60) } else { WARM_UP };
    let fault_at = Instant::now() + warm_up + PHASES.mul_f64(random.random());
    let back_at = fault_at + case.fault.length();
    let (ended, commands) = {
        let fault = befall(&pair, case.fault, fault_at);
        let commands = submit_all(&pair, case.load, fault_at, back_at + AFTERWARDS);
        tokio::join!(fault, commands).1
    };
    bodies.shutdown().await;
    pair.stop().await;
    judge(case.fault, back_at, &ended, commands, &tally)
}

/// Fills the path with bodies that do not end.
async fn fill(pair: &Pair) -> JoinSet<Result<(), BodyError>> {
    let mut bodies = JoinSet::new();
    for _ in 0..BODIES {
        let (writer, body) = Body::live();
        let options = SubmitOptions { class: Class::Bulk, body: Some(body), ..SubmitOptions::default() };
        let submission = pair.submit::<Digest>((), options).await;
        bodies.spawn(async move { produce(writer).await.map(|()| drop(submission)) });
    }
    bodies
}

/// Has the fault come at its time, and go.
async fn befall(pair: &Pair, fault: Fault, at: Instant) {
    tokio::time::sleep_until(at).await;
    match fault {
        Fault::Blackout(length) => {
            pair.network.set_cut_off(WORKER_HOST, true);
            sleep(length).await;
            pair.network.set_cut_off(WORKER_HOST, false);
        }
        Fault::Rebind => pair.network.forget_ports(WORKER_HOST),
    }
}

/// Submits commands until then, and returns those that ended and how many there were.
async fn submit_all(pair: &Pair, load: Load, fault_at: Instant, until: Instant) -> (Vec<Ended>, usize) {
    let from = if load == Load::Idle { fault_at } else { Instant::now() };
    let (mut ticks, mut waiting) = (interval_at(from, load.interval()), FuturesUnordered::new());
    let (mut ended, mut commands) = (Vec::new(), 0);
    loop {
        tokio::select! {
            biased;
            Some(command) = waiting.next() => ended.push(command),
            submitted_at = ticks.tick() => {
                if submitted_at >= until {
                    break;
                }
                commands += 1;
                let number = commands as u64;
                let submission = pair.submit::<Mark>(number, SubmitOptions::default()).await;
                waiting.push(async move {
                    let id = submission.id().clone();
                    let is_well = submission.outcome().await == Ok(number);
                    Ended { id, submitted_at, at: Instant::now(), is_well }
                });
            }
        }
    }
    // What has not ended by then counts as failed.
    timeout(PATIENCE, async {
        while let Some(command) = waiting.next().await {
            ended.push(command);
        }
    })
    .await
    .ok();
    (ended, commands)
}

fn judge(fault: Fault, back_at: Instant, ended: &[Ended], commands: usize, tally: &Tally) -> Recovered {
    let counts = |command: &&Ended| match fault {
        Fault::Blackout(_) => command.at >= back_at,
        // What was on its way back when the NAT forgot shows nothing.
        Fault::Rebind => command.submitted_at >= back_at,
    };
    let well = || ended.iter().filter(|command| command.is_well);
    Recovered {
        first: well().filter(counts).map(|command| command.at - back_at).min(),
        longest: well().map(|command| command.at - command.submitted_at).max().unwrap_or_default(),
        commands,
        failed: commands - well().count(),
        doubled: well().filter(|command| tally.runs(&command.id) != 1).count(),
    }
}

async fn produce(mut body: BodyWriter) -> Result<(), BodyError> {
    let piece = Bytes::from(vec![0x5a; 64 << 10]);
    loop {
        body.write(piece.clone()).await?;
    }
}

impl Fault {
    fn length(self) -> Duration {
        match self {
            Self::Blackout(length) => length,
            Self::Rebind => Duration::ZERO,
        }
    }
}

impl Load {
    fn interval(self) -> Duration {
        match self {
            Self::Flowing(interval) | Self::Saturated(interval) => interval,
            Self::Idle => AFTERWARDS,
        }
    }
}

/// 50 ms there and back, 20 Mbit/s, and a queue of 50 ms.
pub const PATH: PathConfig = PathConfig {
    rate: Some(RateConfig { bits_per_second: 20_000_000, queue_bytes: 125_000 }),
    ..PathConfig::clean(Duration::from_millis(25))
};

const NAT: NatConfig = NatConfig {
    public: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    kind: NatKind::Cone,
    idle_timeout: Duration::from_secs(120),
};

const WARM_UP: Duration = Duration::from_secs(5);

/// In which the fault begins: longer than the pauses of whatever beats.
const PHASES: Duration = Duration::from_secs(16);

/// How long commands come after the fault is over.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How long what has not ended by then is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bodies at once.
const BODIES: usize = 4;
