//! What is on the disk of a receiver when a process of it begins, against what was said before: S6.
//!
//! A handler is called, and an outcome told, only once the disk has it. So it is there whenever and however the process
//! before has ended, until its sender has settled the command.

use std::collections::BTreeMap;

use runnel::NotDone;
use runnel::codec::{CommandId, CommandKey, FailureKind, NodeId};
use runnel_queue::{Row, RunRow, SenderRow, SettledSet};

use super::life::Life;
use super::{Observer, State};
use crate::sim::violation::Invariant;

/// What a store has of commands that it received.
#[derive(Default)]
struct Image<'a> {
    senders: BTreeMap<&'a NodeId, &'a SenderRow>,
    runs: BTreeMap<(&'a NodeId, CommandKey), &'a RunRow>,
}

impl Observer {
    /// A process is about to begin with these rows on its disk.
    pub fn disk_read(&self, host: usize, rows: &[Row]) {
        let image = Image::of(rows);
        let faults: Vec<_> = self.lock().not_on_disk(host, &image);
        for text in faults {
            self.violation(Invariant::DurableFirst, text);
        }
    }
}

impl State {
    fn not_on_disk(&self, host: usize, image: &Image<'_>) -> Vec<String> {
        let own = &self.hosts[host];
        let called = self.lives.values().filter(|life| {
            let is_here = life.order.is_durable && life.order.worker == host;
            let was_called = life.runs.last().is_some_and(|run| run.disk == own.disk);
            // A double has no disk.
            is_here && was_called && !own.had_double(life.submitted_at)
        });
        called.filter_map(|life| image.lacks(life)).collect()
    }
}

impl<'a> Image<'a> {
    fn of(rows: &'a [Row]) -> Self {
        let mut image = Self::default();
        for row in rows {
            match row {
                Row::Sender(sender, row) => {
                    image.senders.insert(sender, row);
                }
                Row::Run(sender, key, row) => {
                    image.runs.insert((sender, *key), &**row);
                }
                _ => {}
            }
        }
        image
    }

    /// Says what is missing of a command whose handler was called.
    fn lacks(&self, life: &Life) -> Option<String> {
        let id = life.id.as_ref()?;
        if self.is_over(id) {
            return None;
        }
        match self.runs.get(&(&id.sender, id.key)) {
            None => Some(format!("a handler was called that the disk knows nothing of: {life:?}")),
            Some(row) if row.outcome.is_none() && is_of_handler(life) => {
                Some(format!("an outcome was told that the disk knows nothing of: {life:?}"))
            }
            Some(_) => None,
        }
    }

    /// Returns whether nothing of a command need be kept: its sender has settled it, or is another by now.
    fn is_over(&self, id: &CommandId) -> bool {
        let Some(sender) = self.senders.get(&id.sender) else { return false };
        let settled = sender.settled.iter().find(|settled| settled.epoch == id.key.epoch);
        sender.store != Some(id.key.epoch)
            || settled.is_some_and(|settled| SettledSet::from_wire(settled).contains(id.key.seq))
    }
}

/// Returns whether an outcome was told that only a handler can have had.
fn is_of_handler(life: &Life) -> bool {
    match &life.outcome {
        Some(Ok(())) => true,
        Some(Err(NotDone::Failed(failure))) => {
            matches!(failure.kind, FailureKind::Handler | FailureKind::Panicked)
        }
        _ => false,
    }
}
