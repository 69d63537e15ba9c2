//! What waits to be written to one stream.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use quinn::{SendStream, WriteError};

/// Bytes waiting for a stream, in order: pieces, and a tail of small frames behind them.
///
/// Small frames gather in the tail, so that QUIC gets one piece and not one for each. QUIC takes the tail as it is, and the
/// rest of its buffer is used by later frames, and by other streams of the link.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
}

/// Empty outboxes, kept for their buffers: most streams are written in one go, and need one for that long.
#[derive(Debug, Default)]
pub(super) struct Outboxes(Vec<Outbox>);

impl Outboxes {
    pub(super) fn take(&mut self) -> Option<Outbox> {
        self.0.pop()
    }

    /// Keeps an outbox for later streams, up to a bound.
    pub(super) fn keep(&mut self, outbox: Outbox) {
        if self.0.len() < OUTBOXES_MAX && outbox.is_worth_keeping() {
            self.0.push(outbox);
        }
    }
}

impl Outbox {
    /// Has something written behind what waits: what `encode` appends, and then the bytes that it returns. Returns how many
    /// bytes they are.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut BytesMut) -> Bytes) -> usize {
        if self.tail.capacity() == 0 {
            // Made with that capacity, it takes as much again each time that a block is used up.
            self.tail = BytesMut::with_capacity(BLOCK_BYTES);
        } else if self.tail.is_empty() {
            self.tail.reserve(TAIL_BYTES_TYPICAL);
        }
        let before = self.tail.len();
        let content = encode(&mut self.tail);
        let pushed = self.tail.len() - before + content.len();
        self.bytes += pushed;
        if content.len() <= COPIED_BYTES_MAX {
            self.tail.extend_from_slice(&content);
        } else {
            if !self.tail.is_empty() {
                self.pieces.push_back(self.tail.split().freeze());
            }
            self.pieces.push_back(content);
        }
        pushed
    }

    /// Appends the last `bytes` that were pushed to `out`. Returns whether they were short enough for that.
    pub(super) fn copy_last(&self, bytes: usize, out: &mut BytesMut) -> bool {
        let last = self.tail.len().checked_sub(bytes).and_then(|start| self.tail.get(start..));
        out.extend_from_slice(last.unwrap_or_default());
        last.is_some()
    }

    /// Writes what waits until QUIC takes no more.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        send: &mut SendStream,
    ) -> Poll<Result<(), WriteError>> {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        while !self.pieces.is_empty() {
            let pieces = self.pieces.make_contiguous();
            let written = ready!(pin!(send.write_chunks(pieces)).poll(cx))?;
            // A piece of which a part was written is cut to the rest.
            self.pieces.drain(..written.chunks);
            self.bytes -= written.bytes;
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.tail.clear();
        self.bytes = 0;
    }

    /// Returns the bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether it has no buffer, or one that is in use.
    pub(super) fn is_bare(&self) -> bool {
        self.tail.capacity() == 0 && self.bytes == 0
    }

    /// Returns whether its buffers are worth keeping for another stream: those that grew large are not.
    fn is_worth_keeping(&self) -> bool {
        (1..=TAIL_BYTES_KEPT).contains(&self.tail.capacity()) && self.pieces.capacity() <= PIECES_KEPT
    }
}

/// Outboxes kept for later streams.
const OUTBOXES_MAX: usize = 64;

/// What is reserved for small frames: a head with its arguments, or all answers to a command, mostly fit.
const TAIL_BYTES_TYPICAL: usize = 256;

/// Longest content that is copied behind its frame's beginning. Above it, a piece of its own costs QUIC less.
const COPIED_BYTES_MAX: usize = 1 << 10;

/// A buffer for tails: some dozens of small frames for one allocation. What of it is not acknowledged keeps it whole.
const BLOCK_BYTES: usize = 4 << 10;

/// Largest tail whose buffer is kept.
const TAIL_BYTES_KEPT: usize = BLOCK_BYTES;

/// Most pieces for which there is room in what is kept.
const PIECES_KEPT: usize = 16;
