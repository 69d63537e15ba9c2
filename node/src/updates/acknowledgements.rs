//! How much of a handler's updates its caller's node holds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Tells how much of a handler's updates its caller's node holds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acknowledgements {
    /// Lengths of the updates that were sent and are not acknowledged.
    lengths: Arc<Mutex<VecDeque<usize>>>,
    told: Arc<watch::Sender<Acknowledged>>,
    heard: watch::Receiver<Acknowledged>,
}

/// How much of a handler's updates its caller's node holds: they need never be said again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// How many, from the first on.
    pub updates: u64,
    /// Their encoded bytes together.
    pub bytes: u64,
}

impl Acknowledgements {
    pub(crate) fn new() -> Self {
        let (told, heard) = watch::channel(Acknowledged::default());
        Self { lengths: Arc::default(), told: Arc::new(told), heard }
    }

    /// Returns how much is acknowledged now.
    #[must_use]
    pub fn now(&self) -> Acknowledged {
        *self.told.borrow()
    }

    /// Waits until more is acknowledged than was seen by an earlier call.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn more(&mut self) -> Acknowledged {
        match self.heard.changed().await {
            Ok(()) => *self.heard.borrow_and_update(),
            // This holds the sender.
            Err(_) => std::future::pending().await,
        }
    }

    /// Counts on behind what earlier processes have counted.
    pub(crate) fn resume(&self, updates: u64, bytes: u64) {
        self.told.send_modify(|told| {
            told.updates += updates;
            told.bytes += bytes;
        });
    }

    /// Counts `bytes` more as acknowledged, of updates in the order in which they were sent.
    pub(crate) fn acknowledge(&self, bytes: usize) {
        let mut lengths = self.lengths();
        let (mut updates, mut rest) = (0, bytes);
        while let Some(length) = lengths.front().filter(|length| **length <= rest) {
            rest -= length;
            updates += 1;
            lengths.pop_front();
        }
        self.told.send_modify(|told| {
            told.updates += updates;
            told.bytes += bytes as u64;
        });
    }

    /// Takes note of an update that is sent.
    pub(super) fn expect(&self, length: usize) {
        self.lengths().push_back(length);
    }

    fn lengths(&self) -> MutexGuard<'_, VecDeque<usize>> {
        // Nothing is left half-done by a panic while it is held.
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_counted_once_their_bytes_are_acknowledged() {
        let acknowledgements = Acknowledgements::new();
        for length in [3, 5, 7] {
            acknowledgements.expect(length);
        }
        acknowledgements.acknowledge(3);
        assert_eq!(acknowledgements.now(), Acknowledged { updates: 1, bytes: 3 });
        acknowledgements.acknowledge(12);
        assert_eq!(acknowledgements.now(), Acknowledged { updates: 3, bytes: 15 });
    }

    #[tokio::test]
    async fn counting_goes_on_behind_what_earlier_processes_counted() {
        let mut acknowledgements = Acknowledgements::new();
        acknowledgements.resume(10, 100);
        assert_eq!(acknowledgements.more().await, Acknowledged { updates: 10, bytes: 100 });
        acknowledgements.expect(4);
        acknowledgements.acknowledge(4);
        assert_eq!(acknowledgements.more().await, Acknowledged { updates: 11, bytes: 104 });
    }
}
