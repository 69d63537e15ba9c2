//! One stream of a link: bytes waiting to be written, and a decoder for what is read.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use runnel_codec::{
    Class, CloseCode, ControlDecoder, ControlFrame, DecodeError, Head, Limits, PieceKind, ReplyDecoder,
    StreamDecoder, StreamFrame, StreamItem, StreamKind, encode_control, encode_frame_split,
    encode_head_split, frame_encoded_len, head_encoded_len, piece_prefix,
};

/// Number of a stream within its link, as in QUIC (RFC 9000, section 2.1). Later streams of a side have larger ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

/// A stream and what is under way on it.
pub(super) struct Stream {
    id: StreamId,
    role: Role,
    class: Class,
    send: Option<SendStream>,
    recv: Option<RecvStream>,
    reader: Reader,
    /// A head whose announced payload has not come yet, and its budgeted bytes.
    head: Option<(Head, u64)>,
    pending: VecDeque<Bytes>,
    finishes: bool,
    /// Budgeted bytes written to it.
    written: u64,
    /// Budgeted bytes taken off it.
    taken: u64,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The peer opened it and has not said what it is.
    Unknown,
    /// The control stream.
    Control,
    /// It carries a command.
    Command,
}

/// What was read from a stream.
pub(super) enum StreamEvent {
    /// It is the control stream.
    IsControl,
    Control(ControlFrame),
    Head {
        head: Head,
        payload: Bytes,
        taken: u64,
    },
    Frame {
        frame: StreamFrame,
        taken: u64,
    },
    Finished,
    /// The peer aborted it, after this many budgeted bytes of it were taken.
    Lost {
        code: Option<CloseCode>,
        taken: u64,
    },
    /// The peer broke the rules.
    Broken(DecodeError),
}

enum Reader {
    /// For a stream that the peer opened.
    Opened(Box<StreamDecoder>),
    /// For the answers on a command's stream that we opened.
    Replies(Box<ReplyDecoder>),
    /// For the peer's half of the control stream that we opened.
    Control(Box<ControlDecoder>),
}

enum Item {
    IsControl,
    Control(ControlFrame),
    Head(Head),
    Frame(StreamFrame),
    None,
}

