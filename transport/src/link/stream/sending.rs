//! Our half of a stream: what we say, as bytes that wait to be written, and how it ends.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use quinn::{SendStream, WriteError};
use runnel_codec::{
    Class, CloseCode, ControlFrame, Head, PieceKind, StreamFrame, StreamKind, encode_control,
    encode_frame_split, encode_head_split, encode_message, encode_stream_kind, head_encoded_len,
    message_encoded_len, piece_prefix,
};

use super::purpose::{Purpose, RANK_OF_NEW};
use crate::link::copies::Uncopied;
use crate::link::outbox::{Outbox, Outboxes};

/// Our half of a stream.
pub(super) struct Sending {
    half: Half,
    /// It has buffers only while something waits.
    outbox: Outbox,
    uncopied: Uncopied,
    /// More was pending than [`PENDING_BYTES_HIGH`], and not yet less than [`PENDING_BYTES_LOW`].
    is_crowded: bool,
    /// It ends behind what waits.
    finishes: bool,
    rank: i32,
}

enum Half {
    /// The stream is known from a copy and has not come itself.
    Awaited,
    /// Likewise, and to be aborted as soon as it is there.
    ToReset(CloseCode),
    Open(SendStream),
    Over,
}

/// What was found out by writing.
pub(super) enum Written {
    /// Much waited, and now little does.
    Writable,
    /// The peer wants no more of it.
    Stopped(Option<CloseCode>),
}

impl Sending {
    /// The half of a stream that has not come.
    #[inline]
    pub(super) fn awaited() -> Self {
        Self {
            half: Half::Awaited,
            outbox: Outbox::default(),
            uncopied: Uncopied::default(),
            is_crowded: false,
            finishes: false,
            rank: RANK_OF_NEW,
        }
    }

    #[inline]
    pub(super) fn open(send: SendStream) -> Self {
        Self { half: Half::Open(send), ..Self::awaited() }
    }

    #[inline]
    pub(super) fn with_outbox(self, outbox: Outbox) -> Self {
        Self { outbox, ..self }
    }

    /// The stream has come.
    #[inline]
    pub(super) fn attach(&mut self, send: SendStream) {
        let half = std::mem::replace(&mut self.half, Half::Open(send));
        if let Half::ToReset(code) = half {
            self.reset(code);
        }
    }

    /// Has the head of a command written. Returns its budgeted bytes.
    #[inline]
    pub(super) fn push_head(&mut self, purpose: Purpose, head: &Head) -> u64 {
        self.push(purpose.is_urgent_command(), |tail| encode_head_split(head, tail));
        self.set_rank(purpose.rank());
        if purpose.class == Class::Urgent { 0 } else { head_encoded_len(head) as u64 }
    }

    /// Has the inline payload of a command written. Returns its budgeted bytes.
    pub(super) fn push_payload(&mut self, purpose: Purpose, payload: Bytes) -> u64 {
        let prefix = piece_prefix(PieceKind::Payload, payload.len());
        let budgeted = prefix.as_slice().len() + payload.len();
        self.push(purpose.is_urgent_command(), |tail| {
            tail.extend_from_slice(prefix.as_slice());
            payload
        });
        self.set_rank(purpose.bulk_rank());
        budgeted as u64
    }

    /// Has messages written, as a batch. Returns their budgeted bytes.
    pub(super) fn push_messages(&mut self, purpose: Purpose, messages: &[Head]) -> u64 {
        let bytes: usize = messages.iter().map(message_encoded_len).sum();
        let mut batch = BytesMut::with_capacity(bytes + 1);
        encode_stream_kind(StreamKind::Batch, &mut batch);
        messages.iter().for_each(|head| encode_message(head, &mut batch));
        let budgeted = if purpose.class == Class::Urgent { 0 } else { batch.len() as u64 };
        self.set_rank(purpose.rank());
        self.push_bytes(batch.freeze());
        budgeted
    }

    /// Has a frame of a command written, unless this half ends. Returns its budgeted bytes.
    #[inline]
    pub(super) fn push_frame(&mut self, purpose: Purpose, frame: &StreamFrame) -> u64 {
        if !self.is_written() || self.finishes {
            return 0;
        }
        self.push(purpose.is_urgent_command(), |tail| encode_frame_split(frame, tail));
        self.set_rank(if frame.is_bulk() { purpose.bulk_rank() } else { purpose.rank() });
        purpose.budgeted(frame)
    }

    pub(super) fn push_control(&mut self, frame: &ControlFrame) {
        self.push(false, |tail| {
            encode_control(frame, tail);
            Bytes::new()
        });
    }

