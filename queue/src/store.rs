//! The face of the store: records that are to be made durable, in batches.
//!
//! A queue never calls a store. It yields batches of records (`poll_store`) and is told when one is stored
//! (`handle_stored`); until then it says nothing that depends on it.

use std::collections::VecDeque;

/// Number of a batch, in the order in which batches were yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(u64);

/// Records that become durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<R> {
    /// Its number.
    pub id: BatchId,
    /// The records, in order.
    pub records: Vec<R>,
}

/// Records on their way into the store.
#[derive(Debug)]
pub(crate) struct Journal<R> {
    fresh: VecDeque<R>,
    stored_later: VecDeque<(BatchId, Vec<R>)>,
    next: BatchId,
}

impl<R: Clone> Journal<R> {
    pub(crate) fn new() -> Self {
        Self { fresh: VecDeque::new(), stored_later: VecDeque::new(), next: BatchId(1) }
    }

    /// Adds a record to the next batch.
    pub(crate) fn push(&mut self, record: R) {
        self.fresh.push_back(record);
    }

    /// Returns the next batch, if there is anything to store.
    pub(crate) fn poll(&mut self) -> Option<Batch<R>> {
        if self.fresh.is_empty() {
            return None;
        }
        let count = self.fresh.len().min(BATCH_RECORDS_MAX);
        let records: Vec<R> = self.fresh.drain(..count).collect();
        let id = self.next;
        self.next = BatchId(id.0 + 1);
        self.stored_later.push_back((id, records.clone()));
        Some(Batch { id, records })
    }

    /// Returns the records that are stored now: those of this batch and of all before it.
    pub(crate) fn stored(&mut self, batch: BatchId) -> Vec<R> {
        let mut records = Vec::new();
        while self.stored_later.front().is_some_and(|(id, _)| *id <= batch) {
            records.extend(self.stored_later.pop_front().into_iter().flat_map(|(_, records)| records));
        }
        records
    }
}

/// Most records in a batch: enough to share one sync among many, few enough that an urgent one does not wait long.
const BATCH_RECORDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_stored_in_order() {
        let mut journal = Journal::new();
        for record in 0..300 {
            journal.push(record);
        }
        let (first, second) = (journal.poll().expect("a batch"), journal.poll().expect("a batch"));
        assert_eq!((first.records.len(), second.records.len()), (256, 44));
        assert_eq!(journal.poll(), None);
        assert_eq!(journal.stored(second.id).len(), 300, "an earlier batch is stored with a later one");
        assert!(journal.stored(second.id).is_empty(), "and only once");
    }
}
