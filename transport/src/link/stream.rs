//! One stream of a link: what it is for, and what comes of reading and of writing it.
//!
//! Its halves turn what we say into bytes (`sending`), and bytes into what the peer says (`receiving`). Here is what they
//! mean to each other: a head gives our half its rank, an abort of one half may be the end of the other.

mod event;
mod id;
mod purpose;
mod receiving;
mod sending;

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use runnel_codec::{Class, CloseCode, ControlFrame, DecodeError, Head, Limits, StreamFrame};

pub(super) use self::event::StreamEvent;
pub use self::id::StreamId;
pub(super) use self::id::id_of;
use self::purpose::Purpose;
pub(super) use self::purpose::Role;
use self::receiving::{Arrival, Receiving};
use self::sending::{Sending, Written};
use super::budget::StreamBytes;
use super::openings::Pair;
use super::outbox::{Outbox, Outboxes};
use super::reader::{Item, Reader, Readers};

/// A stream and what is under way on it.
pub(super) struct Stream {
    id: StreamId,
    purpose: Purpose,
    sending: Sending,
    receiving: Receiving,
    /// Budgeted bytes.
    bytes: StreamBytes,
    /// A head whose announced payload has not come yet.
    head: Option<Box<Head>>,
    /// Its head has been passed on, or we opened it.
    is_known: bool,
    /// What comes is read and dropped.
    discards: bool,
}

impl Stream {
    /// A stream that the peer opened.
    #[inline]
    pub(super) fn accepted(pair: Pair) -> Self {
        let mut stream = Self::announced(id_of(&pair));
        stream.attach(pair);
        stream
    }

    /// A stream that the peer opened, and that has not come itself.
    #[inline]
    pub(super) fn announced(id: StreamId) -> Self {
        let (sending, receiving) = (Sending::awaited(), Receiving::awaited());
        Self { is_known: false, ..Self::new(id, Purpose::unknown(), sending, receiving) }
    }

    /// The control stream, opened here.
    pub(super) fn control(pair: Pair, limits: Limits) -> Self {
        let (id, purpose) = (id_of(&pair), Purpose::ours(Role::Control, Class::Urgent));
        let receiving = Receiving::with_reader(pair.1, Reader::control(limits));
        Self::new(id, purpose, Sending::open(pair.0), receiving)
    }

    /// A stream for a command, opened here. Its head and payload wait to be written, and its end, unless a body follows.
    #[inline]
    pub(super) fn opened(pair: Pair, head: &Head, payload: Bytes, outbox: Outbox, is_copied: bool) -> Self {
        let (id, purpose) = (id_of(&pair), Purpose::ours(Role::Command, head.class));
        let receiving = Receiving::answers(pair.1, head.updates_received);
        let mut stream = Self::new(id, purpose, Sending::open(pair.0).with_outbox(outbox), receiving);
        stream.set_copied(is_copied);
        stream.bytes.add_written(stream.sending.push_head(purpose, head));
        if !payload.is_empty() {
            stream.bytes.add_written(stream.sending.push_payload(purpose, payload));
        }
        if !head.has_body {
            stream.finish();
        }
        stream
    }

    /// A stream for messages of one class, opened here. It is finished behind them.
    pub(super) fn batch(pair: Pair, class: Class, messages: &[Head]) -> Self {
        let (id, purpose) = (id_of(&pair), Purpose::ours(Role::Batch, class));
        let receiving = Receiving::with_reader(pair.1, Reader::Silent { is_broken: false });
        let mut stream = Self::new(id, purpose, Sending::open(pair.0), receiving);
        stream.bytes.add_written(stream.sending.push_messages(purpose, messages));
        stream.finish();
        stream
    }

    /// A stream of ours.
    #[inline]
    fn new(id: StreamId, purpose: Purpose, sending: Sending, receiving: Receiving) -> Self {
        let bytes = StreamBytes::default();
        Self { id, purpose, sending, receiving, bytes, head: None, is_known: true, discards: false }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    pub(super) fn role(&self) -> Role {
        self.purpose.role
    }

    /// Returns whether both halves are done.
    pub(super) fn is_over(&self) -> bool {
        self.sending.is_over() && self.receiving.is_over()
    }

    /// Returns whether we opened it and the peer has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.purpose.is_ours && self.receiving.has_begun()
    }

    /// Returns whether the peer's half is still to be read.
    pub(super) fn is_read(&self) -> bool {
        self.receiving.is_open()
    }

    /// Returns whether the peer opened it for a command or for messages.
    pub(super) fn is_incoming_command(&self) -> bool {
        self.purpose.is_incoming_command()
    }