    /// Has bytes written that are encoded already.
    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.push(false, |_| bytes);
    }

    /// Has something written behind what waits: what `encode` appends, and then the bytes that it returns. It is copied as
    /// well if it is urgent, on a path that loses packets.
    #[inline]
    fn push(&mut self, is_urgent: bool, encode: impl FnOnce(&mut BytesMut) -> Bytes) {
        if !self.is_written() {
            return;
        }
        let pushed = self.outbox.push(encode);
        self.uncopied.handle_written(&self.outbox, pushed, is_urgent);
        self.is_crowded |= self.outbox.bytes() > PENDING_BYTES_HIGH;
    }

    /// Ends it behind what waits.
    pub(super) fn finish(&mut self) {
        self.finishes = true;
    }

    /// Writes what waits, as far as it is taken.
    #[inline]
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<Written> {
        let Half::Open(send) = &mut self.half else { return None };
        match self.outbox.poll_write(cx, send) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(WriteError::Stopped(code))) => {
                return Some(Written::Stopped(CloseCode::from_wire(code.into_inner())));
            }
            Poll::Ready(Err(_)) => {
                // The link is gone, and says so itself.
                self.abandon();
                return None;
            }
        }
        let is_relieved = self.is_crowded && self.outbox.bytes() < PENDING_BYTES_LOW;
        if is_relieved {
            self.is_crowded = false;
        }
        if self.outbox.bytes() == 0 && self.finishes {
            self.end();
        }
        is_relieved.then_some(Written::Writable)
    }

    /// Ends it now.
    #[inline]
    pub(super) fn end(&mut self) {
        if let Half::Open(send) = &mut self.half {
            // It may have been stopped: then nobody waits for the end either.
            send.finish().ok();
            self.half = Half::Over;
        }
    }

    /// Aborts it, at once or as soon as the stream is there. Returns whether it had not been ended or aborted before.
    pub(super) fn reset(&mut self, code: CloseCode) -> bool {
        self.outbox.clear();
        match std::mem::replace(&mut self.half, Half::Over) {
            Half::Open(mut send) => send.reset(code.to_wire().into()).is_ok(),
            Half::Awaited => {
                self.half = Half::ToReset(code);
                true
            }
            Half::ToReset(first) => {
                self.half = Half::ToReset(first);
                false
            }
            Half::Over => false,
        }
    }

    /// Nothing more is written, and nobody waits for its end.
    pub(super) fn abandon(&mut self) {
        self.half = Half::Over;
    }

    /// Sets the rank among the link's streams. A stream keeps its old one as long as it waits, so this comes before a
    /// write.
    #[inline]
    pub(super) fn set_rank(&mut self, rank: i32) {
        if self.rank != rank
            && let Half::Open(send) = &self.half
        {
            self.rank = rank;
            // It fails only for a stream that has ended, where rank means nothing.
            send.set_priority(rank).ok();
        }
    }

    /// Has what is written from now on copied, if it is urgent.
    pub(super) fn set_copied(&mut self, is_copied: bool) {
        self.uncopied.set_on(is_copied);
    }

    /// Returns where on the stream the bytes are that were written since this was last asked, and the bytes, if they are to
    /// be copied.
    pub(super) fn take_uncopied(&mut self) -> Option<(u64, BytesMut)> {
        self.uncopied.take()
    }

    /// Has an outbox of another stream, if it has none of its own.
    #[inline]
    pub(super) fn lend_outbox(&mut self, spare: &mut Outboxes) {
        if self.outbox.is_bare()
            && let Some(outbox) = spare.take()
        {
            self.outbox = outbox;
        }
    }

    /// Returns its outbox, for another stream, if nothing waits in it.
    #[inline]
    pub(super) fn take_outbox(&mut self) -> Option<Outbox> {
        let is_idle = self.outbox.bytes() == 0 && !self.outbox.is_bare();
        is_idle.then(|| std::mem::take(&mut self.outbox))
    }

    /// Returns whether anything may still be written.
    fn is_written(&self) -> bool {
        matches!(self.half, Half::Awaited | Half::Open(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.half, Half::Over)
    }

    /// Returns the bytes that wait to be written.
    pub(super) fn pending_bytes(&self) -> usize {
        self.outbox.bytes()
    }
}

/// Bytes waiting on one stream above which it is crowded: two of the largest pieces.
const PENDING_BYTES_HIGH: usize = 128 << 10;

/// Bytes waiting below which a crowded stream is writable again.
const PENDING_BYTES_LOW: usize = 32 << 10;
