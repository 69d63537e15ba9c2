//! Runs whole nodes through seeds of faults on a virtual clock, and says which promise was broken, if one was.
//!
//! Usage: `sim [--seeds N] [--seed FIRST] [--minutes M] [--workers W] [--failed] [--marks] [--trace | --packets]`
//!
//! `--failed` runs the seeds that ever failed, `--marks` fails if a rare path was never gone, `--trace` and `--packets` tell
//! what happens.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use runnel_tests::sim::{Detail, Mark, Options, Report, run};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    seeds: u64,
    first: u64,
    minutes: u64,
    workers: Option<usize>,
    is_failed: bool,
    is_marks: bool,
    detail: Detail,
}

/// The sums over all seeds.
#[derive(Debug, Default)]
struct Totals {
    seeds: u64,
    virtual_time: Duration,
    orders: u64,
    faults: u64,
    packets: u64,
    marks: BTreeSet<Mark>,
    failed: Vec<u64>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            say(&format!("{fault}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    say(&format!("commit {}, {arguments:?}", commit()));
    let mut totals = Totals::default();
    for seed in arguments.seeds() {
        let mut options = Options::draw(seed);
        if let Some(workers) = arguments.workers {
            options = options.with_workers(workers);
        }
        let report = run(options.clone(), Duration::from_secs(60 * arguments.minutes), arguments.detail);
        if arguments.seeds == 1 && !arguments.is_failed {
            say(&format!("{options:?}"));
        }
        say(&line(seed, &report));
        for violation in report.violations.iter().take(VIOLATIONS_SHOWN) {
            say(&format!("seed {seed}: VIOLATION of {violation}"));
        }
        if report.violations.len() > VIOLATIONS_SHOWN {
            say(&format!("seed {seed}: {} violations in all", report.violations.len()));
        }
        if !report.violations.is_empty() {
            say(&format!("seed {seed} was made of {options:?}"));
        }
        totals.add(seed, &report);
    }
    totals.say();
    let missing: Vec<_> = Mark::ALL.into_iter().filter(|mark| !totals.marks.contains(mark)).collect();
    if !missing.is_empty() {
        say(&format!("never gone: {missing:?}"));
    }
    let is_complete = !arguments.is_marks || missing.is_empty();
    if totals.failed.is_empty() && is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            seeds: 1,
            first: 1,
            minutes: 10,
            workers: None,
            is_failed: false,
            is_marks: false,
            detail: Detail::None,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut number = || match words.next().map(|text| text.parse::<u64>()) {
                Some(Ok(number)) => Ok(number),
                _ => Err(format!("{word} needs a number")),
            };
            match word.as_str() {
                "--seeds" => arguments.seeds = number()?,
                "--seed" => arguments.first = number()?,
                "--minutes" => arguments.minutes = number()?,
                "--workers" => {
                    let workers = usize::try_from(number()?).map_err(|error| error.to_string())?;
                    arguments.workers = Some(workers.clamp(1, WORKERS_MAX));
                }
                "--failed" => arguments.is_failed = true,
                "--marks" => arguments.is_marks = true,
                "--trace" => arguments.detail = Detail::Events,
                "--packets" => arguments.detail = Detail::Packets,
                _ => return Err(format!("there is no argument {word}")),
            }
        }
        Ok(arguments)
    }

    fn seeds(&self) -> Vec<u64> {
        if self.is_failed { failed_seeds() } else { (self.first..self.first + self.seeds).collect() }
    }
}

impl Totals {
    fn add(&mut self, seed: u64, report: &Report) {
        self.seeds += 1;
        self.virtual_time += report.took;
        self.orders += report.orders;
        self.faults += report.faults;
        self.packets += report.packets.delivered;
        self.marks.extend(&report.marks);
        if !report.violations.is_empty() {
            self.failed.push(seed);
        }
    }

    fn say(&self) {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let took = Duration::try_from(cpu).unwrap_or_default();
        let rate = self.virtual_time.as_secs_f64() / took.as_secs_f64().max(1e-3);
        say(&format!(
            "{} seeds, {:.1} virtual hours in {:.1} s of CPU time ({rate:.0} virtual s in each): {} commands, {} faults, {} packets, \
             {} of {} rare paths, {} seeds with violations {:?}",
            self.seeds,
            self.virtual_time.as_secs_f64() / 3600.0,
            took.as_secs_f64(),
            self.orders,
            self.faults,
            self.packets,
            self.marks.len(),
            Mark::ALL.len(),
            self.failed.len(),
            self.failed,
        ));
    }
}

fn line(seed: u64, report: &Report) -> String {
    let mut text = format!(
        "seed {seed}: digest {}, {} events, {:.0} virtual s, {} faults, {} commands:",
        report.digest.to_hex().split_at(16).0,
        report.events,
        report.took.as_secs_f64(),
        report.faults,
        report.orders,
    );
    for (outcome, count) in &report.outcomes {
        // Writing to a string does not fail.
        write!(text, " {count} {outcome}").ok();
    }
    text
}

/// Returns the seeds that ever failed: one a line, with a word on why behind it.
fn failed_seeds() -> Vec<u64> {
    let lines = include_str!("../sim/failed-seeds").lines();
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn say(text: &str) {
    // Nobody may read it any more.
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

const USAGE: &str = "usage: sim [--seeds N] [--seed FIRST] [--minutes M] [--workers W] [--failed] [--marks] [--trace | --packets]";

/// Of one seed: the first tells most.
const VIOLATIONS_SHOWN: usize = 3;

/// More would not have an address each.
const WORKERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let words = ["--seeds", "5", "--seed", "7", "--minutes", "2", "--packets"].map(str::to_owned);
        let arguments = Arguments::parse(words.into_iter()).unwrap();
        assert_eq!(arguments.seeds(), [7, 8, 9, 10, 11]);
        assert_eq!((arguments.minutes, arguments.detail), (2, Detail::Packets));
        assert!(Arguments::parse(["--seeds".to_owned()].into_iter()).is_err());
        assert!(Arguments::parse(["--sedes".to_owned()].into_iter()).is_err());
    }
}
