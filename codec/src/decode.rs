//! Reading streams, incrementally and within bounds. `WIRE.md` has the bytes and the state tables.
//!
//! Every decoder is fed with `push` and asked for items until it returns `None`; then it wants the next chunk.
//! A length is held against its limit before anything is buffered for it, memory grows with the bytes that really
//! come, and a piece that lies in one chunk is not copied. Decoders know the order that one direction of a stream must
//! keep; what depends on the other direction is for their callers.
//!
//! Start with [`StreamDecoder`], which reads any stream that the peer opened; [`ReplyDecoder`] and [`ControlDecoder`]
//! read the other direction of the streams that this side opened.

mod batch;
mod command_stream;
mod control;
mod fields;
mod frame_reader;
mod head;
mod hello;
mod replies;

use bytes::Bytes;

pub use self::batch::BatchDecoder;
pub use self::command_stream::{CommandItem, CommandStreamDecoder};
pub use self::control::{ControlDecoder, ControlSide};
use self::frame_reader::FrameReader;
pub use self::replies::ReplyDecoder;
use crate::error::DecodeError;
use crate::frame::{ControlFrame, StreamFrame, StreamKind};
use crate::head::Head;
use crate::limits::Limits;
use crate::names::KnownNames;

/// Reads a stream that the peer opened and of which nothing has been read: first its kind, then what that kind carries.
#[derive(Debug)]
#[must_use]
pub struct StreamDecoder {
    limits: Limits,
    names: KnownNames,
    inner: Inner,
}

/// What a [`StreamDecoder`] has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// The stream's kind: the first item of every stream.
    Kind(StreamKind),
    /// A frame of the control stream.
    Control(ControlFrame),
    /// The head of a command's stream.
    Head(Head),
    /// A frame of a command's stream, one of those that its sender may write.
    Frame(StreamFrame),
    /// The next message of a batch.
    Message(Head),
}

#[derive(Debug)]
enum Inner {
    Kind(FrameReader),
    Control(ControlDecoder),
    Command(CommandStreamDecoder),
    Batch(BatchDecoder),
}

impl StreamDecoder {
    /// Makes a decoder for a new stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, names: KnownNames::default(), inner: Inner::Kind(FrameReader::new()) }
    }

    /// Looks up the names of command types in `names` instead of allocating them.
    pub fn with_names(mut self, names: KnownNames) -> Self {
        self.names = names;
        self
    }

    /// Takes the stream's next bytes. See [`CommandStreamDecoder::push`].
    pub fn push(&mut self, chunk: Bytes) {
        match &mut self.inner {
            Inner::Kind(reader) => reader.push(chunk),
            Inner::Control(decoder) => decoder.push(chunk),
            Inner::Command(decoder) => decoder.push(chunk),
            Inner::Batch(decoder) => decoder.push(chunk),
        }
    }

    /// Returns the next item, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// Whenever the peer broke the rules; the decoder then returns the same error again.
    pub fn next_item(&mut self) -> Result<Option<StreamItem>, DecodeError> {
        match &mut self.inner {
            Inner::Kind(reader) => {
                let Some(kind) = reader.read_stream_kind()? else {
                    return Ok(None);
                };
                let reader = std::mem::take(reader);
                self.inner = self.decoder_of(kind, reader);
                Ok(Some(StreamItem::Kind(kind)))
            }
            Inner::Control(decoder) => Ok(decoder.next_frame()?.map(StreamItem::Control)),
            Inner::Command(decoder) => Ok(decoder.next_item()?.map(|item| match item {
                CommandItem::Head(head) => StreamItem::Head(head),
                CommandItem::Frame(frame) => StreamItem::Frame(frame),
            })),
            Inner::Batch(decoder) => Ok(decoder.next_message()?.map(StreamItem::Message)),
        }
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when something has begun and is not complete.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match &self.inner {
            Inner::Kind(reader) => reader.finish().and(Err(DecodeError::Truncated)),
            Inner::Control(decoder) => decoder.finish(),
            Inner::Command(decoder) => decoder.finish(),
            Inner::Batch(decoder) => decoder.finish(),
        }
    }

    /// Returns the bytes that this decoder holds: pushed ones not yet read, and those of an incomplete frame.
    pub fn buffered_bytes(&self) -> usize {
        self.reader().buffered_bytes()
    }

    /// Returns the bytes of everything that was read completely, skipped frames included, since the stream began.
    pub fn completed_bytes(&self) -> u64 {
        self.reader().completed_bytes()
    }

    fn decoder_of(&self, kind: StreamKind, reader: FrameReader) -> Inner {
        match kind {
            StreamKind::Control => {
                Inner::Control(ControlDecoder::with_reader(self.limits, ControlSide::Dialler, reader))
            }
            StreamKind::Command => {
                Inner::Command(CommandStreamDecoder::with_reader(self.limits, self.names.clone(), reader))
            }
            StreamKind::Batch => {
                Inner::Batch(BatchDecoder::with_reader(self.limits, self.names.clone(), reader))
            }
        }
    }

    fn reader(&self) -> &FrameReader {
        match &self.inner {
            Inner::Kind(reader) => reader,
            Inner::Control(decoder) => decoder.reader(),
            Inner::Command(decoder) => decoder.reader(),
            Inner::Batch(decoder) => decoder.reader(),
        }
    }
}
