//! `runnel demo`: a throw-away fleet over a bad network, and an independent count of what ran.
//!
//! One controller and three workers, each a process of its own, each worker's link through a relay that loses packets,
//! changes its address and goes dark. The demo drives the controller through its local HTTP API, like any other program.
//! Every command is a real shell that appends its id and a nonce to a file, which Runnel itself never writes or reads;
//! only the checker in [`tally`] does.
//!
//! `plan` says what is to happen, `fleet` has the processes, `folder` their files, `drive` makes it happen, `live` shows it, `tally` and
//! `report` judge it.

mod drive;
mod fleet;
mod folder;
mod live;
mod plan;
mod report;
mod tally;
mod upload;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use runnel::relay::{Blackout, RelayConfig};

use self::drive::Drive;
use self::fleet::Fleet;
use self::live::Audience;
use self::plan::Planned;
use self::upload::Upload;
use crate::cli::PathArgs;

/// Arguments of `runnel demo`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Without --rebind the workers' addresses change every 5 s, without --blackout the path goes dark \
    after 10 s for 8 s; --rebind 0s and --blackout 0s+0s switch that off.\n\
    With --json, standard output has one object a line: \"event\":\"progress\" at most once a second, and \"event\":\"summary\" \
    as the last.\n\
    Exit status: 0 if nothing was lost, doubled or wrong; 1 otherwise."
)]
pub(crate) struct DemoArgs {
    /// Commands to run.
    #[arg(long, default_value_t = COMMANDS_DEFAULT)]
    commands: u32,
    /// Submit the commands over this time, so that urgent ones meet a busy link.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    over: Duration,
    /// Upload a file of this many MiB to the first worker meanwhile; 0 uploads none.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    upload: u64,
    #[command(flatten)]
    path: PathArgs,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The last worker has two ways to the controller, and the first is gone for good after this time; 0s: never.
    #[arg(long, value_name = "DURATION", default_value = "22s", value_parser = humantime::parse_duration)]
    failover: Duration,
    /// Longest run before the demo counts as failed.
    #[arg(long, value_name = "DURATION", default_value = "4m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Break a promise on purpose, to show that the checker notices: the demo then fails.
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    /// Print JSON, one object a line: how it goes, and at last the summary.
    #[arg(long)]
    json: bool,
}

/// Ways to break a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// One command does not run, although it is reported as done.
    Lose,
    /// One command runs twice.
    Double,
}

/// Runs the demo. Exit status 0: every command ran once and said what it should; 1: otherwise.
pub(crate) fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let passed = runtime.block_on(async {
        let started_at = Instant::now();
        let relay = args.relay();
        let mut fleet = Fleet::start(&relay, args.seed).await?;
        if !args.failover.is_zero() {
            fleet.lose_first_way(args.failover);
        }
        let driven = tokio::time::timeout(args.timeout, args.drive(&relay, &fleet).run(&fleet)).await;
        let relays = fleet.stop().await?;
        let findings = driven.with_context(|| format!("the demo took longer than {:?}", args.timeout))??;
        let tally = tally::Tally::read(fleet.tally_path(), &findings.results)?;
        let rtt = args.path.rtt();
        let report = report::Report {
            findings: &findings,
            tally: &tally,
            relays: &relays,
            rtt,
            took: started_at.elapsed(),
        };
        match args.audience() {
            Audience::People => write!(std::io::stdout(), "{report}")?,
            Audience::Program => writeln!(std::io::stdout(), "{}", report.to_json())?,
        }
        anyhow::Ok(report.passed())
    })?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl DemoArgs {
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    fn audience(&self) -> Audience {
        if self.json { Audience::Program } else { Audience::People }
    }

    fn relay(&self) -> RelayConfig {
        let mut relay = self.path.to_config();
        relay.rebind_every =
            Some(relay.rebind_every.unwrap_or(REBIND_DEFAULT)).filter(|every| !every.is_zero());
        if relay.blackouts.is_empty() {
            relay.blackouts = vec![BLACKOUT_DEFAULT];
        }
        relay.blackouts.retain(|blackout| !blackout.length.is_zero());
        relay
    }

    fn drive(&self, relay: &RelayConfig, fleet: &Fleet) -> Drive {
        let workers = fleet.workers();
        let longest = relay.blackouts.iter().map(|blackout| blackout.length).max().unwrap_or_default();
        Drive {
            plan: Planned::all(self.commands, workers.len(), self.sabotage),
            over: self.over,
            audience: self.audience(),
            outlast: longest + OUTLAST_BY,
            upload: (self.upload > 0).then(|| Upload::new(workers[0].clone(), self.upload << 20, self.seed)),
        }
    }
}

/// Returns how many there are, the median and the 99th percentile.
fn percentiles(numbers: impl Iterator<Item = u64>) -> (u64, u64, u64) {
    // Three digits are always within what the histogram allows.
    let Ok(mut histogram) = Histogram::<u64>::new(3) else { return (0, 0, 0) };
    numbers.for_each(|number| histogram.saturating_record(number));
    (histogram.len(), histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99))
}

/// Commands of a demo: enough of every kind (see `plan`).
const COMMANDS_DEFAULT: u32 = 540;

const REBIND_DEFAULT: Duration = Duration::from_secs(5);

const BLACKOUT_DEFAULT: Blackout =
    Blackout { after: Duration::from_secs(10), length: Duration::from_secs(8) };

/// How much longer than the longest blackout a command runs that outlasts it.
const OUTLAST_BY: Duration = Duration::from_secs(2);
