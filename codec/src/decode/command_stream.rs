//! Reading what a command's sender writes: the head, the payload, the body.

use bytes::Bytes;

use super::fields::Fields;
use super::frame_reader::{Admission, FrameReader, RawFrame, admit_unknown, check_exact_len, check_len};
use super::head::{HEAD_OVERHEAD_BYTES_MAX, decode_head};
use crate::error::DecodeError;
use crate::frame::{BodyEnd, StreamFrame, StreamKind};
use crate::head::Head;
use crate::kind::FrameKind;
use crate::limits::Limits;
use crate::names::KnownNames;

/// Reads a command's stream at its receiver.
///
/// The order it enforces: the head, the payload if the head announced one and exactly as long, pieces of the body if the
/// head announced one, the body's end.
#[derive(Debug)]
#[must_use]
pub struct CommandStreamDecoder {
    limits: Limits,
    names: KnownNames,
    reader: FrameReader,
    state: State,
}

/// What a [`CommandStreamDecoder`] has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandItem {
    /// The head: the first item.
    Head(Head),
    /// A frame that the sender of a command may write.
    Frame(StreamFrame),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Kind,
    Head,
    Payload { bytes: u32, has_body: bool },
    Body,
    Complete,
}

impl CommandStreamDecoder {
    /// Makes a decoder for a stream of which nothing has been read.
    pub fn new(limits: Limits) -> Self {
        Self { limits, names: KnownNames::default(), reader: FrameReader::new(), state: State::Kind }
    }

    /// Goes on with a stream whose kind has been read.
    pub(super) fn with_reader(limits: Limits, names: KnownNames, reader: FrameReader) -> Self {
        Self { limits, names, reader, state: State::Head }
    }

    /// Looks up the names of command types in `names` instead of allocating them.
    pub fn with_names(mut self, names: KnownNames) -> Self {
        self.names = names;
        self
    }

    /// Takes the stream's next bytes.
    ///
    /// It costs nothing after [`Self::next_item`] has returned `None`; before that, what is unread is copied. Contents are
    /// slices of `chunk` where they lie in one: whoever keeps a small one for long keeps the chunk, unless copied.
    pub fn push(&mut self, chunk: Bytes) {
        self.reader.push(chunk);
    }

    /// Returns the next item, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// Whenever the peer broke the rules; the decoder then returns the same error again.
    pub fn next_item(&mut self) -> Result<Option<CommandItem>, DecodeError> {
        if let State::Kind = self.state {
            match self.reader.read_stream_kind()? {
                None => return Ok(None),
                Some(StreamKind::Command) => self.state = State::Head,
                Some(StreamKind::Control | StreamKind::Batch) => {
                    let error = DecodeError::Malformed { what: "stream kind for a command" };
                    self.reader.fail(error);
                    return Err(error);
                }
            }
        }
        let (limits, state) = (self.limits, self.state);
        let Some(raw) = self.reader.next_frame(|kind, len| state.admit(kind, len, &limits))? else {
            return Ok(None);
        };
        self.decode(raw).map(Some).inspect_err(|error| self.reader.fail(*error))
    }

    /// Checks that the stream may end here. A body without its end is an abort by the sender, not an error: see
    /// [`Self::is_complete`].
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when a frame, the head or the announced payload is not complete.
    pub fn finish(&self) -> Result<(), DecodeError> {
        self.reader.finish()?;
        match self.state {
            State::Kind | State::Head | State::Payload { .. } => Err(DecodeError::Truncated),
            State::Body | State::Complete => Ok(()),
        }
    }

    /// Returns whether everything that the head announced has come.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Returns the bytes that this decoder holds: pushed ones not yet read, and those of an incomplete frame.
    pub fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    /// Returns the bytes of everything that was read completely, skipped frames included, since the stream began.
    pub fn completed_bytes(&self) -> u64 {
        self.reader.completed_bytes()
    }

    pub(super) fn reader(&self) -> &FrameReader {
        &self.reader
    }

    fn decode(&mut self, raw: RawFrame) -> Result<CommandItem, DecodeError> {
        if let State::Head = self.state {
            let head = decode_head(raw.content, &self.limits, &self.names)?;
            self.state = State::after_head(&head);
            return Ok(CommandItem::Head(head));
        }
        let frame = match FrameKind::from_wire(raw.kind) {
            Some(FrameKind::Payload) => StreamFrame::Payload(raw.content),
            Some(FrameKind::Body) => StreamFrame::Body(raw.content),
            _ => StreamFrame::BodyEnd(decode_body_end(FrameKind::BodyEnd, raw.content)?),
        };
        self.state = self.state.after(&frame);
        Ok(CommandItem::Frame(frame))
    }
}

impl State {
    /// Returns whether a frame may come now, and may be that long.
    fn admit(self, kind: u64, len: u64, limits: &Limits) -> Result<Admission, DecodeError> {
        if let Self::Kind | Self::Head = self {
            check_len("head", len, limits.args_bytes_max.saturating_add(HEAD_OVERHEAD_BYTES_MAX))?;
            return Ok(Admission::Take);
        }
        let Some(kind) = FrameKind::from_wire(kind) else {
            return admit_unknown(kind, len, limits.piece_bytes_max);
        };
        match (self, kind) {
            (Self::Payload { bytes, .. }, FrameKind::Payload) => {
                check_len("payload", len, limits.payload_bytes_max)?;
                check_exact_len(kind, len, bytes.into())?;
            }
            (Self::Body, FrameKind::Body) => check_len("piece of a body", len, limits.piece_bytes_max)?,
            (Self::Body, FrameKind::BodyEnd) => check_exact_len(kind, len, BODY_END_BYTES)?,
            _ => return Err(DecodeError::UnexpectedFrame { frame: kind.as_str(), state: self.as_str() }),
        }
        Ok(Admission::Take)
    }

    fn after_head(head: &Head) -> Self {
        match (head.payload_bytes, head.has_body) {
            (0, true) => Self::Body,
            (0, false) => Self::Complete,
            (bytes, has_body) => Self::Payload { bytes, has_body },
        }
    }

    fn after(self, frame: &StreamFrame) -> Self {
        match (self, frame) {
            (Self::Payload { has_body: true, .. }, _) => Self::Body,
            (Self::Body, StreamFrame::Body(_)) => Self::Body,
            _ => Self::Complete,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Kind | Self::Head => "before the head",
            Self::Payload { .. } => "instead of the payload",
            Self::Body => "within the body",
            Self::Complete => "after all that the head announced",
        }
    }
}

/// Bytes of the content of a `BodyEnd` and a `ResultBodyEnd`.
pub(super) const BODY_END_BYTES: u64 = 40;

/// Reads the content of a `BodyEnd` or a `ResultBodyEnd`.
pub(super) fn decode_body_end(kind: FrameKind, content: Bytes) -> Result<BodyEnd, DecodeError> {
    let mut fields = Fields::new(kind.as_str(), content);
    let end = BodyEnd { bytes: fields.u64()?, hash: fields.hash()? };
    fields.finish()?;
    Ok(end)
}
