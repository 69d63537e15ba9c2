//! The demo's last word.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use runnel::Status;
use runnel::codec::Class;
use runnel::relay::{DirectionCounts, RelayCounts};

use super::tally::Tally;
use super::workload::CommandResult;

/// All that the demo found out.
pub(super) struct Report<'a> {
    pub(super) results: &'a [CommandResult],
    pub(super) tally: &'a Tally,
    pub(super) status: &'a Status,
    pub(super) relays: &'a [RelayCounts],
    pub(super) took: Duration,
}

impl Report<'_> {
    /// Returns whether everything ran once and said what it should.
    pub(super) fn passed(&self) -> bool {
        self.tally.is_clean() && self.wrong().next().is_none() && !self.results.is_empty()
    }

    fn wrong(&self) -> impl Iterator<Item = (&CommandResult, &str)> {
        self.results.iter().filter_map(|result| Some((result, result.verdict.as_ref().err()?.as_str())))
    }

    fn write_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8} {:>9} {:>9} {:>9}", "class", "commands", "p50 ms", "p99 ms")?;
        for class in Class::ALL {
            let mut latencies = Histogram::<u64>::new(3).map_err(|_| fmt::Error)?;
            for result in self.results.iter().filter(|result| result.class == class) {
                latencies.saturating_record(u64::try_from(result.latency.as_millis()).unwrap_or(u64::MAX));
            }
            let (p50, p99) = (latencies.value_at_quantile(0.5), latencies.value_at_quantile(0.99));
            writeln!(f, "{class:<8} {:>9} {p50:>9} {p99:>9}", latencies.len())?;
        }
        Ok(())
    }

    fn write_links(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<8} {:>9} {:>9} {:>9} {:>11} {:>14}",
            "link", "rtt ms", "sent", "lost", "migrations", "last packet ms"
        )?;
        for link in &self.status.links {
            writeln!(
                f,
                "{:<8} {:>9} {:>9} {:>9} {:>11} {:>14}",
                link.peer,
                link.stats.rtt.as_millis(),
                link.stats.packets_sent,
                link.stats.packets_lost,
                link.stats.migrations,
                link.silent_for.as_millis(),
            )?;
        }
        writeln!(f, "links that came up: {}", self.status.links_total)
    }

    fn write_relays(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |count: fn(&DirectionCounts) -> u64| -> u64 {
            self.relays.iter().map(|relay| count(&relay.up) + count(&relay.down)).sum()
        };
        let rebinds: u64 = self.relays.iter().map(|relay| relay.rebinds).sum();
        let blackouts: u64 = self.relays.iter().map(|relay| relay.blackouts).sum();
        writeln!(
            f,
            "relays: {} packets forwarded ({} bytes), {} lost, {} dropped by full queues, {} in blackouts; {rebinds} rebinds, {blackouts} blackouts",
            sum(|counts| counts.forwarded),
            sum(|counts| counts.forwarded_bytes),
            sum(|counts| counts.lost),
            sum(|counts| counts.queue_dropped),
            sum(|counts| counts.blackout_dropped),
        )
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_classes(f)?;
        writeln!(f)?;
        self.write_links(f)?;
        self.write_relays(f)?;
        writeln!(f)?;
        for (result, wrong) in self.wrong() {
            writeln!(f, "wrong: {}: {wrong}", result.id)?;
        }
        for (word, ids) in [
            ("lost", &self.tally.lost),
            ("doubled", &self.tally.doubled),
            ("never submitted", &self.tally.strangers),
        ] {
            for id in ids {
                writeln!(f, "{word}: {id}")?;
            }
        }
        let bytes: usize = self.results.iter().map(|result| result.output_bytes).sum();
        let failures = self.results.iter().filter(|result| result.is_failure).count();
        writeln!(
            f,
            "{} commands in {:.1} s, {failures} of them with an exit code other than 0, {bytes} bytes of output",
            self.results.len(),
            self.took.as_secs_f64(),
        )?;
        writeln!(
            f,
            "lost {}, doubled {}, wrong {}",
            self.tally.lost.len(),
            self.tally.doubled.len(),
            self.wrong().count() + self.tally.strangers.len(),
        )
    }
}
