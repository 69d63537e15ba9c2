//! One stream of a link: bytes waiting to be written, and a decoder for what is read.

mod id;
mod purpose;

use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use runnel_codec::{
    Class, CloseCode, ControlFrame, DecodeError, Head, Limits, PieceKind, StreamFrame, StreamKind,
    encode_control, encode_frame_split, encode_head_split, encode_message, encode_stream_kind,
    head_encoded_len, message_encoded_len, piece_prefix,
};

pub use self::id::StreamId;
pub(super) use self::id::id_of;
pub(super) use self::purpose::Role;
use self::purpose::{Purpose, RANK_OF_NEW};
use super::budget::StreamBytes;
use super::copies::Uncopied;
use super::openings::Pair;
use super::outbox::Outbox;
use super::reader::{Item, Reader, Readers};

/// A stream and what is under way on it.
pub(super) struct Stream {
    id: StreamId,
    purpose: Purpose,
    send: Option<SendStream>,
    recv: Option<RecvStream>,
    /// There from the first bytes of the peer's half to its end.
    reader: Option<Reader>,
    /// Updates that the head of a command of ours told of.
    updates_received: u64,
    /// A head whose announced payload has not come yet.
    head: Option<Box<Head>>,
    /// Its head has been passed on, or we opened it.
    is_known: bool,
    /// What comes is read and dropped.
    discards: bool,
    /// It has buffers only while something waits.
    outbox: Outbox,
    /// More was pending than [`PENDING_BYTES_HIGH`], and not yet less than [`PENDING_BYTES_LOW`].
    is_crowded: bool,
    finishes: bool,
    /// To abort our half with as soon as it is there.
    reset_with: Option<CloseCode>,
    rank: i32,
    /// The peer's stream is known from a copy and has not come itself.
    is_announced: bool,
    /// Bytes given to the reader, and those of them that came on the stream itself.
    read_bytes: u64,
    arrived_bytes: u64,
    uncopied: Uncopied,
    bytes: StreamBytes,
}

/// What happened on a stream.
pub(super) enum StreamEvent {
    /// It is the control stream.
    IsControl,
    Control(ControlFrame),
    Head {
        head: Head,
        payload: Bytes,
    },
    Messages(Vec<Head>),
    Frame(StreamFrame),
    Finished,
    /// The peer aborted its half.
    Lost {
        code: Option<CloseCode>,
        /// Its head has been passed on, or we opened it.
        is_known: bool,
    },
    /// The peer wants no more of our half, to which this many budgeted bytes were written.
    Stopped {
        code: Option<CloseCode>,
        written: u64,
    },
    Writable,
    /// The peer broke the rules.
    Broken(DecodeError),
}

impl Stream {
    /// A stream that the peer opened.
    pub(super) fn accepted(pair: Pair) -> Self {
        let mut stream = Self::announced(id_of(&pair));
        stream.attach(pair);
        stream
    }

    /// A stream that the peer opened, and that has not come itself.
    pub(super) fn announced(id: StreamId) -> Self {
        Self { is_announced: true, ..Self::new(id, Purpose::unknown()) }
    }

    /// The control stream, opened here.
    pub(super) fn control(pair: Pair, limits: Limits) -> Self {
        let mut stream = Self::new(id_of(&pair), Purpose::ours(Role::Control, Class::Urgent));
        (stream.reader, stream.is_known) = (Some(Reader::control(limits)), true);
        stream.attach(pair);
        stream
    }

    /// A stream for a command, opened here. Its head and payload wait to be written, and its end, unless a body follows.
    pub(super) fn opened(pair: Pair, head: &Head, payload: Bytes, outbox: Outbox, is_copied: bool) -> Self {
        let mut stream = Self::new(id_of(&pair), Purpose::ours(Role::Command, head.class));
        (stream.is_known, stream.finishes) = (true, !head.has_body);
        (stream.outbox, stream.updates_received) = (outbox, head.updates_received);
        stream.attach(pair);
        stream.uncopied.set_on(is_copied);
        stream.push(|tail| encode_head_split(head, tail));
        if head.class != Class::Urgent {
            stream.bytes.add_written(head_encoded_len(head) as u64);
        }
        stream.set_rank(stream.purpose.rank());
        if !payload.is_empty() {
            let prefix = piece_prefix(PieceKind::Payload, payload.len());
            stream.bytes.add_written((prefix.as_slice().len() + payload.len()) as u64);
            stream.push(|tail| {
                tail.extend_from_slice(prefix.as_slice());
                payload
            });
            stream.set_rank(stream.purpose.bulk_rank());
        }
        stream
    }

