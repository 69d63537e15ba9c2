//! How it goes: a bar on a terminal, lines elsewhere, objects for programs.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::json;

use super::arguments::Arguments;
use super::verdict::Verdict;
use super::world::Kills;

/// Where it is shown how it goes.
pub(super) struct Show {
    arguments: Arguments,
    is_bar: bool,
}

impl Show {
    pub(super) fn new(arguments: &Arguments) -> Self {
        let is_bar = !arguments.is_json && std::io::stderr().is_terminal();
        Self { arguments: arguments.clone(), is_bar }
    }

    pub(super) fn begin(&self) {
        let Arguments { rounds, seed, .. } = self.arguments;
        if self.arguments.is_json {
            say(&json!({ "event": "begin", "rounds": rounds, "seed": seed }).to_string());
        } else {
            say(&format!("{rounds} rounds, seed {seed}"));
        }
    }

    pub(super) fn progress(&self, round: u64, ended: usize) {
        let rounds = self.arguments.rounds;
        if self.is_bar {
            let bar: String = (0..BAR_CHARS)
                .map(|char| if char * rounds < round * BAR_CHARS { '#' } else { ' ' })
                .collect();
            let end = if round == rounds { "\n" } else { "" };
            write!(std::io::stderr(), "\r[{bar}] round {round} of {rounds}, {ended} commands ended{end}")
                .ok();
        } else if round.is_multiple_of(LINE_EVERY) || round == rounds {
            if self.arguments.is_json {
                let object = json!({ "event": "progress", "round": round, "rounds": rounds, "ended": ended });
                say(&object.to_string());
            } else {
                say(&format!("round {round} of {rounds}, {ended} commands ended"));
            }
        }
    }

    pub(super) fn end(&self, verdict: &Verdict, kills: &Kills, took: Duration) {
        if self.arguments.is_json {
            let mut summary = verdict.to_json();
            summary["seed"] = json!(self.arguments.seed);
            summary["rounds"] = json!(self.arguments.rounds);
            summary["took_ms"] = json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            summary["killed"] = json!({ "controllers": kills.controllers, "workers": kills.workers,
                "supervisors": kills.supervisors });
            return say(&summary.to_string());
        }
        for (word, findings) in
            [("lost", &verdict.lost), ("doubled", &verdict.doubled), ("wrong", &verdict.wrong)]
        {
            findings.iter().for_each(|finding| say(&format!("{word}: {finding}")));
        }
        let Kills { controllers, workers, supervisors } = kills;
        say(&format!(
            "killed: {controllers} controllers, {workers} workers, {supervisors} supervisors; {} commands, {} orders repeated",
            verdict.commands, verdict.repeated
        ));
        let outcomes: Vec<_> =
            verdict.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        say(&format!("outcomes: {}; {} lost their supervisor", outcomes.join(", "), verdict.bereft));
        say(&format!(
            "seed {}, {} rounds in {:.1} s: lost {}, doubled {}, wrong {}",
            self.arguments.seed,
            self.arguments.rounds,
            took.as_secs_f64(),
            verdict.lost.len(),
            verdict.doubled.len(),
            verdict.wrong.len()
        ));
    }
}

/// Says a line.
pub(super) fn say(text: &str) {
    // Nobody may read it any more.
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

const BAR_CHARS: u64 = 40;

/// Rounds from one line to the next.
const LINE_EVERY: u64 = 10;
