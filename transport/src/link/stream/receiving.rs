//! The peer's half of a stream: what comes on it and in copies of it, joined into one run of bytes and decoded. It knows
//! items, not what they mean.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use quinn::{ReadError, RecvStream};
use runnel_codec::{CloseCode, DecodeError};

use crate::link::reader::{Item, Reader, Readers};

/// The peer's half of a stream.
pub(super) struct Receiving {
    half: Half,
    /// There from the first bytes to the end.
    reader: Option<Reader>,
    /// Of a command of ours: updates that its head told of. The peer's half is answers then.
    answers_behind: Option<u64>,
    /// Bytes given to the reader, and those of them that came on the stream itself.
    read_bytes: u64,
    arrived_bytes: u64,
}

enum Half {
    /// The stream is known from a copy and has not come itself.
    Awaited,
    Open(RecvStream),
    Over,
}

/// What came on the stream itself.
pub(super) enum Arrival {
    /// Bytes from this offset on.
    Bytes(u64, Bytes),
    End,
    /// The peer aborted it.
    Reset(Option<CloseCode>),
}

impl Receiving {
    /// The half of a stream of the peer's that has not come.
    #[inline]
    pub(super) fn awaited() -> Self {
        Self { half: Half::Awaited, reader: None, answers_behind: None, read_bytes: 0, arrived_bytes: 0 }
    }

    /// The answers to a command of ours.
    #[inline]
    pub(super) fn answers(recv: RecvStream, updates_received: u64) -> Self {
        Self { half: Half::Open(recv), answers_behind: Some(updates_received), ..Self::awaited() }
    }

    /// The peer's half of another stream of ours.
    #[inline]
    pub(super) fn with_reader(recv: RecvStream, reader: Reader) -> Self {
        Self { half: Half::Open(recv), reader: Some(reader), ..Self::awaited() }
    }

    /// The stream has come.
    #[inline]
    pub(super) fn attach(&mut self, recv: RecvStream) {
        self.half = Half::Open(recv);
    }

    /// Returns what comes next.
    #[inline]
    pub(super) fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        let Half::Open(recv) = &mut self.half else { return Poll::Pending };
        let arrived = ready!(pin!(recv.read_chunk(READ_BYTES_MAX, true)).poll(cx));
        match arrived {
            Ok(Some(chunk)) => {
                let offset = self.arrived_bytes;
                self.arrived_bytes += chunk.bytes.len() as u64;
                Poll::Ready(Arrival::Bytes(offset, chunk.bytes))
            }
            Ok(None) => {
                self.half = Half::Over;
                Poll::Ready(Arrival::End)
            }
            Err(ReadError::Reset(code)) => {
                self.half = Half::Over;
                Poll::Ready(Arrival::Reset(CloseCode::from_wire(code.into_inner())))
            }
            Err(_) => {
                // The link is gone, and says so itself.
                self.half = Half::Over;
                Poll::Pending
            }
        }
    }

    /// Takes what a copy says, as far as it joins on to what was read. Returns whether there is news.
    pub(super) fn push_copy(&mut self, offset: u64, bytes: Bytes, readers: &mut Readers) -> bool {
        !self.is_over() && offset <= self.read_bytes && self.push(offset, bytes, readers)
    }

    /// Takes bytes from an offset on, without those that were read already. Returns whether there is news.
    #[inline]
    pub(super) fn push(&mut self, offset: u64, mut bytes: Bytes, readers: &mut Readers) -> bool {
        let known = usize::try_from(self.read_bytes - offset).unwrap_or(usize::MAX);
        if known >= bytes.len() {
            return false;
        }
        bytes.advance(known);
        self.read_bytes += bytes.len() as u64;
        self.reader(readers).push(bytes);
        true
    }

    /// Returns the next item, or `None` when more bytes are needed.
    #[inline]
    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DecodeError> {
        self.reader.as_mut().map_or(Ok(None), Reader::next_item)
    }

    /// Checks that the half may end where it did. Nothing is read any more.
    #[inline]
    pub(super) fn finish(&mut self, readers: &mut Readers) -> Result<(), DecodeError> {
        let end = self.reader(readers).finish();
        self.let_go_of_reader(readers);
        end
    }

    /// Asks the peer to write no more. What is on the way is not read.
    pub(super) fn stop(&mut self, code: CloseCode) {
        if let Half::Open(recv) = &mut self.half {
            // It may have ended already; then there is nothing to stop.
            recv.stop(code.to_wire().into()).ok();
            self.half = Half::Over;
        }
    }

    /// Nothing is read any more.
    #[inline]
    pub(super) fn let_go_of_reader(&mut self, readers: &mut Readers) {
        if let Some(reader) = self.reader.take() {
            readers.keep(reader);
        }
    }

    fn reader(&mut self, readers: &mut Readers) -> &mut Reader {
        self.reader.get_or_insert_with(|| match self.answers_behind {
            Some(updates_received) => readers.replies(updates_received),
            None => readers.opened(),
        })
    }

    /// Returns whether something has come.
    pub(super) fn has_begun(&self) -> bool {
        self.read_bytes > 0
    }

    /// Returns whether the stream is there and more may come on it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.half, Half::Open(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.half, Half::Over)
    }

    /// Returns the bytes held of what is not complete.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.reader.as_ref().map_or(0, Reader::buffered_bytes)
    }

    /// Returns the bytes of everything on a command's stream that was read completely, while it is being read.
    pub(super) fn completed_bytes(&self) -> Option<u64> {
        self.reader.as_ref().map(Reader::completed_bytes)
    }
}

/// Longest chunk read at once.
const READ_BYTES_MAX: usize = 64 << 10;