    /// A stream for messages of one class, opened here. It is finished behind them.
    pub(super) fn batch(pair: Pair, class: Class, messages: &[Head]) -> Self {
        let mut stream = Self::new(id_of(&pair), Purpose::ours(Role::Batch, class));
        stream.is_known = true;
        stream.reader = Some(Reader::Silent { is_broken: false });
        stream.attach(pair);
        stream.set_rank(stream.purpose.rank());
        let bytes: usize = messages.iter().map(message_encoded_len).sum();
        let mut batch = BytesMut::with_capacity(bytes + 1);
        encode_stream_kind(StreamKind::Batch, &mut batch);
        messages.iter().for_each(|head| encode_message(head, &mut batch));
        if class != Class::Urgent {
            stream.bytes.add_written(batch.len() as u64);
        }
        stream.push_bytes(batch.freeze());
        stream.finish();
        stream
    }

    /// Without its halves.
    fn new(id: StreamId, purpose: Purpose) -> Self {
        Self {
            id,
            purpose,
            send: None,
            recv: None,
            head: None,
            is_known: false,
            reader: None,
            updates_received: 0,
            discards: false,
            outbox: Outbox::default(),
            is_crowded: false,
            finishes: false,
            reset_with: None,
            rank: RANK_OF_NEW,
            is_announced: false,
            read_bytes: 0,
            arrived_bytes: 0,
            uncopied: Uncopied::default(),
            bytes: StreamBytes::default(),
        }
    }

    /// Returns its outbox, for another stream, if nothing waits in it.
    pub(super) fn take_outbox(&mut self) -> Option<Outbox> {
        let is_idle = self.outbox.bytes() == 0 && !self.outbox.is_bare();
        is_idle.then(|| std::mem::take(&mut self.outbox))
    }

