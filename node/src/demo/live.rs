//! The demo while it runs: a table that is drawn again and again on a terminal, a line now and then elsewhere, and objects
//! for programs.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use runnel::codec::Class;
use serde_json::{Value, json};

use super::drive::Links;
use super::percentiles;
use runnel_client::api::{CommandInfo, NodeInfo};

/// Who looks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// People: standard error has the table or the lines.
    People,
    /// A program: standard output has an object a line.
    Program,
}

/// Where it is shown how things are.
pub(super) struct Live {
    form: Form,
    /// What is newer by the demo's own time is shown.
    next_at: Duration,
}

enum Form {
    Table {
        /// Lines that are on the terminal and will be drawn over.
        drawn: usize,
    },
    Lines,
    Objects,
}

/// What is shown.
pub(super) struct View<'a> {
    pub(super) planned: usize,
    pub(super) elapsed: Duration,
    pub(super) commands: &'a [CommandInfo],
    pub(super) nodes: &'a [NodeInfo],
    pub(super) links: &'a Links,
}

impl Live {
    pub(super) fn new(audience: Audience) -> Self {
        let form = match audience {
            Audience::Program => Form::Objects,
            Audience::People if std::io::stderr().is_terminal() => Form::Table { drawn: 0 },
            Audience::People => Form::Lines,
        };
        Self { form, next_at: Duration::ZERO }
    }

    /// Shows how things are now, unless it was shown a moment ago.
    pub(super) fn show(&mut self, view: &View<'_>) {
        if view.elapsed < self.next_at {
            return;
        }
        self.next_at = view.elapsed + self.form.interval();
        // A reader that is gone is no reason to stop: the count goes on, and so does the exit status.
        match &mut self.form {
            Form::Table { drawn } => {
                let table = view.table();
                std::io::stderr().write_all(format!("{}{table}", over(*drawn)).as_bytes()).ok();
                *drawn = table.lines().count();
            }
            Form::Lines => drop(std::io::stderr().write_all(view.line().as_bytes())),
            Form::Objects => drop(writeln!(std::io::stdout(), "{}", view.to_json())),
        }
    }

    /// Takes the table away: the summary follows.
    pub(super) fn close(&mut self) {
        if let Form::Table { drawn } = &mut self.form {
            std::io::stderr().write_all(over(*drawn).as_bytes()).ok();
            *drawn = 0;
        }
    }
}

impl Form {
    fn interval(&self) -> Duration {
        match self {
            Self::Table { .. } => Duration::ZERO,
            Self::Lines => LINE_INTERVAL,
            Self::Objects => OBJECT_INTERVAL,
        }
    }
}

/// How the commands of one class are.
struct ClassFigures {
    queued: usize,
    in_flight: usize,
    done: u64,
    p50_ms: u64,
    p99_ms: u64,
}

impl View<'_> {
    fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        writeln!(
            text,
            "{:>5.1} s  {} of {} commands done",
            self.elapsed.as_secs_f64(),
            self.done().count(),
            self.planned
        )
        .ok();
        writeln!(
            text,
            "\n{:<8} {:>8} {:>10} {:>8} {:>10} {:>10}",
            "class", "queued", "in flight", "done", "p50 ms", "p99 ms"
        )
        .ok();
        for class in Class::ALL {
            let ClassFigures { queued, in_flight, done, p50_ms, p99_ms } = self.figures(class);
            writeln!(text, "{class:<8} {queued:>8} {in_flight:>10} {done:>8} {p50_ms:>10} {p99_ms:>10}").ok();
        }
        writeln!(
            text,
            "\n{:<8} {:>8} {:>8} {:>8} {:>11} {:>8} {:>15}",
            "link", "state", "rtt ms", "loss %", "migrations", "links", "last packet ms"
        )
        .ok();
        for node in self.nodes {
            let (rtt, loss, migrations, silent) = node.link.as_ref().map_or((0.0, 0.0, 0, 0), |link| {
                (link.rtt_ms, link.loss * 100.0, link.migrations, link.silent_ms)
            });
            writeln!(
                text,
                "{:<8} {:>8} {rtt:>8.0} {loss:>8.1} {migrations:>11} {:>8} {silent:>15}",
                node.node, node.state, node.links_total
            )
            .ok();
        }
        text
    }

    fn line(&self) -> String {
        format!(
            "{:>5.1} s  {} of {} commands done, {} migrations, {} reconnects\n",
            self.elapsed.as_secs_f64(),
            self.done().count(),
            self.planned,
            self.links.migrations(),
            self.links.reconnects(),
        )
    }

    fn to_json(&self) -> Value {
        let classes = Class::ALL.map(|class| {
            let ClassFigures { queued, in_flight, done, p50_ms, p99_ms } = self.figures(class);
            json!({ "class": class.as_str(), "queued": queued, "in_flight": in_flight, "done": done,
                "p50_ms": p50_ms, "p99_ms": p99_ms })
        });
        let links = self.nodes.iter().map(|node| {
            let link = node.link.as_ref();
            json!({ "node": node.node, "state": node.state, "links": node.links_total,
                "rtt_ms": link.map(|link| link.rtt_ms), "loss": link.map(|link| link.loss),
                "migrations": link.map(|link| link.migrations), "silent_ms": link.map(|link| link.silent_ms) })
        });
        json!({
            "event": "progress",
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "planned": self.planned,
            "done": self.done().count(),
            "migrations": self.links.migrations(),
            "reconnects": self.links.reconnects(),
            "classes": classes,
            "links": links.collect::<Vec<_>>(),
        })
    }

    fn figures(&self, class: Class) -> ClassFigures {
        let of_class = || self.commands.iter().filter(|command| command.class == class.as_str());
        let queued = of_class().filter(|command| command.stage == "stored").count();
        let (done, p50_ms, p99_ms) = percentiles(of_class().filter_map(CommandInfo::took_ms));
        let in_flight = of_class().count() - queued - usize::try_from(done).unwrap_or(0);
        ClassFigures { queued, in_flight, done, p50_ms, p99_ms }
    }

    fn done(&self) -> impl Iterator<Item = &CommandInfo> {
        self.commands.iter().filter(|command| command.outcome.is_some())
    }
}

/// Moves to the top of what was drawn and clears it.
fn over(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How often a program is told.
const OBJECT_INTERVAL: Duration = Duration::from_secs(1);
