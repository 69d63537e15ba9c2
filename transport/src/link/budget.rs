//! What is in flight on a link, counted the same at both ends.
//!
//! Counted are all bytes on command streams below Urgent, and the bulk frames of urgent ones (`WIRE.md`).

use std::collections::HashMap;

use super::stream::StreamId;

/// Counts of budgeted bytes in both directions, and of streams that ended early.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    written: u64,
    written_taken: u64,
    taken: u64,
    taken_reported: u64,
    /// What was taken of streams that the peer aborted, until it says how much it had written.
    lost: HashMap<StreamId, u64>,
    /// What the peer had written to streams whose abort has not been seen yet.
    ended: HashMap<StreamId, u64>,
}

/// Counts of budgeted bytes on one stream, in both directions.
#[derive(Debug, Default)]
pub(super) struct StreamBytes {
    written: u64,
    taken: u64,
    /// Those of them that the link has counted.
    taken_counted: u64,
}

impl InFlight {
    /// Bytes written and not yet taken by the peer.
    pub(super) fn bytes(&self) -> u64 {
        self.written.saturating_sub(self.written_taken)
    }

    /// Bytes written since the link began.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn add_written(&mut self, bytes: u64) {
        self.written += bytes;
    }

    pub(super) fn add_taken(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    /// The peer says how much it has taken in all. Returns whether that is news.
    pub(super) fn handle_taken(&mut self, bytes: u64) -> bool {
        let is_news = bytes > self.written_taken;
        self.written_taken = self.written_taken.max(bytes);
        is_news
    }

    /// A stream was aborted by the peer after this much of it was taken.
    pub(super) fn handle_lost(&mut self, stream: StreamId, taken: u64) {
        match self.ended.remove(&stream) {
            Some(written) => self.taken += written.saturating_sub(taken),
            None if self.lost.len() < ENDS_MAX => drop(self.lost.insert(stream, taken)),
            None => {}
        }
    }

    /// The peer says how much it had written to a stream that it aborted: the rest will never come.
    pub(super) fn handle_stream_ended(&mut self, stream: StreamId, written: u64) {
        match self.lost.remove(&stream) {
            Some(taken) => self.taken += written.saturating_sub(taken),
            None if self.ended.len() < ENDS_MAX => drop(self.ended.insert(stream, written)),
            None => {}
        }
    }

    /// Returns the count to report, if it is time.
    pub(super) fn poll_report(&mut self, is_busy: bool) -> Option<u64> {
        let unreported = self.taken - self.taken_reported;
        let is_due = if is_busy { unreported >= REPORT_STEP_BYTES } else { unreported > 0 };
        is_due.then(|| {
            self.taken_reported = self.taken;
            self.taken
        })
    }
}

impl StreamBytes {
    /// Bytes written to it so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes taken off it so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn add_written(&mut self, bytes: u64) {
        self.written += bytes;
    }

    pub(super) fn add_taken(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    /// So many bytes were taken off it in all.
    pub(super) fn set_taken(&mut self, bytes: u64) {
        self.taken = bytes;
    }

    /// Returns the bytes that were taken since this was last asked.
    pub(super) fn count_taken(&mut self) -> u64 {
        let news = self.taken - self.taken_counted;
        self.taken_counted = self.taken;
        news
    }
}

/// Bytes taken after which the peer is told although there is more to do.
const REPORT_STEP_BYTES: u64 = 16 << 10;

/// Aborted streams of which one half of the news is remembered until the other comes.
const ENDS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_in_flight_until_it_is_taken() {
        let mut counts = InFlight::default();
        counts.add_written(100);
        assert!(counts.handle_taken(60));
        assert!(!counts.handle_taken(60));
        assert_eq!(counts.bytes(), 40);
    }

    #[test]
    fn the_rest_of_an_aborted_stream_counts_as_taken_in_either_order() {
        let stream = StreamId::from_wire(4);
        for is_lost_first in [true, false] {
            let mut counts = InFlight::default();
            counts.add_taken(10);
            if is_lost_first {
                counts.handle_lost(stream, 10);
                counts.handle_stream_ended(stream, 50);
            } else {
                counts.handle_stream_ended(stream, 50);
                counts.handle_lost(stream, 10);
            }
            assert_eq!(counts.poll_report(false), Some(50));
            assert_eq!(counts.poll_report(false), None);
        }
    }

    #[test]
    fn small_amounts_are_reported_before_a_rest_only() {
        let mut counts = InFlight::default();
        counts.add_taken(1);
        assert_eq!(counts.poll_report(true), None);
        counts.add_taken(REPORT_STEP_BYTES);
        assert_eq!(counts.poll_report(true), Some(REPORT_STEP_BYTES + 1));
    }
}
