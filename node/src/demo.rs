//! `runnel demo`: a throw-away fleet over a bad network, and an independent count of what ran.
//!
//! One controller and three workers, each worker a process of its own, each link through a relay that loses packets.
//! Every command is a real shell that appends its id and a nonce to a file, which Runnel itself never writes or reads;
//! only the checker in [`tally`] does.

mod fleet;
mod report;
mod tally;
mod workload;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};

use self::fleet::Fleet;
use self::workload::Workload;
use crate::cli::PathArgs;

/// Arguments of `runnel demo`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Commands to run.
    #[arg(long, default_value_t = 200)]
    commands: u32,
    #[command(flatten)]
    path: PathArgs,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Longest run before the demo counts as failed.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Break a promise on purpose, to show that the checker notices: the demo then fails.
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
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
        let mut fleet = Fleet::start(&args.path.to_config(), args.seed).await?;
        let outcome = tokio::time::timeout(args.timeout, Workload::new(&args, &fleet).run()).await;
        let status = fleet.status();
        let relays = fleet.stop().await?;
        let results = outcome.with_context(|| format!("the demo took longer than {:?}", args.timeout))??;
        let tally = tally::Tally::read(fleet.tally_path(), &results)?;
        let report = report::Report {
            results: &results,
            tally: &tally,
            status: &status,
            relays: &relays,
            took: started_at.elapsed(),
        };
        write!(std::io::stdout(), "{report}")?;
        anyhow::Ok(report.passed())
    })?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
