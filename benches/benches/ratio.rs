//! How much of raw quinn's rate is left: commands per second on loopback, 64 in flight, as one plain line.
//!
//! The two are measured in turns, so that whatever else the machine does falls on both, and the medians are compared.
//! The second line has the processor time of a command, all threads together: it moves less when the machine is busy.
//! `--test` takes a single short turn.

use std::io::{self, Write};
use std::time::Duration;

use runnel_benches::{Handling, NodePair, RawPair};
use rustix::time::{ClockId, clock_gettime};

/// One measurement.
#[derive(Clone, Copy)]
struct Cost {
    /// Commands per second.
    rate: f64,
    /// Microseconds of processor time per command.
    processor_micros: f64,
}

fn main() -> io::Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (turns, commands) = if is_test { (1, 1_000) } else { (TURNS, COMMANDS) };
    let nodes = NodePair::start(Handling::Inline);
    let mut raw = RawPair::echo(IN_FLIGHT);
    let mut pairs = Vec::new();
    for _ in 0..=turns {
        let runnel = measure(commands, || nodes.echo(IN_FLIGHT, commands));
        pairs.push((runnel, measure(commands, || raw.run(IN_FLIGHT, commands))));
    }
    nodes.stop();
    raw.stop();
    // The first turn warms up.
    report(&pairs[1..])
}

fn measure(commands: u64, run: impl FnOnce() -> Duration) -> Cost {
    let processor_before = processor_time();
    let elapsed = run();
    let processor = processor_time().saturating_sub(processor_before);
    Cost {
        rate: commands as f64 / elapsed.as_secs_f64(),
        processor_micros: processor.as_secs_f64() * 1e6 / commands as f64,
    }
}

fn report(pairs: &[(Cost, Cost)]) -> io::Result<()> {
    let rate = Medians::of(pairs, |cost| cost.rate);
    let processor = Medians::of(pairs, |cost| cost.processor_micros);
    let mut out = io::stdout();
    writeln!(
        out,
        "echo, {IN_FLIGHT} in flight: runnel {:.0}/s, raw quinn {:.0}/s, ratio {:.2}",
        rate.runnel, rate.raw, rate.ratio
    )?;
    writeln!(
        out,
        "processor time of an echo, both nodes and callers: runnel {:.1} us, raw quinn {:.1} us, ratio {:.2}",
        processor.runnel, processor.raw, processor.ratio
    )
}

/// Medians of one figure, and of its ratio in each turn.
struct Medians {
    runnel: f64,
    raw: f64,
    ratio: f64,
}

impl Medians {
    fn of(pairs: &[(Cost, Cost)], figure: impl Fn(&Cost) -> f64) -> Self {
        Self {
            runnel: median(pairs.iter().map(|(runnel, _)| figure(runnel)).collect()),
            raw: median(pairs.iter().map(|(_, raw)| figure(raw)).collect()),
            ratio: median(pairs.iter().map(|(runnel, raw)| figure(runnel) / figure(raw)).collect()),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the time that this process has had on all processors.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

const IN_FLIGHT: usize = 64;

/// Pairs of measurements.
const TURNS: usize = 21;

/// Commands in one measurement: some tenths of a second.
const COMMANDS: u64 = 20_000;
