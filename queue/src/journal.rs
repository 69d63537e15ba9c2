//! Records on their way into the store, in batches.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use runnel_codec::Class;

use crate::store::Change;

/// Number of a batch, in the order in which batches were yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(u64);

/// Changes that become durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

/// What is stored.
pub(crate) trait Record: Clone {
    /// Returns about how many bytes it takes in the store.
    fn bytes(&self) -> usize;

    /// Returns whether nothing follows from its being stored that anybody waits for: it may wait for others.
    fn can_wait(&self) -> bool;
}

/// Records on their way into the store. Urgent ones go first; else they keep their order.
///
/// All records of a command are given the same class, so that none of them overtakes an earlier one. The exception only
/// lets later ones fall back: see [`Journal::push`].
///
/// A batch costs several syncs of the disk, whatever is in it, and whoever comes meanwhile waits for it. So records that can
/// wait go with the others, or alone once they are many or have waited for long.
#[derive(Debug)]
pub(crate) struct Journal<R> {
    urgent: VecDeque<R>,
    others: VecDeque<R>,
    /// How many of both cannot wait.
    hurried: usize,
    /// When those go that can wait, if no batch is made before.
    patience_at: Option<Instant>,
    /// What can wait has waited long enough.
    is_due: bool,
    /// Nothing waits any more.
    is_closing: bool,
    stored_later: VecDeque<(BatchId, Vec<R>)>,
    next: BatchId,
}

impl<R: Record> Journal<R> {
    pub(crate) fn new() -> Self {
        Self {
            urgent: VecDeque::new(),
            others: VecDeque::new(),
            hurried: 0,
            patience_at: None,
            is_due: false,
            is_closing: false,
            stored_later: VecDeque::new(),
            next: BatchId(1),
        }
    }

    /// Adds a record of a command of this class, or of a lower one than its earlier records had.
    pub(crate) fn push(&mut self, class: Class, record: R) {
        self.hurried += usize::from(!record.can_wait());
        let line = if class == Class::Urgent { &mut self.urgent } else { &mut self.others };
        line.push_back(record);
    }

