//! Heads of commands that have begun and are not complete: how long that may take, and how much they may hold.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::stream::StreamId;

/// The heads in assembly on one link.
///
/// Most heads come in one piece and are never noted here.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// When each must be complete, oldest first. Those that are complete are skipped when they come up.
    deadlines: VecDeque<(Instant, StreamId)>,
    /// Bytes that each holds.
    held: BTreeMap<StreamId, usize>,
    held_bytes: usize,
}

impl Heads {
    /// A head has begun, or has grown to this size.
    pub(super) fn handle_grown(&mut self, now: Instant, stream: StreamId, bytes: usize, timeout: Duration) {
        match self.held.insert(stream, bytes) {
            Some(before) => self.held_bytes -= before,
            None => self.deadlines.push_back((now + timeout, stream)),
        }
        self.held_bytes += bytes;
    }

    /// A head is complete or will never be. Returns whether it had been noted.
    pub(super) fn handle_ended(&mut self, stream: StreamId) -> bool {
        let bytes = self.held.remove(&stream);
        self.held_bytes -= bytes.unwrap_or(0);
        bytes.is_some()
    }

    /// Returns whether a stream without a complete head has to wait until others are done.
    ///
    /// The oldest never has to, so that one always goes on.
    pub(super) fn must_wait(&self, stream: StreamId) -> bool {
        self.held_bytes >= HELD_BYTES_MAX
            && self.held.first_key_value().is_some_and(|(first, _)| *first != stream)
    }

    /// Returns when the oldest head must be complete.
    pub(super) fn deadline_at(&mut self) -> Option<Instant> {
        while let Some((at, stream)) = self.deadlines.front().copied() {
            if self.held.contains_key(&stream) {
                return Some(at);
            }
            self.deadlines.pop_front();
        }
        None
    }
}

/// Bytes of heads in assembly on one link, after which only the oldest goes on (PROTOCOL, "Heads").
const HELD_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn the_oldest_incomplete_head_sets_the_deadline() {
        let (mut heads, now) = (Heads::default(), Instant::now());
        heads.handle_grown(now, StreamId::from_wire(4), 10, TIMEOUT);
        heads.handle_grown(now + TIMEOUT, StreamId::from_wire(8), 10, TIMEOUT);
        heads.handle_grown(now + TIMEOUT, StreamId::from_wire(4), 20, TIMEOUT);
        assert_eq!(heads.deadline_at(), Some(now + TIMEOUT));
        assert!(heads.handle_ended(StreamId::from_wire(4)));
        assert_eq!(heads.deadline_at(), Some(now + 2 * TIMEOUT));
        assert!(heads.handle_ended(StreamId::from_wire(8)));
        assert_eq!(heads.deadline_at(), None);
    }

    #[test]
    fn only_the_oldest_head_grows_once_they_hold_a_mebibyte() {
        let (mut heads, now) = (Heads::default(), Instant::now());
        for number in 0..16 {
            assert!(!heads.must_wait(StreamId::from_wire(4 * number)));
            heads.handle_grown(now, StreamId::from_wire(4 * number), 64 << 10, TIMEOUT);
        }
        assert!(!heads.must_wait(StreamId::from_wire(0)));
        assert!(heads.must_wait(StreamId::from_wire(4)));
        assert!(heads.must_wait(StreamId::from_wire(400)), "also one that has not begun");
        heads.handle_ended(StreamId::from_wire(0));
        assert!(!heads.must_wait(StreamId::from_wire(400)));
    }

    #[test]
    fn a_head_that_was_never_noted_changes_nothing() {
        let mut heads = Heads::default();
        assert!(!heads.handle_ended(StreamId::from_wire(4)));
        assert_eq!(heads.held_bytes, 0);
    }
}