    /// Has an outbox of another stream, if it has none of its own.
    pub(super) fn lend_outbox(&mut self, spare: &mut Vec<Outbox>) {
        if self.outbox.is_bare()
            && let Some(outbox) = spare.pop()
        {
            self.outbox = outbox;
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    pub(super) fn role(&self) -> Role {
        self.purpose.role
    }

    /// Returns whether both halves are done.
    pub(super) fn is_over(&self) -> bool {
        self.send.is_none() && self.recv.is_none() && !self.is_announced
    }

    /// Returns whether we opened it and the peer has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.purpose.is_ours && self.read_bytes > 0
    }

    /// Returns whether the peer's half is still to be read.
    pub(super) fn is_read(&self) -> bool {
        self.recv.is_some()
    }

    /// Returns whether anything may still be written.
    fn is_written(&self) -> bool {
        self.send.is_some() || self.is_announced && self.reset_with.is_none()
    }

    /// Returns whether the peer opened it for a command or for messages.
    pub(super) fn is_incoming_command(&self) -> bool {
        self.purpose.is_incoming_command()
    }

    /// Returns the bytes held of a head that has begun and is not complete.
    pub(super) fn head_bytes(&self) -> Option<usize> {
        let bytes = self.reader.as_ref().map_or(0, Reader::buffered_bytes);
        (self.expects_head() && self.recv.is_some() && bytes > 0).then_some(bytes)
    }

    /// Returns whether the next that comes is the head of a command or of a message, if anything comes.
    pub(super) fn expects_head(&self) -> bool {
        self.purpose.expects_head()
    }

    /// Returns the bytes that wait to be written.
    pub(super) fn pending_bytes(&self) -> usize {
        self.outbox.bytes()
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

    /// It has turned out to be the control stream.
    pub(super) fn become_control(&mut self) {
        self.purpose.role = Role::Control;
        self.set_rank(self.purpose.rank());
    }

    /// Writes a frame behind what waits already. Returns its budgeted bytes.
    pub(super) fn push_frame(&mut self, frame: &StreamFrame) -> u64 {
        if !self.is_written() || self.finishes {
            return 0;
        }
        self.push(|tail| encode_frame_split(frame, tail));
        self.set_rank(if frame.is_bulk() { self.purpose.bulk_rank() } else { self.purpose.rank() });
        let budgeted = self.purpose.budgeted(frame);
        self.bytes.add_written(budgeted);
        budgeted
    }

    pub(super) fn push_control(&mut self, frame: &ControlFrame) {
        self.push(|tail| {
            encode_control(frame, tail);
            Bytes::new()
        });
    }

    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.push(|_| bytes);
    }

    /// Has something written behind what waits: what `encode` appends, and then the bytes that it returns.
    fn push(&mut self, encode: impl FnOnce(&mut BytesMut) -> Bytes) {
        if !self.is_written() {
            return;
        }
        let pushed = self.outbox.push(encode);
        self.uncopied.handle_written(&self.outbox, pushed, self.purpose.is_urgent_command());
        self.is_crowded |= self.outbox.bytes() > PENDING_BYTES_HIGH;
    }

    pub(super) fn finish(&mut self) {
        self.finishes = true;
    }

    /// Has what is written from now on copied, if it is of an urgent command.
    pub(super) fn set_copied(&mut self, is_copied: bool) {
        self.uncopied.set_on(is_copied);
    }

    /// Returns where on the stream the bytes are that were written since this was last asked, and the bytes, if they are to
    /// be copied.
    pub(super) fn take_uncopied(&mut self) -> Option<(u64, BytesMut)> {
        self.uncopied.take()
    }

    /// The stream has come of which a copy had told.
    pub(super) fn attach(&mut self, (send, recv): Pair) {
        self.is_announced = false;
        (self.send, self.recv) = (Some(send), Some(recv));
        if self.purpose.role == Role::Command {
            self.set_rank(self.purpose.rank());
        }
        if let Some(code) = self.reset_with.take() {
            self.reset(code);
        }
    }

    /// Reads what a copy says, as far as it is news and joins on to what was read.
    pub(super) fn read_copy(
        &mut self,
        offset: u64,
        bytes: Bytes,
        readers: &mut Readers,
        events: &mut Vec<StreamEvent>,
    ) {
        let is_read = self.recv.is_some() || self.is_announced;
        if is_read && offset <= self.read_bytes {
            self.read_from(offset, bytes, readers, events);
        }
    }

    /// Aborts our half. Returns the budgeted bytes written to it, if it was still open.
    pub(super) fn reset(&mut self, code: CloseCode) -> Option<u64> {
        if self.is_announced {
            self.reset_with = Some(code);
        }
        let mut send = self.send.take()?;
        self.outbox.clear();
        send.reset(code.to_wire().into()).ok()?;
        Some(self.bytes.written())
    }

    /// Reads and drops what still comes.
    ///
    /// QUIC's STOP_SENDING would hide how much of it was written, and the peer's count of bytes in flight would never
    /// fall again.
    pub(super) fn discard(&mut self) {
        self.discards = true;
    }

    /// Writes what waits, as far as it is taken.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, events: &mut Vec<StreamEvent>) {
        let Some(send) = self.send.as_mut() else { return };
        match self.outbox.poll_write(cx, send) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(WriteError::Stopped(_))) if self.purpose.role == Role::Batch => {
                self.send = None;
                events.push(StreamEvent::Broken(BATCH_CUT));
                return;
            }
            Poll::Ready(Err(WriteError::Stopped(code))) => {
                let code = CloseCode::from_wire(code.into_inner());
                if let Some(written) = self.reset(CloseCode::Stopped) {
                    events.push(StreamEvent::Stopped { code, written });
                }
                return;
            }
            Poll::Ready(Err(_)) => {
                // The link is gone, and says so itself.
                self.send = None;
                return;
            }
        }
        if self.is_crowded && self.outbox.bytes() < PENDING_BYTES_LOW {
            self.is_crowded = false;
            events.push(StreamEvent::Writable);
        }
        if self.outbox.bytes() == 0 && self.finishes {
            // It may have been stopped: then nobody waits for the end either.
            send.finish().ok();
            self.send = None;
        }
    }

    /// Reads what has come, up to a bound. Returns whether nothing more is there now.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        readers: &mut Readers,
        events: &mut Vec<StreamEvent>,
    ) -> bool {
        for _ in 0..READS_MAX {
            let Some(recv) = self.recv.as_mut() else { return true };
            let result = pin!(recv.read_chunk(READ_BYTES_MAX, true)).poll(cx);
            match result {
                Poll::Pending => return true,
                Poll::Ready(Ok(Some(chunk))) => {
                    let offset = self.arrived_bytes;
                    self.arrived_bytes += chunk.bytes.len() as u64;
                    self.read_from(offset, chunk.bytes, readers, events);
                }
                Poll::Ready(Ok(None)) => {
                    self.recv = None;
                    let reader = self.reader(readers);
                    let end = reader.finish();
                    self.let_go_of_reader(readers);
                    match end {
                        Ok(()) if self.discards => {}
                        Ok(()) if self.purpose.role == Role::Batch && !self.purpose.is_ours => {
                            self.end_our_half()
                        }
                        Ok(()) => events.push(StreamEvent::Finished),
                        Err(error) => events.push(StreamEvent::Broken(error)),
                    }
                }
                Poll::Ready(Err(ReadError::Reset(code))) => {
                    self.recv = None;
                    if self.purpose.role == Role::Batch {
                        events.push(StreamEvent::Broken(BATCH_CUT));
                        continue;
                    }
                    if !self.is_known {
                        // Nobody else will ever end our half.
                        self.reset(CloseCode::Stopped);
                    }
                    let code = CloseCode::from_wire(code.into_inner());
                    events.push(StreamEvent::Lost { code, is_known: self.is_known && !self.discards });
                }
                Poll::Ready(Err(_)) => self.recv = None,
            }
        }
        false
    }

    /// Reads bytes from an offset on, without those that were read already.
    fn read_from(
        &mut self,
        offset: u64,
        mut bytes: Bytes,
        readers: &mut Readers,
        events: &mut Vec<StreamEvent>,
    ) {
        let known = usize::try_from(self.read_bytes - offset).unwrap_or(usize::MAX);
        if known >= bytes.len() {
            return;
        }
        bytes.advance(known);
        self.read_bytes += bytes.len() as u64;
        self.reader(readers).push(bytes);
        if let Err(error) = self.decode(events) {
            self.break_off(error, events);
        }
    }

    fn reader(&mut self, readers: &mut Readers) -> &mut Reader {
        let (is_ours, updates_received) = (self.purpose.is_ours, self.updates_received);
        self.reader.get_or_insert_with(|| match is_ours {
            true => readers.replies(updates_received),
            false => readers.opened(),
        })
    }

    /// Nothing is read any more.
    pub(super) fn let_go_of_reader(&mut self, readers: &mut Readers) {
        if let Some(reader) = self.reader.take() {
            readers.keep(reader);
        }
    }

    fn decode(&mut self, events: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let mut messages = Vec::new();
        while let Some(reader) = &mut self.reader
            && let Some(item) = reader.next_item()?
        {
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
            && let Some(reader) = &self.reader
        {
            self.bytes.set_taken(reader.completed_bytes());
        }
        Ok(())
    }

    fn take_head(&mut self, head: Head, events: &mut Vec<StreamEvent>) {
        (self.purpose.role, self.purpose.class) = (Role::Command, head.class);
        self.set_rank(self.purpose.rank());
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
        if let Some(mut recv) = self.recv.take() {
            // It may have ended already; then there is nothing to stop.
            recv.stop(error.close_code().to_wire().into()).ok();
        }
        if error.spares_link() {
            self.reset(error.close_code());
        } else {
            events.push(StreamEvent::Broken(error));
        }
    }

    /// All has come, and nothing is said in answer.
    fn end_our_half(&mut self) {
        if let Some(mut send) = self.send.take() {
            // It may have been stopped: then nobody waits for the end either.
            send.finish().ok();
        }
    }

    /// Sets the rank among the link's streams. A stream keeps its old one as long as it waits, so this comes before a
    /// write.
    fn set_rank(&mut self, rank: i32) {
        if self.rank != rank
            && let Some(send) = &self.send
        {
            self.rank = rank;
            // It fails only for a stream that has ended, where rank means nothing.
            send.set_priority(rank).ok();
        }
    }
}

/// A batch is written and read whole, or the link ends.
const BATCH_CUT: DecodeError = DecodeError::UnexpectedFrame { frame: "the reset", state: "of a batch" };

/// Chunks read from one stream before the others get their turn.
const READS_MAX: usize = 16;

/// Longest chunk read at once.
const READ_BYTES_MAX: usize = 64 << 10;

/// Bytes waiting on one stream above which it is crowded: two of the largest pieces.
const PENDING_BYTES_HIGH: usize = 128 << 10;

/// Bytes waiting below which a crowded stream is writable again.
const PENDING_BYTES_LOW: usize = 32 << 10;
