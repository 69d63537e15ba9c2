//! What a command costs of the heap, and how that is told.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use serde::Serialize;

/// Heap blocks and bytes that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heap {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// The same, by whose code asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owners {
    pub(crate) quinn: Heap,
    /// All others.
    pub(crate) ours: Heap,
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
    /// What quinn's code asks for.
    pub(crate) quinn: PerCommand,
    /// What other code asks for, but for what callers and handlers are given.
    pub(crate) ours: PerCommand,
    /// What callers and handlers are given: decoded arguments, or the result.
    pub(crate) values: PerCommand,
}

impl Heap {
    pub(crate) fn per_command(self, commands: u32) -> PerCommand {
        let share = |total: u64| total as f64 / f64::from(commands);
        PerCommand { blocks: share(self.blocks), bytes: share(self.bytes) }
    }
}

impl AddAssign for Heap {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

impl fmt::Display for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quinn, ours } = self;
        write!(f, "{} {} {} {}", quinn.blocks, quinn.bytes, ours.blocks, ours.bytes)
    }
}

impl FromStr for Owners {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u64> = text.split(' ').map_while(|number| number.parse().ok()).collect();
        let [quinn, quinn_bytes, ours, ours_bytes] = numbers[..] else {
            return Err(format!("not four numbers: {text:?}"));
        };
        let heap = |blocks, bytes| Heap { blocks, bytes };
        Ok(Self { quinn: heap(quinn, quinn_bytes), ours: heap(ours, ours_bytes) })
    }
}

impl PerCommand {
    fn with(self, other: Self) -> Self {
        Self { blocks: self.blocks + other.blocks, bytes: self.bytes + other.bytes }
    }

    fn less(self, other: Self) -> Self {
        Self { blocks: self.blocks - other.blocks, bytes: self.bytes - other.bytes }
    }
}

impl EndCost {
    /// Takes what so many commands cost, with values that have a heap block and with such that have none.
    pub(crate) fn new(with_values: Owners, without: Owners, commands: u32) -> Self {
        let [ours_and_values, quinn, quinn_beside_values, ours] =
            [with_values.ours, without.quinn, with_values.quinn, without.ours]
                .map(|heap| heap.per_command(commands));
        let (runnel, values) = (ours_and_values.with(quinn_beside_values), ours_and_values.less(ours));
        Self { runnel, quinn, ours, values }
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

    fn owners(quinn: u64, ours: u64) -> Owners {
        let heap = |blocks| Heap { blocks, bytes: blocks * 100 };
        Owners { quinn: heap(quinn), ours: heap(ours) }
    }

    #[test]
    fn what_a_process_says_is_read_again() {
        assert_eq!(owners(3, 4).to_string().parse(), Ok(owners(3, 4)));
        assert!("3 4 5".parse::<Owners>().is_err());
    }

    #[test]
    fn what_values_add_is_not_ours() {
        let cost = EndCost::new(owners(50, 40), owners(50, 30), 10);
        assert_eq!(
            cost.row("worker"),
            "| worker | 9.00 (900 B) | 5.00 (500 B) | 1.00 (100 B) | 3.00 (300 B) |"
        );
    }
}
