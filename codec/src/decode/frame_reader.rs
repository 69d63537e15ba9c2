//! Cutting a stream of bytes into frames: kind, length, content.
//!
//! It knows no frame: whether a kind is admitted, and how long it may be, is asked before anything is buffered.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::frame::StreamKind;
use crate::kind::{FrameKind, is_skippable};
use crate::varint::{PartialVarint, varint_len};

/// Smallest allocation for a frame that comes in several chunks.
const FIRST_ALLOCATION_BYTES: usize = 1024;

/// The frames of one direction of a stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    chunk: Bytes,
    varint: PartialVarint,
    state: State,
    /// Content of an incomplete frame whose beginning came in earlier chunks.
    partial: Vec<u8>,
    completed_bytes: u64,
    failed: Option<DecodeError>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Kind,
    Length {
        kind: u64,
    },
    Content {
        kind: u64,
        len: usize,
    },
    Skip {
        missing: u64,
        frame_bytes: u64,
    },
}

/// A frame whose content has not been looked at.
pub(crate) struct RawFrame {
    pub(crate) kind: u64,
    pub(crate) content: Bytes,
}

/// What to do with a frame whose kind and length are known.
pub(crate) enum Admission {
    Take,
    Skip,
}

impl FrameReader {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream. If the previous chunk was not read to its end, both are copied together.
    /// After an error it takes nothing.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.chunk = [&self.chunk[..], &chunk[..]].concat().into();
        }
    }

    /// Reads the varint with which a stream begins. A command's head then is the rest of a frame of the stream's kind.
    pub(crate) fn read_stream_kind(&mut self) -> Result<Option<StreamKind>, DecodeError> {
        self.checked(|reader| {
            let Some(number) = reader.read_varint()? else {
                return Ok(None);
            };
            let kind = StreamKind::from_wire(number).ok_or(DecodeError::UnknownStream { kind: number })?;
            match kind {
                StreamKind::Control | StreamKind::Batch => {
                    reader.completed_bytes += varint_len(number) as u64;
                }
                StreamKind::Command => reader.state = State::Length { kind: number },
            }
            Ok(Some(kind))
        })
    }

    /// Returns the next frame that `admit(kind, len)` takes, or `None` when more bytes are needed.
    pub(crate) fn next_frame(
        &mut self,
        admit: impl Fn(u64, u64) -> Result<Admission, DecodeError>,
    ) -> Result<Option<RawFrame>, DecodeError> {
        self.checked(|reader| reader.read_frame(admit))
    }

    /// Runs `read`; an error is kept and returned from then on.
    pub(crate) fn checked<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        read(self).inspect_err(|error| self.fail(*error))
    }

    /// Keeps an error and lets go of all bytes.
    pub(crate) fn fail(&mut self, error: DecodeError) {
        *self = Self { failed: Some(error), completed_bytes: self.completed_bytes, ..Self::default() };
    }

    /// Checks that the stream ends between two frames.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let is_between_frames = matches!(self.state, State::Kind);
        if !is_between_frames || self.buffered_bytes() > 0 {
            return Err(DecodeError::Truncated);
        }
        Ok(())
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.chunk.len() + self.varint.buffered() + self.partial.len()
    }

    pub(crate) fn completed_bytes(&self) -> u64 {
        self.completed_bytes
    }

    fn read_frame(
        &mut self,
        admit: impl Fn(u64, u64) -> Result<Admission, DecodeError>,
    ) -> Result<Option<RawFrame>, DecodeError> {
        loop {
            match self.state {
                State::Kind => {
                    let Some(kind) = self.read_varint()? else {
                        return Ok(None);
                    };
                    self.state = State::Length { kind };
                }
                State::Length { kind } => {
                    let Some(len) = self.read_varint()? else {
                        return Ok(None);
                    };
                    self.state = begin_content(kind, len, admit(kind, len)?)?;
                }
                State::Content { kind, len } => {
                    let Some(content) = self.read_content(len) else {
                        return Ok(None);
                    };
                    self.complete(frame_bytes(kind, len as u64));
                    return Ok(Some(RawFrame { kind, content }));
                }
                State::Skip { missing, frame_bytes } => {
                    let missing = self.skip_content(missing);
                    if missing > 0 {
                        self.state = State::Skip { missing, frame_bytes };
                        return Ok(None);
                    }
                    self.complete(frame_bytes);
                }
            }
        }
    }

    fn read_varint(&mut self) -> Result<Option<u64>, DecodeError> {
        let mut input = &self.chunk[..];
        let value = self.varint.read(&mut input)?;
        let rest = self.chunk.len() - input.len();
        self.consume(rest);
        Ok(value)
    }

    fn read_content(&mut self, len: usize) -> Option<Bytes> {
        if self.partial.is_empty() && self.chunk.len() >= len {
            let content = self.chunk.slice(..len);
            self.consume(len);
            return Some(content);
        }
        let available = self.chunk.len().min(len - self.partial.len());
        grow(&mut self.partial, available, len);
        self.partial.extend_from_slice(&self.chunk[..available]);
        self.consume(available);
        (self.partial.len() == len).then(|| std::mem::take(&mut self.partial).into())
    }

    /// Drops what is there of a skipped frame and returns how much of it is still missing.
    fn skip_content(&mut self, missing: u64) -> u64 {
        let available = usize::try_from(missing).unwrap_or(usize::MAX).min(self.chunk.len());
        self.consume(available);
        missing - available as u64
    }

    fn complete(&mut self, frame_bytes: u64) {
        self.state = State::Kind;
        self.completed_bytes += frame_bytes;
    }

    /// Moves past `len` bytes of the chunk, and lets go of it at its end.
    fn consume(&mut self, len: usize) {
        if len == self.chunk.len() {
            self.chunk = Bytes::new();
        } else {
            bytes::Buf::advance(&mut self.chunk, len);
        }
    }
}

