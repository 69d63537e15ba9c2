//! The demo while it runs: a table that is drawn again and again on a terminal, and a line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use runnel::codec::Class;

use super::drive::Links;
use super::percentiles;
use crate::cli::{CommandInfo, NodeInfo};

/// Where the table is drawn.
pub(super) struct Live {
    is_terminal: bool,
    /// Lines that are on the terminal and will be drawn over.
    drawn: usize,
    next_line_at: Instant,
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
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { is_terminal, drawn: 0, next_line_at: Instant::now() }
    }

    /// Shows how things are now.
    pub(super) fn show(&mut self, view: &View<'_>) {
        let text = if self.is_terminal {
            let table = view.table();
            let text = format!("{}{table}", over(self.drawn));
            self.drawn = table.lines().count();
            text
        } else if Instant::now() >= self.next_line_at {
            self.next_line_at = Instant::now() + LINE_INTERVAL;
            view.line()
        } else {
            return;
        };
        // A terminal that is gone is no reason to stop.
        std::io::stderr().write_all(text.as_bytes()).ok();
    }

    /// Takes the table away: the summary follows.
    pub(super) fn close(&mut self) {
        std::io::stderr().write_all(over(self.drawn).as_bytes()).ok();
        self.drawn = 0;
    }
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
            let name = class.to_string();
            let of_class = || self.commands.iter().filter(|command| command.class == name);
            let queued = of_class().filter(|command| command.stage == "stored").count();
            let latencies = of_class().filter_map(CommandInfo::took_ms);
            let (done, p50, p99) = percentiles(latencies);
            let in_flight = of_class().count() - queued - usize::try_from(done).unwrap_or(0);
            writeln!(text, "{name:<8} {queued:>8} {in_flight:>10} {done:>8} {p50:>10} {p99:>10}").ok();
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
