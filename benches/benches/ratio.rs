//! How much of raw quinn's rate is left: commands per second on loopback, 64 in flight, as one plain line.
//!
//! The two are measured in turns, so that whatever else the machine does falls on both, and the medians are compared.
//! `--test` takes a single short turn.

use std::io::{self, Write};
use std::time::Duration;

use runnel_benches::{Handling, NodePair, RawPair};

fn main() -> io::Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (turns, commands) = if is_test { (1, 1_000) } else { (TURNS, COMMANDS) };
    let nodes = NodePair::start(Handling::Inline);
    let mut raw = RawPair::echo(IN_FLIGHT);
    let (mut runnel_rates, mut raw_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first turn warms up.
    for turn in 0..=turns {
        let runnel_rate = rate(commands, nodes.echo(IN_FLIGHT, commands));
        let raw_rate = rate(commands, raw.run(IN_FLIGHT, commands));
        if turn > 0 {
            runnel_rates.push(runnel_rate);
            raw_rates.push(raw_rate);
            ratios.push(runnel_rate / raw_rate);
        }
    }
    nodes.stop();
    raw.stop();
    let (runnel_rate, raw_rate, ratio) = (median(runnel_rates), median(raw_rates), median(ratios));
    writeln!(
        io::stdout(),
        "echo, {IN_FLIGHT} in flight: runnel {runnel_rate:.0}/s, raw quinn {raw_rate:.0}/s, ratio {ratio:.2}"
    )
}

fn rate(commands: u64, elapsed: Duration) -> f64 {
    commands as f64 / elapsed.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const IN_FLIGHT: usize = 64;

/// Pairs of measurements.
const TURNS: usize = 15;

/// Commands in one measurement: some tenths of a second.
const COMMANDS: u64 = 30_000;