    /// Returns the bytes held of a head that has begun and is not complete.
    pub(super) fn head_bytes(&self) -> Option<usize> {
        let bytes = self.receiving.buffered_bytes();
        (self.expects_head() && self.receiving.is_open() && bytes > 0).then_some(bytes)
    }

    /// Returns whether the next that comes is the head of a command or of a message, if anything comes.
    pub(super) fn expects_head(&self) -> bool {
        self.purpose.expects_head()
    }

    /// Returns the bytes that wait to be written.
    pub(super) fn pending_bytes(&self) -> usize {
        self.sending.pending_bytes()
    }

    /// Returns the budgeted bytes written to it so far.
    pub(super) fn written(&self) -> u64 {
        self.bytes.written()
    }

    /// Returns the budgeted bytes taken off it so far.
    pub(super) fn taken(&self) -> u64 {
        self.bytes.taken()
    }

    /// Returns the budgeted bytes that were taken since this was last asked.
    pub(super) fn count_taken(&mut self) -> u64 {
        self.bytes.count_taken()
    }

    /// Has an outbox of another stream, if it has none of its own.
    pub(super) fn lend_outbox(&mut self, spare: &mut Outboxes) {
        self.sending.lend_outbox(spare);
    }

    /// Returns its outbox, for another stream, if nothing waits in it.
    pub(super) fn take_outbox(&mut self) -> Option<Outbox> {
        self.sending.take_outbox()
    }

    /// It has turned out to be the control stream.
    pub(super) fn become_control(&mut self) {
        self.purpose.role = Role::Control;
        self.sending.set_rank(self.purpose.rank());
    }

    /// Writes a frame behind what waits already. Returns its budgeted bytes.
    #[inline]
    pub(super) fn push_frame(&mut self, frame: &StreamFrame) -> u64 {
        let budgeted = self.sending.push_frame(self.purpose, frame);
        self.bytes.add_written(budgeted);
        budgeted
    }

