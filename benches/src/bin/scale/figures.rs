//! What was measured, as rows.

use std::time::Duration;

/// What choosing the next command costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChoiceCost {
    pub(crate) queued: usize,
    pub(crate) peers: usize,
    pub(crate) nanoseconds: f64,
    /// Instructions, if they were counted.
    pub(crate) instructions: Option<u64>,
}

/// What idle links cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkCost {
    pub(crate) links: usize,
    /// How long it took until all were up.
    pub(crate) up: Duration,
    pub(crate) controller: ProcessCost,
    pub(crate) workers: ProcessCost,
}

/// What one process holds and uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessCost {
    /// Resident before the first link, in bytes.
    pub(crate) before_bytes: u64,
    /// Resident after the idle time, in bytes.
    pub(crate) resident_bytes: u64,
    /// Part of one processor while idle.
    pub(crate) processor: f64,
}

impl ChoiceCost {
    pub(crate) const HEAD: &str =
        "| queued | peers | ns a choice | instructions a choice |\n| --- | --- | --- | --- |";

    pub(crate) fn row(&self) -> String {
        let instructions = self.instructions.map_or("-".to_owned(), |count| count.to_string());
        format!("| {} | {} | {:.0} | {instructions} |", self.queued, self.peers, self.nanoseconds)
    }
}

impl LinkCost {
    pub(crate) const HEAD: &str = "| links | all up s | controller KiB a link | grown KiB a link | workers KiB a link | grown KiB a link | both KiB a link | controller CPU | workers CPU |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |";

    pub(crate) const LEGEND: &str = "KiB a link are of the whole process; grown is without what it held before the first \
        link (of the workers: with all identities made). CPU is of one processor, while idle. Each worker is a whole node.";

    /// Returns how many KiB of both processes a link takes.
    pub(crate) fn kibibytes(&self) -> f64 {
        self.each(self.controller.resident_bytes) + self.each(self.workers.resident_bytes)
    }

    pub(crate) fn row(&self) -> String {
        let grown =
            |process: &ProcessCost| self.each(process.resident_bytes.saturating_sub(process.before_bytes));
        format!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} % | {:.1} % |",
            self.links,
            self.up.as_secs_f64(),
            self.each(self.controller.resident_bytes),
            grown(&self.controller),
            self.each(self.workers.resident_bytes),
            grown(&self.workers),
            self.kibibytes(),
            self.controller.processor * 100.0,
            self.workers.processor * 100.0,
        )
    }

    fn each(&self, bytes: u64) -> f64 {
        bytes as f64 / 1024.0 / self.links as f64
    }
}