/// Says how to treat a kind that version 1 does not have: skip it if it is even and not longer than `len_max`.
pub(crate) fn admit_unknown(kind: u64, len: u64, len_max: usize) -> Result<Admission, DecodeError> {
    if !is_skippable(kind) {
        return Err(DecodeError::UnknownKind { kind });
    }
    check_len("skippable frame", len, len_max).map(|()| Admission::Skip)
}

/// Holds an announced length against its limit.
pub(crate) fn check_len(what: &'static str, len: u64, max: usize) -> Result<(), DecodeError> {
    let max = max as u64;
    if len > max {
        return Err(DecodeError::TooLarge { what, len, max });
    }
    Ok(())
}

/// Holds an announced length against the only one that the kind allows.
pub(crate) fn check_exact_len(kind: FrameKind, len: u64, expected: u64) -> Result<(), DecodeError> {
    if len != expected {
        return Err(DecodeError::Malformed { what: kind.as_str() });
    }
    Ok(())
}

fn begin_content(kind: u64, len: u64, admission: Admission) -> Result<State, DecodeError> {
    match admission {
        Admission::Skip => Ok(State::Skip { missing: len, frame_bytes: frame_bytes(kind, len) }),
        Admission::Take => {
            let too_large = |_| DecodeError::TooLarge { what: "frame", len, max: usize::MAX as u64 };
            Ok(State::Content { kind, len: usize::try_from(len).map_err(too_large)? })
        }
    }
}

/// Returns the size of a whole frame with `len` bytes of content.
pub(super) fn frame_bytes(kind: u64, len: u64) -> u64 {
    (varint_len(kind) + varint_len(len)) as u64 + len
}

/// Makes room for `more` bytes of a frame of `len`: at most twice what has come, and never more than the frame needs,
/// so that an announced length costs nothing.
fn grow(partial: &mut Vec<u8>, more: usize, len: usize) {
    let needed = partial.len() + more;
    if needed > partial.capacity() {
        let capacity = needed.max(2 * partial.len()).max(FIRST_ALLOCATION_BYTES).min(len);
        partial.reserve_exact(capacity - partial.len());
    }
}
