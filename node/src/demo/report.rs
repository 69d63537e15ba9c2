//! The demo's last word.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use runnel::codec::Class;
use runnel::relay::{DirectionCounts, RelayCounts};
use serde_json::{Value, json};

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
        let (_, p50, p99) = self.quick_urgent();
        let least = self.findings.links.rtt_ms_min.unwrap_or_default();
        writeln!(
            f,
            "urgent commands that do not wait on purpose: p50 {p50} ms, p99 {p99} ms; the link's floor: {} ms, best measured round trip {least:.0} ms",
            self.rtt.as_millis(),
        )
    }

    fn latencies(&self, is_meant: impl Fn(&CommandResult) -> bool) -> (u64, u64, u64) {
        let meant = self.findings.results.iter().filter(|result| is_meant(result));
        percentiles(meant.map(|result| millis(result.latency)))
    }

    /// Says it all in one object, for programs.
    pub(super) fn to_json(&self) -> Value {
        let classes = Class::ALL.map(|class| {
            let (count, p50, p99) = self.latencies(|result| result.class == class);
            json!({ "class": class.as_str(), "commands": count, "p50_ms": p50, "p99_ms": p99 })
        });
        let (_, urgent_p50, urgent_p99) = self.quick_urgent();
        let wrong = self.wrong_commands().map(|(result, why)| json!({ "id": result.id, "why": why }));
        json!({
            "event": "summary",
            "passed": self.passed(),
            "commands": self.findings.results.len(),
            "took_ms": millis(self.took),
            "classes": classes,
            "urgent": { "p50_ms": urgent_p50, "p99_ms": urgent_p99, "floor_ms": millis(self.rtt),
                "rtt_ms_min": self.findings.links.rtt_ms_min },
            "outcomes": self.outcomes(),
            "output_bytes": self.output_bytes(),
            "upload": self.findings.upload.as_ref().map(|upload| match upload {
                Ok((bytes, took)) => json!({ "bytes": bytes, "took_ms": millis(*took) }),
                Err(wrong) => json!({ "wrong": wrong }),
            }),
            "links": { "migrations": self.findings.links.migrations(), "rebinds": self.rebinds(),
                "reconnects": self.findings.links.reconnects(), "blackouts": self.blackouts() },
            "relays": { "packets": self.sum(|counts| counts.forwarded),
                "bytes": self.sum(|counts| counts.forwarded_bytes), "lost": self.sum(|counts| counts.lost),
                "queue_dropped": self.sum(|counts| counts.queue_dropped),
                "blackout_dropped": self.sum(|counts| counts.blackout_dropped) },
            "lost": self.tally.lost,
            "doubled": self.tally.doubled,
            "strangers": self.tally.strangers,
            "wrong": wrong.collect::<Vec<_>>(),
        })
    }

    fn quick_urgent(&self) -> (u64, u64, u64) {
        // Those that sleep on purpose would say nothing of the link.
        self.latencies(|result| result.class == Class::Urgent && result.task.is_quick())
    }

    fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for result in &self.findings.results {
            *outcomes.entry(result.outcome_words()).or_default() += 1;
        }
        outcomes
    }

    fn output_bytes(&self) -> usize {
        self.findings.results.iter().map(|result| result.output_bytes).sum()
    }

    fn rebinds(&self) -> u64 {
        self.relays.iter().map(|relay| relay.rebinds).sum()
    }

    fn blackouts(&self) -> u64 {
        self.relays.iter().map(|relay| relay.blackouts).sum()
    }

    /// Adds up what the relays counted, both ways.
    fn sum(&self, count: fn(&DirectionCounts) -> u64) -> u64 {
        self.relays.iter().map(|relay| count(&relay.up) + count(&relay.down)).sum()
    }

    fn write_outcomes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes: Vec<_> =
            self.outcomes().iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        writeln!(f, "outcomes: {}; {} bytes of output", outcomes.join(", "), self.output_bytes())
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
        let bytes = self.sum(|counts| counts.forwarded_bytes);
        writeln!(
            f,
            "links: {} migrations followed, {} rebinds by the relays; {} reconnects, {} blackouts",
            self.findings.links.migrations(),
            self.rebinds(),
            self.findings.links.reconnects(),
            self.blackouts(),
        )?;
        writeln!(
            f,
            "relays: {} packets, {bytes} bytes ({:.1} Mbit/s); {} lost, {} dropped by full queues, {} in blackouts",
            self.sum(|counts| counts.forwarded),
            bytes as f64 * 8.0 / 1e6 / self.took.as_secs_f64(),
            self.sum(|counts| counts.lost),
            self.sum(|counts| counts.queue_dropped),
            self.sum(|counts| counts.blackout_dropped),
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
