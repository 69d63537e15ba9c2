//! How long urgent commands take while bulk fills a link, how much of the link bulk gets, and how long they take alone where
//! packets are lost, on a virtual clock.
//!
//! Usage: `urgent [--seconds S] [--seed N] [--only TEXT]`
//!
//! Prints a Markdown table: a row for each link, direction of the bulk, and congestion controller. "Of the link" is what of
//! its rate bodies get, "on the wire" what all packets that way take, headers of IP and UDP with them: what lies between is
//! headers, urgent commands and what was sent again, and what the wire lacks of 100 % the link idles.

mod measure;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use runnel_tests::sim::{BurstConfig, PathConfig, RateConfig};
use runnel_transport::CongestionControl;

use self::measure::{Bulk, Case, Figures, measure};

/// What is asked for.
struct Arguments {
    seconds: u64,
    seed: u64,
    only: String,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        say("usage: urgent [--seconds S] [--seed N] [--only TEXT]");
        return ExitCode::from(2);
    };
    say("| link | bulk | control | p50 ms | p99 ms | max ms | of the link | on the wire | commands |");
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, path) in links() {
        for bulk in [Bulk::Up, Bulk::Down] {
            arguments.show(name, path, bulk, 4, Duration::from_millis(20));
        }
    }
    // One body alone: its windows have to hold what waits behind lost packets.
    for bulk in [Bulk::Up, Bulk::Down] {
        let name = "100 Mbit/s, 60 ms, 1 % loss, one body";
        arguments.show(name, link(60, 100, 0.01), bulk, 1, Duration::from_millis(20));
    }
    // Without bulk so many commands that each lost packet shows in some.
    let name = "20 Mbit/s, 50 ms, 20 % loss, 200 commands/s";
    arguments.show(name, link(50, 20, 0.2), Bulk::None, 0, Duration::from_millis(5));
    ExitCode::SUCCESS
}

/// The links of the project's aims.
fn links() -> Vec<(&'static str, PathConfig)> {
    // 5 % in all.
    let bursts =
        BurstConfig { good_for: Duration::from_millis(900), bad_for: Duration::from_millis(100), loss: 0.5 };
    vec![
        ("20 Mbit/s, 50 ms", link(50, 20, 0.0)),
        ("20 Mbit/s, 50 ms, 1 % loss", link(50, 20, 0.01)),
        ("20 Mbit/s, 50 ms, 5 % loss", link(50, 20, 0.05)),
        ("5 Mbit/s, 120 ms, 5 % burst loss", PathConfig { bursts: Some(bursts), ..link(120, 5, 0.0) }),
        ("5 Mbit/s, 50 ms", link(50, 5, 0.0)),
        ("1 Mbit/s, 50 ms", link(50, 1, 0.0)),
        ("100 Mbit/s, 20 ms", link(20, 100, 0.0)),
    ]
}

/// A link with a queue of 50 ms.
fn link(rtt_ms: u64, mbit: u64, loss: f64) -> PathConfig {
    let bits_per_second = mbit * 1_000_000;
    PathConfig {
        rate: Some(RateConfig { bits_per_second, queue_bytes: bits_per_second / 8 * 50 / 1000 }),
        ..PathConfig::lossy(Duration::from_millis(rtt_ms / 2), Duration::ZERO, loss)
    }
}

fn row(figures: &Figures) -> String {
    let ms = |percent| figures.latency(percent).as_secs_f64() * 1000.0;
    format!(
        "{:.1} | {:.1} | {:.1} | {:.1} % | {:.1} % | {} |",
        ms(50),
        ms(99),
        ms(100),
        figures.used * 100.0,
        figures.on_the_wire * 100.0,
        figures.latencies.len()
    )
}

impl Arguments {
    /// Measures a link with each congestion controller, as far as that is asked for.
    fn show(&self, name: &str, path: PathConfig, bulk: Bulk, bodies: usize, interval: Duration) {
        for control in [CongestionControl::Delay, CongestionControl::Bbr, CongestionControl::Cubic] {
            let text = format!("| {name} | {bulk} | {control:?} |");
            if text.contains(&self.only) {
                let case = Case { path, bulk, bodies, control, interval, seed: self.seed };
                say(&format!("{text} {}", row(&measure(&case, Duration::from_secs(self.seconds)))));
            }
        }
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self { seconds: 30, seed: 1, only: String::new() };
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--seconds" => arguments.seconds = value.parse().ok()?,
                "--seed" => arguments.seed = value.parse().ok()?,
                "--only" => arguments.only = value,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn say(line: &str) {
    // A reader that has gone away wants no more.
    let _ = writeln!(std::io::stdout(), "{line}");
}
