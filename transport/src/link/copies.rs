//! What urgent commands say on a path that loses packets, said a second time: a moment later, in a datagram.
//!
//! A lost packet costs its stream a round trip, which makes the tail of an urgent command's latency. A copy says which
//! bytes of which stream it repeats; whoever has them ignores it. Pure: no clock, no I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use runnel_codec::StreamCopy;

use super::outbox::Outbox;
use super::stream::StreamId;

/// Copies that wait for their moment, in the order in which it comes.
#[derive(Debug, Default)]
pub(super) struct Copies {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    stream: StreamId,
    offset: u64,
    bytes: BytesMut,
}

/// What was written to one stream and is still to be copied.
#[derive(Debug, Default)]
pub(super) struct Uncopied {
    /// What is written to it is copied, if it is of an urgent command.
    is_on: bool,
    /// Bytes written to it, all told.
    written_bytes: u64,
    /// Where on the stream the bytes are, and the bytes.
    offset: u64,
    bytes: BytesMut,
}

impl Copies {
    /// Takes note of bytes that were written to a stream. What is written within a moment travels together.
    pub(super) fn handle_written(&mut self, now: Instant, stream: StreamId, offset: u64, bytes: &[u8]) {
        let newest = self.waiting.iter_mut().rev().find(|waiting| waiting.stream == stream);
        if let Some(newest) = newest
            && newest.offset + newest.bytes.len() as u64 == offset
            && newest.bytes.len() + bytes.len() <= COPY_BYTES_MAX
        {
            return newest.bytes.extend_from_slice(bytes);
        }
        if self.waiting.len() < WAITING_MAX && bytes.len() <= COPY_BYTES_MAX {
            self.waiting.push_back(Waiting { at: now + COPY_DELAY, stream, offset, bytes: bytes.into() });
        }
    }

    /// Returns a copy whose moment has come.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<StreamCopy> {
        let due = self.waiting.pop_front_if(|waiting| waiting.at <= now)?;
        Some(StreamCopy { stream: due.stream.to_wire(), offset: due.offset, bytes: due.bytes.freeze() })
    }

    /// Returns when the next moment comes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.at)
    }
}

impl Uncopied {
    /// Has what is written from now on copied, or not.
    pub(super) fn set_on(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// The last `bytes` in the outbox were just written. What is too long ends the copies of this stream.
    pub(super) fn handle_written(&mut self, outbox: &Outbox, bytes: usize, is_urgent: bool) {
        if self.is_on && is_urgent {
            if self.bytes.is_empty() {
                self.offset = self.written_bytes;
            }
            self.is_on = outbox.copy_last(bytes, &mut self.bytes);
        }
        self.written_bytes += bytes as u64;
    }

    /// Returns where on the stream the bytes are that were written since this was last asked, and the bytes, if they are to
    /// be copied.
    pub(super) fn take(&mut self) -> Option<(u64, BytesMut)> {
        let is_any = !self.bytes.is_empty();
        is_any.then(|| (self.offset, std::mem::take(&mut self.bytes)))
    }
}

/// How much later a copy goes: not in the same packet, nor in the next one that is lost with it.
const COPY_DELAY: Duration = Duration::from_millis(10);

/// Longest copy: it must fit into a packet of any path.
const COPY_BYTES_MAX: usize = 1000;

/// Copies that wait at most. A path that is that busy recovers what is lost soon enough.
const WAITING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_written_within_a_moment_travels_together() {
        let (mut copies, now) = (Copies::default(), Instant::now());
        let stream = StreamId::from_wire;
        copies.handle_written(now, stream(4), 0, b"accepted ");
        copies.handle_written(now, stream(8), 0, b"other");
        copies.handle_written(now, stream(4), 9, b"outcome");
        assert_eq!(copies.poll_due(now), None);
        let due = copies.poll_timeout().expect("two wait");
        let first = copies.poll_due(due).expect("it is due");
        assert_eq!((first.stream, first.offset, &first.bytes[..]), (4, 0, &b"accepted outcome"[..]));
        assert_eq!(copies.poll_due(due).map(|copy| copy.stream), Some(8));
        assert_eq!(copies.poll_timeout(), None);
    }

    #[test]
    fn what_is_too_long_for_a_packet_is_not_copied() {
        let (mut copies, now) = (Copies::default(), Instant::now());
        copies.handle_written(now, StreamId::from_wire(0), 0, &[0; COPY_BYTES_MAX + 1]);
        assert_eq!(copies.poll_timeout(), None);
    }

    #[test]
    fn a_copy_tells_where_its_bytes_are_whatever_was_written_behind_them() {
        let (mut outbox, mut uncopied) = (Outbox::default(), Uncopied::default());
        uncopied.set_on(true);
        for bytes in [&b"head"[..], &[0; COPY_BYTES_MAX * 2], b"more"] {
            let pushed = outbox.push(|_| Bytes::copy_from_slice(bytes));
            uncopied.handle_written(&outbox, pushed, true);
        }
        assert_eq!(uncopied.take(), Some((0, BytesMut::from(&b"head"[..]))));
        assert_eq!(uncopied.take(), None);
    }
}
