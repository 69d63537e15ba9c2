//! Reading a batch: messages of one class, one after the other on one stream.

use bytes::Bytes;

use super::frame_reader::{Admission, FrameReader, admit_unknown, check_len, frame_bytes};
use super::head::{HEAD_OVERHEAD_BYTES_MAX, decode_head};
use crate::class::Class;
use crate::error::DecodeError;
use crate::frame::StreamKind;
use crate::head::Head;
use crate::kind::FrameKind;
use crate::limits::{BATCH_BYTES_MAX, Limits};
use crate::names::KnownNames;

/// Reads a batch at the receiver of its messages.
///
/// What it enforces: at least one message and nothing but messages, whose heads need no more of a stream
/// ([`Head::is_message`]) and are not early; all of one class; at most [`BATCH_BYTES_MAX`] in all.
#[derive(Debug)]
#[must_use]
pub struct BatchDecoder {
    limits: Limits,
    names: KnownNames,
    reader: FrameReader,
    is_kind_read: bool,
    class: Option<Class>,
}

impl BatchDecoder {
    /// Makes a decoder for a stream of which nothing has been read.
    pub fn new(limits: Limits) -> Self {
        let names = KnownNames::default();
        Self { limits, names, reader: FrameReader::new(), is_kind_read: false, class: None }
    }

    /// Goes on with a stream whose kind has been read.
    pub(super) fn with_reader(limits: Limits, names: KnownNames, reader: FrameReader) -> Self {
        Self { limits, names, reader, is_kind_read: true, class: None }
    }

    /// Takes the stream's next bytes. See [`CommandStreamDecoder::push`](super::CommandStreamDecoder::push).
    pub fn push(&mut self, chunk: Bytes) {
        self.reader.push(chunk);
    }

    /// Returns the next message, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// Whenever the peer broke the rules; the decoder then returns the same error again.
    pub fn next_message(&mut self) -> Result<Option<Head>, DecodeError> {
        if !self.is_kind_read {
            match self.reader.read_stream_kind()? {
                None => return Ok(None),
                Some(StreamKind::Batch) => self.is_kind_read = true,
                Some(StreamKind::Control | StreamKind::Command) => {
                    let error = DecodeError::Malformed { what: "stream kind for a batch" };
                    self.reader.fail(error);
                    return Err(error);
                }
            }
        }
        let (limits, before) = (self.limits, self.reader.completed_bytes());
        let raw = self.reader.next_frame(|kind, len| admit(kind, len, before, &limits))?;
        // Frames that were skipped on the way to this one count too.
        self.reader.checked(|reader| check_len("batch", reader.completed_bytes(), BATCH_BYTES_MAX))?;
        let Some(raw) = raw else { return Ok(None) };
        self.decode(raw.content).map(Some).inspect_err(|error| self.reader.fail(*error))
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] within a message, or before the first.
    pub fn finish(&self) -> Result<(), DecodeError> {
        self.reader.finish()?;
        if self.class.is_some() { Ok(()) } else { Err(DecodeError::Truncated) }
    }

    /// Returns the bytes that this decoder holds: pushed ones not yet read, and those of an incomplete message.
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

    fn decode(&mut self, content: Bytes) -> Result<Head, DecodeError> {
        let head = decode_head(content, &self.limits, &self.names)?;
        if !head.is_message() || head.early {
            return Err(DecodeError::Malformed { what: "message that needs a stream of its own" });
        }
        if *self.class.get_or_insert(head.class) != head.class {
            return Err(DecodeError::Malformed { what: "batch of several classes" });
        }
        Ok(head)
    }
}

/// Returns whether a frame may come after `before` bytes, and may be that long.
fn admit(kind: u64, len: u64, before: u64, limits: &Limits) -> Result<Admission, DecodeError> {
    check_len("batch", before.saturating_add(frame_bytes(kind, len)), BATCH_BYTES_MAX)?;
    match FrameKind::from_wire(kind) {
        None => admit_unknown(kind, len, limits.piece_bytes_max),
        Some(FrameKind::Message) => {
            check_len("head", len, limits.args_bytes_max.saturating_add(HEAD_OVERHEAD_BYTES_MAX))?;
            Ok(Admission::Take)
        }
        Some(other) => Err(DecodeError::UnexpectedFrame { frame: other.as_str(), state: "within a batch" }),
    }
}
