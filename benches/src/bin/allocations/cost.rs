//! What a command costs of the heap, and how that is told.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Heap blocks and bytes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heap {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// The same for each command.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct PerCommand {
    pub(crate) blocks: f64,
    pub(crate) bytes: f64,
}

/// What a command costs one end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct EndCost {
    /// All of it.
    pub(crate) runnel: PerCommand,
    /// What quinn takes without Runnel.
    pub(crate) quinn: PerCommand,
    /// What Runnel adds, but for what callers and handlers are given.
    pub(crate) ours: PerCommand,
    /// What callers and handlers are given: decoded arguments, or the result.
    pub(crate) values: PerCommand,
}

impl Heap {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { blocks: self.blocks - before.blocks, bytes: self.bytes - before.bytes }
    }

    pub(crate) fn per_command(self, commands: u32) -> PerCommand {
        let share = |total: u64| total as f64 / f64::from(commands);
        PerCommand { blocks: share(self.blocks), bytes: share(self.bytes) }
    }
}

impl fmt::Display for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.blocks, self.bytes)
    }
}

impl FromStr for Heap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(' ').and_then(|(blocks, bytes)| {
            Some(Self { blocks: blocks.parse().ok()?, bytes: bytes.parse().ok()? })
        });
        numbers.ok_or_else(|| format!("not two numbers: {text:?}"))
    }
}

impl PerCommand {
    fn less(self, other: Self) -> Self {
        Self { blocks: self.blocks - other.blocks, bytes: self.bytes - other.bytes }
    }
}

impl EndCost {
    /// Takes what each system costs: Runnel with values that have a heap block, Runnel with such that have none, quinn.
    pub(crate) fn new(runnel: PerCommand, fixed: PerCommand, quinn: PerCommand) -> Self {
        Self { runnel, quinn, ours: fixed.less(quinn), values: runnel.less(fixed) }
    }

    /// Returns the row of a table with [`HEAD`].
    pub(crate) fn row(&self, end: &str) -> String {
        let parts = [self.runnel, self.quinn, self.values, self.ours];
        let cells = parts.map(|part| format!("{:.2} ({:.0} B)", tidy(part.blocks), tidy(part.bytes)));
        format!("| {end} | {} |", cells.join(" | "))
    }
}

/// Nothing less than half of the last digit is told, and so no minus before it.
fn tidy(number: f64) -> f64 {
    if number.abs() < 0.005 { 0.0 } else { number }
}

pub(crate) const HEAD: &str = "\
| end | heap blocks of a command (bytes) | of them quinn's | given to callers and handlers | ours |
| --- | ---: | ---: | ---: | ---: |";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_says_is_read_again() {
        let heap = Heap { blocks: 3, bytes: 4096 };
        assert_eq!(heap.to_string().parse(), Ok(heap));
        assert!("3".parse::<Heap>().is_err());
    }

    #[test]
    fn what_is_not_quinns_and_not_a_value_is_ours() {
        let cost = |blocks: u64| Heap { blocks: blocks * 10, bytes: blocks * 1000 }.per_command(10);
        let cost = EndCost::new(cost(9), cost(8), cost(5));
        assert_eq!(
            cost.row("worker"),
            "| worker | 9.00 (900 B) | 5.00 (500 B) | 1.00 (100 B) | 3.00 (300 B) |"
        );
    }
}