impl StreamId {
    /// Reads a number from the wire.
    pub fn from_wire(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number that goes on the wire.
    pub fn to_wire(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Stream {
    /// A stream that the peer opened.
    pub(super) fn accepted(send: SendStream, recv: RecvStream, limits: Limits) -> Self {
        let reader = Reader::Opened(Box::new(StreamDecoder::new(limits)));
        Self::new(send, recv, Role::Unknown, Class::Urgent, reader)
    }

    /// The control stream, opened here.
    pub(super) fn control(send: SendStream, recv: RecvStream, limits: Limits) -> Self {
        let reader = Reader::Control(Box::new(ControlDecoder::new(limits)));
        Self::new(send, recv, Role::Unknown, Class::Urgent, reader)
    }

    /// A stream for a command, opened here. Returns it with the budgeted bytes that it begins with.
    pub(super) fn opened(
        send: SendStream,
        recv: RecvStream,
        limits: Limits,
        head: &Head,
        payload: Bytes,
    ) -> (Self, u64) {
        let reader = Reader::Replies(Box::new(ReplyDecoder::new(limits, head.updates_received)));
        let mut stream = Self::new(send, recv, Role::Command, head.class, reader);
        stream.set_priority();
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES_TYPICAL);
        let args = encode_head_split(head, &mut bytes);
        stream.push_bytes(bytes.freeze());
        stream.push_bytes(args);
        let mut written = if head.class == Class::Urgent { 0 } else { head_encoded_len(head) as u64 };
        if !payload.is_empty() {
            let prefix = piece_prefix(PieceKind::Payload, payload.len());
            written += (prefix.as_slice().len() + payload.len()) as u64;
            stream.push_bytes(Bytes::copy_from_slice(prefix.as_slice()));
            stream.push_bytes(payload);
        }
        stream.written = written;
        (stream, written)
    }

    fn new(send: SendStream, recv: RecvStream, role: Role, class: Class, reader: Reader) -> Self {
        Self {
            id: StreamId(VarInt::from(send.id()).into_inner()),
            role,
            class,
            send: Some(send),
            recv: Some(recv),
            reader,
            head: None,
            pending: VecDeque::new(),
            finishes: false,
            written: 0,
            taken: 0,
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// Returns whether both halves are done.
    pub(super) fn is_over(&self) -> bool {
        self.send.is_none() && self.recv.is_none()
    }

    /// Returns whether the peer opened it and has not completed its head.
    pub(super) fn lacks_head(&self) -> bool {
        self.role == Role::Unknown || self.head.is_some()
    }

    pub(super) fn set_role(&mut self, role: Role) {
        self.role = role;
        self.set_priority();
    }

    /// Writes a frame behind what waits already. Returns its budgeted bytes.
    pub(super) fn push_frame(&mut self, frame: &StreamFrame) -> u64 {
        if self.send.is_none() || self.finishes {
            return 0;
        }
        let mut bytes = BytesMut::with_capacity(FRAME_BYTES_TYPICAL);
        let content = encode_frame_split(frame, &mut bytes);
        self.push_bytes(bytes.freeze());
        self.push_bytes(content);
        let budgeted = self.budgeted(frame);
        self.written += budgeted;
        budgeted
    }

    pub(super) fn push_control(&mut self, frame: &ControlFrame) {
        let mut bytes = BytesMut::with_capacity(FRAME_BYTES_TYPICAL);
        encode_control(frame, &mut bytes);
        self.push_bytes(bytes.freeze());
    }

    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pending.push_back(bytes);
        }
    }

    pub(super) fn finish(&mut self) {
        self.finishes = true;
    }

    /// Aborts our half. Returns the budgeted bytes written to it, if it was still open.
    pub(super) fn reset(&mut self, code: CloseCode) -> Option<u64> {
        let mut send = self.send.take()?;
        self.pending.clear();
        send.reset(code.to_wire().into()).ok()?;
        Some(self.written)
    }

    /// Drops what still comes.
    pub(super) fn stop(&mut self, code: CloseCode) {
        if let Some(mut recv) = self.recv.take() {
            // It may have ended already; then there is nothing to stop.
            recv.stop(code.to_wire().into()).ok();
        }
    }

    /// Writes what waits, as far as it is taken. Returns the budgeted bytes of our half if the peer stopped it.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<u64> {
        let send = self.send.as_mut()?;
        while !self.pending.is_empty() {
            let chunks = self.pending.make_contiguous();
            let result = pin!(send.write_chunks(chunks)).poll(cx);
            match result {
                Poll::Ready(Ok(written)) => drop(self.pending.drain(..written.chunks)),
                Poll::Ready(Err(WriteError::Stopped(_))) => {
                    let code = CloseCode::Stopped;
                    return self.reset(code);
                }
                Poll::Ready(Err(_)) => {
                    // The link is gone, and says so itself.
                    self.send = None;
                    return None;
                }
                Poll::Pending => return None,
            }
        }
        if self.finishes {
            send.finish().ok();
            self.send = None;
        }
        None
    }

    /// Reads what has come. Returns whether nothing more is there now, and what happened.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> (bool, Vec<StreamEvent>) {
        let mut events = Vec::new();
        for _ in 0..READS_MAX {
            let Some(recv) = self.recv.as_mut() else { return (true, events) };
            let result = pin!(recv.read_chunk(READ_BYTES_MAX, true)).poll(cx);
            match result {
                Poll::Pending => return (true, events),
                Poll::Ready(Ok(Some(chunk))) => {
                    self.reader.push(chunk.bytes);
                    if let Err(error) = self.decode(&mut events) {
                        self.break_off(error, &mut events);
                    }
                }
                Poll::Ready(Ok(None)) => {
                    self.recv = None;
                    match self.reader.finish() {
                        Ok(()) => events.push(StreamEvent::Finished),
                        Err(error) => events.push(StreamEvent::Broken(error)),
                    }
                }
                Poll::Ready(Err(ReadError::Reset(code))) => {
                    self.recv = None;
                    let code = CloseCode::from_wire(code.into_inner());
                    events.push(StreamEvent::Lost { code, taken: self.taken });
                }
                Poll::Ready(Err(_)) => self.recv = None,
            }
        }
        (false, events)
    }