    pub(super) fn push_control(&mut self, frame: &ControlFrame) {
        self.sending.push_control(frame);
    }

    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.sending.push_bytes(bytes);
    }

    pub(super) fn finish(&mut self) {
        self.sending.finish();
    }

    /// Has what is written from now on copied, if it is of an urgent command.
    pub(super) fn set_copied(&mut self, is_copied: bool) {
        self.sending.set_copied(is_copied);
    }

    /// Returns where on the stream the bytes are that were written since this was last asked, and the bytes, if they are to
    /// be copied.
    pub(super) fn take_uncopied(&mut self) -> Option<(u64, BytesMut)> {
        self.sending.take_uncopied()
    }

    /// The stream has come of which a copy had told.
    #[inline]
    pub(super) fn attach(&mut self, (send, recv): Pair) {
        self.sending.attach(send);
        self.receiving.attach(recv);
        if self.purpose.role == Role::Command {
            self.sending.set_rank(self.purpose.rank());
        }
    }

    /// Aborts our half. Returns the budgeted bytes written to it, unless it had been ended or aborted before.
    pub(super) fn reset(&mut self, code: CloseCode) -> Option<u64> {
        self.sending.reset(code).then(|| self.bytes.written())
    }

    /// Reads and drops what still comes.
    ///
    /// QUIC's STOP_SENDING would hide how much of it was written, and the peer's count of bytes in flight would never
    /// fall again.
    pub(super) fn discard(&mut self) {
        self.discards = true;
    }

    /// Writes what waits, as far as it is taken.
    #[inline]
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, events: &mut Vec<StreamEvent>) {
        match self.sending.poll_write(cx) {
            None => {}
            Some(Written::Writable) => events.push(StreamEvent::Writable),
            Some(Written::Stopped(_)) if self.purpose.role == Role::Batch => {
                self.sending.abandon();
                events.push(StreamEvent::Broken(BATCH_CUT));
            }
            Some(Written::Stopped(code)) => {
                if let Some(written) = self.reset(CloseCode::Stopped) {
                    events.push(StreamEvent::Stopped { code, written });
                }
            }
        }
    }

    /// Reads what has come, up to a bound. Returns whether nothing more is there now.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        readers: &mut Readers,
        events: &mut Vec<StreamEvent>,
    ) -> bool {
        for _ in 0..READS_MAX {
            match self.receiving.poll_arrival(cx) {
                Poll::Pending => return true,
                Poll::Ready(Arrival::Bytes(offset, bytes)) => {
                    let is_news = self.receiving.push(offset, bytes, readers);
                    self.take_news(is_news, events);
                }
                Poll::Ready(Arrival::End) => self.handle_end(readers, events),
                Poll::Ready(Arrival::Reset(code)) => self.handle_reset(code, events),
            }
        }
        false
    }

    /// Reads what a copy says, as far as it is news and joins on to what was read.
    pub(super) fn read_copy(
        &mut self,
        offset: u64,
        bytes: Bytes,
        readers: &mut Readers,
        events: &mut Vec<StreamEvent>,
    ) {
        let is_news = self.receiving.push_copy(offset, bytes, readers);
        self.take_news(is_news, events);
    }

    /// Nothing is read any more.
    pub(super) fn let_go_of_reader(&mut self, readers: &mut Readers) {
        self.receiving.let_go_of_reader(readers);
    }

    fn handle_end(&mut self, readers: &mut Readers, events: &mut Vec<StreamEvent>) {
        match self.receiving.finish(readers) {
            Ok(()) if self.discards => {}
            // All has come, and nothing is said in answer.
            Ok(()) if self.purpose.role == Role::Batch && !self.purpose.is_ours => self.sending.end(),
            Ok(()) => events.push(StreamEvent::Finished),
            Err(error) => events.push(StreamEvent::Broken(error)),
        }
    }

    fn handle_reset(&mut self, code: Option<CloseCode>, events: &mut Vec<StreamEvent>) {
        if self.purpose.role == Role::Batch {
            return events.push(StreamEvent::Broken(BATCH_CUT));
        }
        if !self.is_known {
            // Nobody else will ever end our half.
            self.reset(CloseCode::Stopped);
        }
        events.push(StreamEvent::Lost { code, is_known: self.is_known && !self.discards });
    }

    fn take_news(&mut self, is_news: bool, events: &mut Vec<StreamEvent>) {
        if is_news && let Err(error) = self.take_items(events) {
            self.break_off(error, events);
        }
    }

    fn take_items(&mut self, events: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let mut messages = Vec::new();
        while let Some(item) = self.receiving.next_item()? {
            match item {
                Item::IsControl => events.push(StreamEvent::IsControl),
                Item::IsBatch => self.purpose.role = Role::Batch,
                Item::Message(head) => {
                    self.purpose.class = head.class;
                    messages.push(head);
                }
                Item::Control(frame) => events.push(StreamEvent::Control(frame)),
                Item::Head(head) => self.take_head(head, events),
                Item::Frame(frame) => self.take_frame(frame, events),
            }
        }
        if !messages.is_empty() {
            events.push(StreamEvent::Messages(messages));
        }
        if matches!(self.purpose.role, Role::Command | Role::Batch)
            && self.purpose.class != Class::Urgent
            && let Some(bytes) = self.receiving.completed_bytes()
        {
            self.bytes.set_taken(bytes);
        }
        Ok(())
    }

    fn take_head(&mut self, head: Head, events: &mut Vec<StreamEvent>) {
        (self.purpose.role, self.purpose.class) = (Role::Command, head.class);
        self.sending.set_rank(self.purpose.rank());
        if head.payload_bytes > 0 {
            self.head = Some(Box::new(head));
        } else {
            self.is_known = true;
            events.push(StreamEvent::Head { head, payload: Bytes::new() });
        }
    }

    fn take_frame(&mut self, frame: StreamFrame, events: &mut Vec<StreamEvent>) {
        if self.purpose.class == Class::Urgent {
            self.bytes.add_taken(self.purpose.budgeted(&frame));
        }
        match (frame, self.head.take()) {
            (StreamFrame::Payload(payload), Some(head)) => {
                self.is_known = true;
                events.push(StreamEvent::Head { head: *head, payload });
            }
            _ if self.discards => {}
            (frame, _) => events.push(StreamEvent::Frame(frame)),
        }
    }

    /// The peer broke the rules: mostly the link ends, but a stream of a kind that may be skipped is only refused.
    fn break_off(&mut self, error: DecodeError, events: &mut Vec<StreamEvent>) {
        self.receiving.stop(error.close_code());
        if error.spares_link() {
            self.reset(error.close_code());
        } else {
            events.push(StreamEvent::Broken(error));
        }
    }
}

/// A batch is written and read whole, or the link ends.
const BATCH_CUT: DecodeError = DecodeError::UnexpectedFrame { frame: "the reset", state: "of a batch" };

/// Chunks read from one stream before the others get their turn.
const READS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_to_a_stream_that_is_reset_before_it_comes_is_told_once() {
        let mut stream = Stream::announced(StreamId::from_wire(0));
        let written = stream.push_frame(&StreamFrame::ResultBody(Bytes::from_static(b"result")));
        assert!(written > 0);
        assert_eq!(stream.reset(CloseCode::Detached), Some(written));
        assert_eq!(stream.reset(CloseCode::Detached), None);
        assert_eq!(stream.push_frame(&StreamFrame::ResultBody(Bytes::from_static(b"more"))), 0);
    }
}