    /// From now on nothing waits for others: the store is about to be closed.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Looks whether what can wait has waited long enough.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.patience_at.is_some_and(|at| at <= now) {
            (self.patience_at, self.is_due) = (None, true);
        }
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.patience_at
    }

    /// Returns the next batch, if there is anything to store that does not wait for others.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(BatchId, &[R])> {
        let waiting = self.urgent.len() + self.others.len();
        let is_patient = self.hurried == 0 && waiting < PATIENT_MAX && !self.is_due && !self.is_closing;
        if waiting == 0 || is_patient {
            self.patience_at = self.patience_at.or(Some(now + PATIENCE)).filter(|_| waiting > 0);
            return None;
        }
        (self.patience_at, self.is_due) = (None, false);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(record) = self.urgent.front().or(self.others.front()) {
            bytes += record.bytes();
            // The first one goes however long it is.
            if records.len() == BATCH_RECORDS_MAX || (bytes > BATCH_BYTES_MAX && !records.is_empty()) {
                break;
            }
            records.extend(self.urgent.pop_front().or_else(|| self.others.pop_front()));
        }
        self.hurried -= records.iter().filter(|record| !record.can_wait()).count();
        if records.is_empty() {
            return None;
        }
        let id = self.begin(records);
        self.stored_later.back().map(|(_, records)| (id, &records[..]))
    }

    /// Returns the number of a batch without records.
    pub(crate) fn poll_empty(&mut self) -> BatchId {
        self.begin(Vec::new())
    }

    /// Adds to the batch that was taken last.
    pub(crate) fn amend(&mut self, record: R) {
        if let Some((_, records)) = self.stored_later.back_mut() {
            records.push(record);
        }
    }

    /// Returns the records of the batch that was taken last.
    #[cfg(test)]
    pub(crate) fn last(&self) -> &[R] {
        self.stored_later.back().map_or(&[], |(_, records)| records)
    }

    fn begin(&mut self, records: Vec<R>) -> BatchId {
        let id = self.next;
        self.next = BatchId(id.0 + 1);
        self.stored_later.push_back((id, records));
        id
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

/// Records that can wait until they are so many: half a batch, so that they leave room for those they go with.
const PATIENT_MAX: usize = 128;

/// How long records wait for others that can.
const PATIENCE: Duration = Duration::from_millis(100);

/// Most bytes in a batch, for the same reasons.
const BATCH_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Note {
        command: usize,
        number: usize,
        bytes: usize,
    }

    impl Record for Note {
        fn bytes(&self) -> usize {
            self.bytes
        }

        fn can_wait(&self) -> bool {
            self.bytes == 0
        }
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn note(command: usize, number: usize) -> Note {
        Note { command, number, bytes: 10 }
    }

    #[test]
    fn batches_are_bounded_and_stored_in_order() {
        let mut journal = Journal::new();
        for number in 0..300 {
            journal.push(Class::Normal, note(0, number));
        }
        let mut poll = || journal.poll(now()).map(|(id, records)| (id, records.len()));
        let ((_, first), (second, last)) = (poll().expect("a batch"), poll().expect("a batch"));
        assert_eq!((first, last, poll()), (256, 44, None));
        assert_eq!(journal.stored(second).len(), 300, "an earlier batch is stored with a later one");
        assert!(journal.stored(second).is_empty(), "and only once");
    }

    #[test]
    fn bytes_are_bounded_but_a_record_longer_than_a_batch_goes_alone() {
        let mut journal = Journal::new();
        for bytes in [2 << 20, 600 << 10, 400 << 10, 100 << 10] {
            journal.push(Class::Normal, Note { bytes, ..note(0, 0) });
        }
        let batches: Vec<_> =
            std::iter::from_fn(|| journal.poll(now()).map(|(_, records)| records.len())).collect();
        assert_eq!(batches, [1, 2, 1]);
    }

    #[test]
    fn records_that_can_wait_go_with_the_next_that_cannot() {
        let (mut journal, now) = (Journal::new(), now());
        journal.push(Class::Normal, Note { bytes: 0, ..note(1, 0) });
        assert_eq!(journal.poll(now), None);
        journal.push(Class::Normal, note(2, 0));
        let records = journal.poll(now).map(|(_, records)| records.len());
        assert_eq!((records, journal.poll_timeout()), (Some(2), None));
    }

    #[test]
    fn records_that_can_wait_go_alone_in_time_or_when_they_are_many_or_the_last() {
        let (mut journal, now) = (Journal::new(), now());
        let mut lonely = |at| {
            journal.push(Class::Normal, Note { bytes: 0, ..note(1, 0) });
            assert_eq!(journal.poll(at), None);
            let due_at = journal.poll_timeout().expect("it waits");
            journal.handle_timeout(due_at);
            assert_eq!(journal.poll_timeout(), None, "it has been said");
            (due_at, journal.poll(due_at).map(|(_, records)| records.len()))
        };
        assert_eq!(lonely(now), (now + PATIENCE, Some(1)));
        assert_eq!(lonely(now + PATIENCE), (now + 2 * PATIENCE, Some(1)));
        for number in 0..PATIENT_MAX {
            assert_eq!(journal.poll(now), None);
            journal.push(Class::Normal, Note { bytes: 0, ..note(1, number) });
        }
        assert!(journal.poll(now).is_some());
        journal.push(Class::Normal, Note { bytes: 0, ..note(1, 0) });
        journal.close();
        assert!(journal.poll(now).is_some());
    }

    #[test]
    fn urgent_records_go_before_all_that_wait() {
        let mut journal = Journal::new();
        for number in 0..1000 {
            journal.push(Class::Bulk, note(1, number));
        }
        journal.push(Class::Urgent, note(2, 0));
        journal.push(Class::Urgent, note(2, 1));
        let (_, records) = journal.poll(now()).expect("a batch");
        assert_eq!(records[..3], [note(2, 0), note(2, 1), note(1, 0)]);
    }

    proptest! {
        /// Commands with an odd number are urgent; `None` takes a batch.
        #[test]
        fn no_record_overtakes_an_earlier_one_of_its_command(
            steps in prop::collection::vec(prop::option::weighted(0.99, (0..6_usize, 1..20_000_usize)), 0..1500),
        ) {
            let (mut journal, mut numbers) = (Journal::new(), BTreeMap::<usize, usize>::new());
            let mut stored = BTreeMap::<usize, usize>::new();
            let steps = steps.into_iter().chain(std::iter::repeat_n(None, 1500));
            for step in steps {
                if let Some((command, bytes)) = step {
                    let class = if command % 2 == 1 { Class::Urgent } else { Class::Low };
                    let number = numbers.entry(command).or_default();
                    *number += 1;
                    journal.push(class, Note { command, number: *number, bytes });
                } else if let Some((_, records)) = journal.poll(now()) {
                    let bytes: usize = records.iter().map(Record::bytes).sum();
                    prop_assert!(records.len() <= BATCH_RECORDS_MAX && bytes <= BATCH_BYTES_MAX);
                    prop_assert!(records.is_sorted_by_key(|note| note.command % 2 == 0), "urgent first");
                    for note in records {
                        let last = stored.entry(note.command).or_default();
                        prop_assert_eq!(note.number, *last + 1);
                        *last = note.number;
                    }
                }
            }
            prop_assert_eq!(numbers, stored, "none is lost");
        }
    }
}