    fn decode(&mut self, events: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        loop {
            match self.reader.next()? {
                Item::None => return Ok(()),
                Item::IsControl => events.push(StreamEvent::IsControl),
                Item::Control(frame) => events.push(StreamEvent::Control(frame)),
                Item::Head(head) => self.take_head(head, events),
                Item::Frame(frame) => self.take_frame(frame, events),
            }
        }
    }

    fn take_head(&mut self, head: Head, events: &mut Vec<StreamEvent>) {
        self.class = head.class;
        self.set_role(Role::Command);
        let taken = if head.class == Class::Urgent { 0 } else { head_encoded_len(&head) as u64 };
        self.taken += taken;
        if head.payload_bytes > 0 {
            self.head = Some((head, taken));
        } else {
            events.push(StreamEvent::Head { head, payload: Bytes::new(), taken });
        }
    }

    fn take_frame(&mut self, frame: StreamFrame, events: &mut Vec<StreamEvent>) {
        let taken = self.budgeted(&frame);
        self.taken += taken;
        match (frame, self.head.take()) {
            (StreamFrame::Payload(payload), Some((head, head_taken))) => {
                events.push(StreamEvent::Head { head, payload, taken: head_taken + taken });
            }
            (frame, head) => {
                self.head = head;
                events.push(StreamEvent::Frame { frame, taken });
            }
        }
    }

    /// The peer broke the rules: mostly the link ends, but an optional stream that we do not know is only stopped.
    fn break_off(&mut self, error: DecodeError, events: &mut Vec<StreamEvent>) {
        self.stop(error.close_code());
        if error.spares_link() {
            self.reset(error.close_code());
        } else {
            events.push(StreamEvent::Broken(error));
        }
    }

    /// Sets the rank among the link's streams: before the first write, since a stream keeps its rank while it waits.
    fn set_priority(&self) {
        let priority = match self.role {
            Role::Control => i32::MAX,
            _ => 4 - i32::from(self.class.to_wire()),
        };
        if let Some(send) = &self.send {
            send.set_priority(priority).ok();
        }
    }

    fn budgeted(&self, frame: &StreamFrame) -> u64 {
        let counts = self.class != Class::Urgent || frame.is_bulk();
        if counts { frame_encoded_len(frame) as u64 } else { 0 }
    }
}

impl Reader {
    fn push(&mut self, bytes: Bytes) {
        match self {
            Self::Opened(decoder) => decoder.push(bytes),
            Self::Replies(decoder) => decoder.push(bytes),
            Self::Control(decoder) => decoder.push(bytes),
        }
    }

    fn next(&mut self) -> Result<Item, DecodeError> {
        Ok(match self {
            Self::Opened(decoder) => match decoder.next_item()? {
                None => Item::None,
                Some(StreamItem::Kind(StreamKind::Control)) => Item::IsControl,
                // A command's kind says nothing that its head does not.
                Some(StreamItem::Kind(StreamKind::Command)) => return self.next(),
                Some(StreamItem::Control(frame)) => Item::Control(frame),
                Some(StreamItem::Head(head)) => Item::Head(head),
                Some(StreamItem::Frame(frame)) => Item::Frame(frame),
            },
            Self::Replies(decoder) => decoder.next_frame()?.map_or(Item::None, Item::Frame),
            Self::Control(decoder) => decoder.next_frame()?.map_or(Item::None, Item::Control),
        })
    }

    fn finish(&self) -> Result<(), DecodeError> {
        match self {
            Self::Opened(decoder) => decoder.finish(),
            Self::Replies(decoder) => decoder.finish(),
            Self::Control(decoder) => decoder.finish(),
        }
    }
}

/// Chunks read from one stream before the others get their turn.
const READS_MAX: usize = 16;

/// Longest chunk read at once.
const READ_BYTES_MAX: usize = 64 << 10;

const HEAD_BYTES_TYPICAL: usize = 128;
const FRAME_BYTES_TYPICAL: usize = 64;
