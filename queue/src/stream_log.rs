//! The updates of one command at its receiver: by number, as far as credit goes, until the sender holds them.

use std::collections::VecDeque;

use bytes::Bytes;

/// Updates that the sender of the command does not hold yet.
#[derive(Debug, Default)]
pub(crate) struct StreamLog {
    /// Records not acknowledged, oldest first.
    records: VecDeque<Bytes>,
    /// Bytes of these records.
    held_bytes: u64,
    /// Number of the last record that was acknowledged.
    acknowledged: u64,
    /// Bytes of all records that were acknowledged.
    acknowledged_bytes: u64,
    /// Number of the last record that was written to the current stream.
    written: u64,
    /// Bytes of all records up to it.
    written_bytes: u64,
    /// How far it may be written, in bytes since the beginning. The last record may end beyond it.
    credit: u64,
    /// Records that the reader of the current stream has: none of these is written to it.
    received: u64,
    /// Records that the sender holds, as far as it ever said, whether or not they are here again already.
    held: u64,
}

impl StreamLog {
    /// Adds a record. Returns the bytes let go of, which are those of a record that the sender holds from an older process.
    pub(crate) fn push(&mut self, content: Bytes) -> usize {
        self.held_bytes += content.len() as u64;
        self.records.push_back(content);
        self.pass_over();
        self.acknowledge(self.held)
    }

    /// Goes on for a handler that was called by an older process: so many records, with so many bytes, were let go of.
    pub(crate) fn resume(&mut self, records: u64, bytes: u64) {
        if self.records.is_empty() && self.acknowledged == 0 {
            (self.acknowledged, self.acknowledged_bytes) = (records, bytes);
            (self.written, self.written_bytes) = (records, bytes);
        }
    }

    /// Continues on a new stream behind what its reader has received. That is not let go of before it is acknowledged: a
    /// reader may lose it.
    pub(crate) fn attach(&mut self, received: u64, credit: u64) {
        self.received = received;
        (self.written, self.written_bytes) = (self.acknowledged, self.acknowledged_bytes);
        self.pass_over();
        // A credit on the control stream may have overtaken the head that says this one.
        self.credit = self.credit.max(credit);
    }

    /// Returns how many records, with how many bytes, were let go of.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        (self.acknowledged, self.acknowledged_bytes)
    }

    /// Returns the records that are not acknowledged, with their numbers.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        (self.acknowledged + 1..).zip(&self.records)
    }

    /// Counts as written what the reader has received.
    fn pass_over(&mut self) {
        while self.written < self.received {
            let index = usize::try_from(self.written - self.acknowledged).unwrap_or(usize::MAX);
            let Some(record) = self.records.get(index) else { return };
            self.written += 1;
            self.written_bytes += record.len() as u64;
        }
    }

    /// Lets go of what the sender holds. Returns the bytes let go of.
    pub(crate) fn acknowledge(&mut self, received: u64) -> usize {
        self.held = self.held.max(received);
        let mut freed = 0;
        while self.acknowledged < received {
            let Some(record) = self.records.pop_front() else { break };
            self.acknowledged += 1;
            self.acknowledged_bytes += record.len() as u64;
            self.held_bytes -= record.len() as u64;
            freed += record.len();
        }
        if self.written < self.acknowledged {
            self.written = self.acknowledged;
            self.written_bytes = self.acknowledged_bytes;
        }
        freed
    }

    /// Takes a new credit; it never shrinks on one stream.
    pub(crate) fn grant(&mut self, credit: u64) {
        self.credit = self.credit.max(credit);
    }

    /// Returns the bytes of the next record, if credit allows it to be begun.
    pub(crate) fn writable(&self) -> Option<u64> {
        let index = usize::try_from(self.written - self.acknowledged).ok()?;
        let bytes = self.records.get(index)?.len() as u64;
        (self.written_bytes < self.credit).then_some(bytes)
    }

    /// Returns the next record to write, with its number, if credit allows.
    pub(crate) fn poll(&mut self) -> Option<(u64, Bytes)> {
        let bytes = self.writable()?;
        let index = usize::try_from(self.written - self.acknowledged).ok()?;
        let record = self.records.get(index)?.clone();
        self.written += 1;
        self.written_bytes += bytes;
        Some((self.written, record))
    }

    /// Returns the bytes of the records that are not acknowledged.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Returns whether all records are written to the current stream.
    pub(crate) fn is_written(&self) -> bool {
        self.written - self.acknowledged == self.records.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: &[&'static str]) -> StreamLog {
        let mut log = StreamLog::default();
        for record in records {
            log.push(Bytes::from_static(record.as_bytes()));
        }
        log
    }

    #[test]
    fn records_are_written_as_far_as_credit_goes() {
        let mut log = log(&["aa", "bbb"]);
        log.attach(0, 2);
        assert_eq!(log.poll(), Some((1, "aa".into())));
        assert_eq!(log.poll(), None);
        log.grant(3);
        assert_eq!(log.poll(), Some((2, "bbb".into())));
        assert!(log.is_written());
    }

    #[test]
    fn a_record_longer_than_any_credit_is_written_once_what_came_before_it_is_taken() {
        let mut log = log(&["longer than its window", "b"]);
        log.attach(0, 4);
        assert_eq!(log.poll(), Some((1, "longer than its window".into())));
        assert_eq!(log.poll(), None, "the credit is overdrawn by one record at most");
        log.grant(22 + 4);
        assert_eq!(log.poll(), Some((2, "b".into())));
    }

    #[test]
    fn a_new_stream_continues_behind_what_was_received() {
        let mut log = log(&["aa", "bbb", "c"]);
        log.attach(0, 100);
        while log.poll().is_some() {}
        assert_eq!(log.held_bytes(), 6);
        log.attach(1, 100);
        assert_eq!(log.held_bytes(), 6, "what is received may still be lost");
        assert_eq!(log.poll(), Some((2, "bbb".into())));
        assert_eq!(log.acknowledge(3), 6);
        assert_eq!(log.poll(), None);
        assert!(log.is_written());
    }

    #[test]
    fn a_sender_that_claims_more_than_there_is_gets_nothing_of_it() {
        let mut log = log(&["aa"]);
        assert_eq!(log.acknowledge(u64::MAX), 2);
        log.grant(100);
        assert_eq!(log.push("b".into()), 1);
        assert!(log.poll().is_none() && log.is_written());
    }

    #[test]
    fn a_handler_that_goes_on_says_again_what_it_does_not_know_to_be_held() {
        let mut log = StreamLog::default();
        log.attach(3, 100);
        assert_eq!(log.acknowledge(2), 0, "its sender speaks before it does");
        log.resume(1, 10);
        assert_eq!((log.push("bb".into()), log.push("cc".into()), log.push("dd".into())), (2, 0, 0));
        assert_eq!(log.poll(), Some((4, "dd".into())));
        log.attach(2, 100);
        assert_eq!((log.poll(), log.poll()), (Some((3, "cc".into())), Some((4, "dd".into()))));
    }
}
