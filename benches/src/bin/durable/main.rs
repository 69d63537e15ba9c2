//! What durability costs: commands between two nodes with stores, beside the same records written straight to two stores.
//!
//! ```sh
//! cargo run --release -p runnel-benches --bin durable -- --folder /somewhere/on/a/disk
//! ```
//!
//! Prints a Markdown table and ends with 1 if a bound was missed. Latency is bounded in syncs of a page; beside that it stands
//! in commits, what one record takes into a store of its own, with nothing else at work: a sync, and the work of the
//! database. `--slower` shows what stays of the latter on a slower disk. `pair.rs` is the nodes, `recorded.rs` keeps what
//! their stores are told, and writes it again; `disk.rs` measures the disk in the same run.

mod disk;
mod pair;
mod recorded;

use std::error::Error;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::pair::{Latencies, Pair};

/// Measures durable commands: how many go through, and how long they take, in syncs of this disk.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Commands of each repetition, with 256 in flight.
    #[arg(long, default_value = "20000")]
    commands: NonZeroUsize,
    /// Repetitions, each followed by the same records written straight; medians are told.
    #[arg(long, default_value = "5")]
    repetitions: NonZeroUsize,
    /// How long a thousand commands a second come.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Folder on the disk that is measured. Default: that of temporary files, which may be in memory.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Microseconds that each sync takes longer, as on a slower disk.
    #[arg(long, default_value_t = 0)]
    slower: u64,
}

/// One figure and what it shall be.
struct Row {
    what: &'static str,
    measured: f64,
    bound: Option<Bound>,
}

/// What single things cost in this run.
struct Costs {
    /// A page that is written over and made durable.
    sync: Duration,
    /// Single records into a bare store, each made durable, in order of length.
    commits: Vec<Duration>,
    /// An echo between the nodes that is stored nowhere.
    rtt: Duration,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(rows) => report(&rows),
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<Vec<Row>, Box<dyn Error + Send + Sync>> {
    let folder = tempfile::tempdir_in(options.folder.clone().unwrap_or_else(std::env::temp_dir))?;
    let slower_by = Duration::from_micros(options.slower);
    let pair = Pair::start(folder.path(), slower_by)?;
    let (mut rates, mut ratios, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    pair.run(IN_FLIGHT, 1000);
    for _ in 0..options.repetitions.get() {
        let recorded = pair.record();
        let took = pair.run(IN_FLIGHT, options.commands.get());
        let straight = recorded.write_straight(folder.path())?;
        rates.push(options.commands.get() as f64 / took.as_secs_f64());
        ratios.push(straight.all.as_secs_f64() / took.as_secs_f64());
        commits.extend(straight.each);
    }
    let rtt = median(pair.round_trips(200));
    // Not while commands are measured, which would wait for these syncs too.
    let before = disk::sync_times(folder.path(), SYNCS)?;
    let paced = pair.paced(RATE, Duration::from_secs(options.seconds));
    let after = disk::sync_times(folder.path(), SYNCS)?;
    pair.stop();
    let sync = median([before, after].concat()) + slower_by;
    commits.sort_unstable();
    let costs = Costs { sync, commits, rtt };
    Ok(rows(median_of(rates), median_of(ratios), &costs, &paced))
}

fn rows(rate: f64, ratio: f64, costs: &Costs, paced: &Latencies) -> Vec<Row> {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let commit = percentile(&costs.commits, 50);
    let in_commits = |time: Duration| time.as_secs_f64() / commit.as_secs_f64();
    let in_syncs = |time: Duration| time.as_secs_f64() / costs.sync.as_secs_f64();
    let row = |what, measured, bound| Row { what, measured, bound };
    let submit = percentile(&paced.submits, 99);
    let outcome = percentile(&paced.outcomes, 99);
    let batches_each = paced.batches.len() as f64 / paced.submits.len() as f64;
    let beyond_rtt = outcome.saturating_sub(costs.rtt);
    vec![
        row("one sync of the disk, median us", us(costs.sync), None),
        row("one record into a bare store, p50 us: a commit", us(commit), None),
        row("one record into a bare store, p99 us", us(percentile(&costs.commits, 99)), None),
        row("round trip of an echo in memory, median us", us(costs.rtt), None),
        row("256 in flight, commands a second", rate, None),
        row("of the same records written straight to two stores", ratio, Some(Bound::AtLeast(0.6))),
        row("1000 a second, batches a command", batches_each, None),
        row(
            "1000 a second, a batch of the two stores on this disk, p50 us",
            us(percentile(&paced.batches, 50)),
            None,
        ),
        row("1000 a second, a batch p99 us", us(percentile(&paced.batches, 99)), None),
        row("1000 a second, submit() p50 us", us(percentile(&paced.submits, 50)), None),
        row("1000 a second, submit() p99 us", us(submit), None),
        row("that in commits", in_commits(submit), None),
        row("that in syncs", in_syncs(submit), Some(Bound::AtMost(2.5))),
        row("1000 a second, outcome p50 us", us(percentile(&paced.outcomes, 50)), None),
        row("1000 a second, outcome p99 us", us(outcome), None),
        row("that in commits, less a round trip", in_commits(beyond_rtt), None),
        row("that in syncs, less a round trip", in_syncs(beyond_rtt), Some(Bound::AtMost(7.0))),
    ]
}

fn report(rows: &[Row]) -> ExitCode {
    say("| what | measured | bound |");
    say("| --- | --- | --- |");
    for row in rows {
        let bound = match row.bound {
            None => String::new(),
            Some(Bound::AtLeast(least)) => format!("≥ {least}"),
            Some(Bound::AtMost(most)) => format!("≤ {most}"),
        };
        say(&format!("| {} | {:.2} | {bound} |", row.what, row.measured));
    }
    if rows.iter().all(Row::is_kept) {
        return ExitCode::SUCCESS;
    }
    say("\nA bound was missed.");
    ExitCode::FAILURE
}

impl Row {
    fn is_kept(&self) -> bool {
        match self.bound {
            None => true,
            Some(Bound::AtLeast(least)) => self.measured >= least,
            Some(Bound::AtMost(most)) => self.measured <= most,
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    percentile(&times, 50)
}

fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns what so many percent of the times, which are in order, do not exceed.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}

/// A reader that has gone away wants no more.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

const IN_FLIGHT: usize = 256;

/// Commands a second.
const RATE: u32 = 1000;

/// Syncs measured before and after.
const SYNCS: usize = 500;
