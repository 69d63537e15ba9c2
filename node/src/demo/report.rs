//! The demo's last word.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use runnel::codec::Class;
use runnel::relay::{DirectionCounts, RelayCounts};

use super::drive::{CommandResult, Findings};
use super::percentiles;
use super::tally::Tally;

/// All that the demo found out.
pub(super) struct Report<'a> {
    pub(super) findings: &'a Findings,
    pub(super) tally: &'a Tally,
    pub(super) relays: &'a [RelayCounts],
    /// Round trip of the relays, without loss and queues.
    pub(super) rtt: Duration,
    pub(super) took: Duration,
}

impl Report<'_> {
    /// Returns whether everything ran once and said what it should.
    pub(super) fn passed(&self) -> bool {
        self.tally.is_clean() && self.wrong() == 0 && !self.findings.results.is_empty()
    }

    fn wrong(&self) -> usize {
        let upload = matches!(self.findings.upload, Some(Err(_)));
        self.wrong_commands().count() + self.tally.strangers.len() + usize::from(upload)
    }

    fn wrong_commands(&self) -> impl Iterator<Item = (&CommandResult, &str)> {
        self.findings
            .results
            .iter()
            .filter_map(|result| Some((result, result.verdict.as_ref().err()?.as_str())))
    }

    fn write_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8} {:>9} {:>9} {:>9}", "class", "commands", "p50 ms", "p99 ms")?;
        for class in Class::ALL {
            let (count, p50, p99) = self.latencies(|result| result.class == class);
            writeln!(f, "{class:<8} {count:>9} {p50:>9} {p99:>9}")?;
        }
        // Those that sleep on purpose would say nothing of the link.
        let (_, p50, p99) = self.latencies(|result| result.class == Class::Urgent && result.task.is_quick());
        let least = self.findings.links.rtt_ms_min.unwrap_or_default();
        writeln!(
            f,
            "urgent commands that do not wait on purpose: p50 {p50} ms, p99 {p99} ms; the link's floor: {} ms, best measured round trip {least:.0} ms",
            self.rtt.as_millis(),
        )
    }

    fn latencies(&self, is_meant: impl Fn(&CommandResult) -> bool) -> (u64, u64, u64) {
        let meant = self.findings.results.iter().filter(|result| is_meant(result));
        percentiles(meant.map(|result| u64::try_from(result.latency.as_millis()).unwrap_or(u64::MAX)))
    }

    fn write_outcomes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outcomes = BTreeMap::<String, usize>::new();
        for result in &self.findings.results {
            *outcomes.entry(result.outcome_words()).or_default() += 1;
        }
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let bytes: usize = self.findings.results.iter().map(|result| result.output_bytes).sum();
        writeln!(f, "outcomes: {}; {bytes} bytes of output", outcomes.join(", "))
    }

    fn write_upload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.findings.upload {
            None => Ok(()),
            Some(Err(wrong)) => writeln!(f, "upload: wrong: {wrong}"),
            Some(Ok((bytes, took))) => {
                let rate = *bytes as f64 * 8.0 / 1e6 / took.as_secs_f64();
                writeln!(
                    f,
                    "upload: {bytes} bytes in {:.1} s ({rate:.1} Mbit/s), checked by BLAKE3",
                    took.as_secs_f64()
                )
            }
        }
    }

    fn write_relays(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |count: fn(&DirectionCounts) -> u64| -> u64 {
            self.relays.iter().map(|relay| count(&relay.up) + count(&relay.down)).sum()
        };
        let rebinds: u64 = self.relays.iter().map(|relay| relay.rebinds).sum();
        let blackouts: u64 = self.relays.iter().map(|relay| relay.blackouts).sum();
        let bytes = sum(|counts| counts.forwarded_bytes);
        writeln!(
            f,
            "links: {} migrations followed, {rebinds} rebinds by the relays; {} reconnects, {blackouts} blackouts",
            self.findings.links.migrations(),
            self.findings.links.reconnects(),
        )?;
        writeln!(
            f,
            "relays: {} packets, {bytes} bytes ({:.1} Mbit/s); {} lost, {} dropped by full queues, {} in blackouts",
            sum(|counts| counts.forwarded),
            bytes as f64 * 8.0 / 1e6 / self.took.as_secs_f64(),
            sum(|counts| counts.lost),
            sum(|counts| counts.queue_dropped),
            sum(|counts| counts.blackout_dropped),
        )
    }

    fn write_wrong(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (result, wrong) in self.wrong_commands() {
            writeln!(f, "wrong: {}: {wrong}", result.id)?;
        }
        for (word, ids) in [
            ("lost", &self.tally.lost),
            ("doubled", &self.tally.doubled),
            ("ran without being meant to", &self.tally.strangers),
        ] {
            for id in ids {
                writeln!(f, "{word}: {id}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_classes(f)?;
        writeln!(f)?;
        self.write_outcomes(f)?;
        self.write_upload(f)?;
        self.write_relays(f)?;
        self.write_wrong(f)?;
        writeln!(f, "{} commands in {:.1} s", self.findings.results.len(), self.took.as_secs_f64())?;
        writeln!(
            f,
            "lost {}, doubled {}, wrong {}",
            self.tally.lost.len(),
            self.tally.doubled.len(),
            self.wrong()
        )
    }
}
