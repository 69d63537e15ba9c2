//! The independent count: what the executed commands themselves wrote down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;

use super::drive::CommandResult;

/// How often each command ran, by its own word.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Ids of commands that were to run once and did not.
    pub(super) lost: Vec<String>,
    /// Ids of commands that ran more than once.
    pub(super) doubled: Vec<String>,
    /// Lines of ids that were never submitted, or were said never to start.
    pub(super) strangers: Vec<String>,
}

impl Tally {
    /// Reads the file and compares it with what was submitted.
    pub(super) fn read(path: PathBuf, results: &[CommandResult]) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let to_run = results.iter().filter(|result| result.should_run());
        Ok(Self::count(&text, to_run.map(|result| result.id.clone())))
    }

    fn count(text: &str, to_run: impl Iterator<Item = String>) -> Self {
        let mut runs: BTreeMap<String, usize> = to_run.map(|id| (id, 0)).collect();
        let mut tally = Self::default();
        for line in text.lines() {
            let id = line.split_whitespace().next().unwrap_or_default();
            match runs.get_mut(id) {
                Some(count) => *count += 1,
                None => tally.strangers.push(line.to_owned()),
            }
        }
        for (id, count) in runs {
            match count {
                0 => tally.lost.push(id),
                1 => {}
                _ => tally.doubled.push(id),
            }
        }
        tally
    }

    /// Returns whether every command ran exactly once.
    pub(super) fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_strange_runs_are_told_apart() {
        let submitted = ["a", "b", "c"].map(str::to_owned);
        let tally = Tally::count("a n1\nc n2\nc n3\nx n4\n", submitted.into_iter());
        assert_eq!(tally.lost, ["b"]);
        assert_eq!(tally.doubled, ["c"]);
        assert_eq!(tally.strangers, ["x n4"]);
        assert!(!tally.is_clean());
        assert!(Tally::count("a n1\n", ["a".to_owned()].into_iter()).is_clean());
    }
}
