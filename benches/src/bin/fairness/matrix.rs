//! All cells, their aims, and the table.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use runnel_benches::emulated::LinkError;

use crate::cell::{Cell, CellError, Outcome, RTT};

/// What is asked for.
struct Arguments {
    seconds: u64,
    seeds: u64,
    flows: usize,
    only: String,
    trace: bool,
}

pub(crate) fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        say("usage: fairness [--seconds S] [--seeds N] [--only TEXT] [--flows N] [--trace]");
        return ExitCode::from(2);
    };
    let cells: Vec<_> =
        cells().into_iter().filter(|cell| cell.to_string().contains(&arguments.only)).collect();
    if cells.is_empty() {
        say(&format!("no cell has \"{}\" in its name; without --only all are run", arguments.only));
        return ExitCode::from(2);
    }
    match run(&cells, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            let is_skipped = matches!(error, CellError::Link(LinkError::Unavailable { .. }));
            say(&format!("{}: {error}: {cause}", if is_skipped { "skipped" } else { "failed" }));
            if is_skipped { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn cells() -> Vec<Cell> {
    let none = Duration::ZERO;
    let alone = |links, apart_s| Cell { links, apart: Duration::from_secs(apart_s), tcp: None, buffer: RTT };
    let mut cells: Vec<_> =
        [(2, 0), (2, 2), (4, 0), (4, 2), (10, 0), (10, 2)].map(|(links, apart)| alone(links, apart)).into();
    for tcp in ["cubic", "bbr"] {
        for buffer in [RTT, RTT * 4] {
            cells.push(Cell { links: 1, apart: none, tcp: Some(tcp), buffer });
        }
    }
    for (links, apart_s) in [(1, 0), (2, 2)] {
        cells.push(Cell { buffer: SHORT_BUFFER, ..alone(links, apart_s) });
    }
    cells
}

/// Runs all cells with all seeds, some runs at once, and prints what they have shown.
fn run(cells: &[Cell], arguments: &Arguments) -> Result<(), CellError> {
    let time = Duration::from_secs(arguments.seconds);
    let jobs: Vec<_> =
        cells.iter().flat_map(|cell| (1..=arguments.seeds).map(move |seed| (cell, seed))).collect();
    let mut outcomes = Vec::new();
    while let Some(rest) = jobs.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
        let batch = &rest[..fitting(rest.iter().map(|(cell, _)| cell.flows()), arguments.flows)];
        let ran: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> =
                batch.iter().map(|(cell, seed)| scope.spawn(|| cell.run(time, *seed))).collect();
            runs.into_iter().map(|run| run.join().expect("a run does not panic")).collect()
        });
        for ((cell, seed), outcome) in batch.iter().zip(ran) {
            outcomes.push(outcome?);
            if let Some(outcome) = outcomes.last().filter(|_| arguments.trace) {
                trace(cell, *seed, outcome);
            }
        }
    }
    say(HEADER);
    for (cell, outcomes) in cells.iter().zip(outcomes.chunks_exact(outcomes.len() / cells.len())) {
        say(&row(cell, outcomes));
    }
    Ok(())
}

/// Returns how many runs fit beside each other, by how many flows each has: at least one.
fn fitting(runs: impl Iterator<Item = usize>, flows_max: usize) -> usize {
    let sums = runs.scan(0, |sum, flows| {
        *sum += flows;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= flows_max).count().max(1)
}

fn row(cell: &Cell, outcomes: &[Outcome]) -> String {
    let percent = |value: f64| format!("{:.0} %", value * 100.0);
    let runnel = |outcome: &Outcome| outcome.shares[..cell.links].iter().sum();
    let tcp = |outcome: &Outcome| outcome.shares.get(cell.links).copied().unwrap_or_default();
    let (aim, met) = if cell.tcp.is_some() {
        (
            "each ≥ 0.33, used ≥ 90 %",
            outcomes.iter().filter(|it| it.smallest() >= 1.0 / 3.0 && it.used() >= 0.9).count(),
        )
    } else {
        (
            "index ≥ 0.95, used ≥ 90 %",
            outcomes.iter().filter(|it| it.fairness() >= 0.95 && it.used() >= 0.9).count(),
        )
    };
    let columns = [
        cell.to_string(),
        outcomes.len().to_string(),
        spread(outcomes, Outcome::fairness, |value| format!("{value:.3}")),
        spread(outcomes, Outcome::smallest, |value| format!("{value:.2}")),
        spread(outcomes, runnel, percent),
        if cell.tcp.is_some() { spread(outcomes, tcp, percent) } else { String::new() },
        spread(outcomes, Outcome::used, percent),
        spread(outcomes, |outcome| ms(outcome.queueing), |value| format!("{value:.0}")),
        spread(outcomes, |outcome| ms(outcome.lateness), |value| format!("{value:.2}")),
        aim.to_owned(),
        if met == outcomes.len() { "yes".to_owned() } else { format!("no ({met} of {})", outcomes.len()) },
    ];
    format!("| {} |", columns.join(" | "))
}

/// Writes the median of the runs, and the lowest and the highest.
fn spread(outcomes: &[Outcome], value: impl Fn(&Outcome) -> f64, write: impl Fn(f64) -> String) -> String {
    let mut values: Vec<_> = outcomes.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let [lowest, median, highest] = [0, values.len() / 2, values.len() - 1].map(|index| write(values[index]));
    if lowest == highest { median } else { format!("{median} ({lowest}–{highest})") }
}

fn trace(cell: &Cell, seed: u64, outcome: &Outcome) {
    say(&format!("{cell}, seed {seed}: percent of the link, each second"));
    for (index, _) in outcome.shares.iter().enumerate() {
        let seconds: Vec<_> =
            outcome.seconds.iter().map(|shares| format!("{:.0}", shares[index] * 100.0)).collect();
        say(&format!("  flow {index}: {}", seconds.join(" ")));
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn say(line: &str) {
    // A reader that has gone away wants no more.
    let _ = writeln!(io::stdout(), "{line}");
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self { seconds: 60, seeds: 5, flows: 10, only: String::new(), trace: false };
        while let Some(word) = words.next() {
            if word == "--trace" {
                arguments.trace = true;
                continue;
            }
            let value = words.next()?;
            match word.as_str() {
                "--seconds" => arguments.seconds = value.parse().ok().filter(|seconds| *seconds > 0)?,
                "--seeds" => arguments.seeds = value.parse().ok().filter(|seeds| *seeds > 0)?,
                "--flows" => arguments.flows = value.parse().ok()?,
                "--only" => arguments.only = value,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

const HEADER: &str = "\
| cell | runs | Jain's index | smallest share, 1 is equal | Runnel, of the link | TCP | used | queue ms | late ms | aim | met |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Shorter than the queue that the controller aims at.
const SHORT_BUFFER: Duration = Duration::from_millis(5);
