//! The decoder of a stream's incoming half, whichever it is.

use bytes::Bytes;
use runnel_codec::{
    ControlDecoder, ControlFrame, DecodeError, Head, KnownNames, Limits, ReplyDecoder, StreamDecoder,
    StreamFrame, StreamItem, StreamKind,
};

/// Reads the peer's half of a stream.
#[derive(Debug)]
pub(super) enum Reader {
    /// Of a stream that the peer opened.
    Opened(Box<StreamDecoder>),
    /// Of a command's stream that we opened: the answers.
    Replies(Box<ReplyDecoder>),
    /// Of the control stream that we opened.
    Control(Box<ControlDecoder>),
    /// Of a batch that we opened: nothing comes.
    Silent {
        /// Something came all the same.
        is_broken: bool,
    },
}

/// Makes readers, in the memory of those whose streams have been read.
#[derive(Debug)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
pub(super) struct Readers {
    limits: Limits,
    names: KnownNames,
    opened: Vec<Box<StreamDecoder>>,
    replies: Vec<Box<ReplyDecoder>>,
}

/// What was read.
pub(super) enum Item {
    IsControl,
    IsBatch,
    Control(ControlFrame),
    Head(Head),
    Message(Head),
    Frame(StreamFrame),
}

impl Readers {
    pub(super) fn new(limits: Limits, names: KnownNames) -> Self {
        Self { limits, names, opened: Vec::new(), replies: Vec::new() }
    }

    /// Makes a reader of a stream that the peer opened.
    pub(super) fn opened(&mut self) -> Reader {
        let decoder = StreamDecoder::new(self.limits).with_names(self.names.clone());
        Reader::Opened(boxed(decoder, &mut self.opened))
    }

    /// Makes a reader of the answers to a command.
    pub(super) fn replies(&mut self, updates_received: u64) -> Reader {
        Reader::Replies(boxed(ReplyDecoder::new(self.limits, updates_received), &mut self.replies))
    }

    /// Keeps the memory of a reader whose stream is over, up to a bound. That of a frame which did not come whole goes.
    pub(super) fn keep(&mut self, reader: Reader) {
        if reader.buffered_bytes() > 0 {
            return;
        }
        match reader {
            Reader::Opened(decoder) if self.opened.len() < READERS_MAX => self.opened.push(decoder),
            Reader::Replies(decoder) if self.replies.len() < READERS_MAX => self.replies.push(decoder),
            _ => {}
        }
    }
}

impl Reader {
    pub(super) fn control(limits: Limits) -> Self {
        Self::Control(Box::new(ControlDecoder::new(limits)))
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        match self {
            Self::Opened(decoder) => decoder.push(bytes),
            Self::Replies(decoder) => decoder.push(bytes),
            Self::Control(decoder) => decoder.push(bytes),
            Self::Silent { is_broken } => *is_broken |= !bytes.is_empty(),
        }
    }

    /// Returns the next item, or `None` when more bytes are needed.
    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DecodeError> {
        Ok(match self {
            Self::Opened(decoder) => match decoder.next_item()? {
                None => None,
                Some(StreamItem::Kind(StreamKind::Control)) => Some(Item::IsControl),
                // A command's kind says nothing that its head does not.
                Some(StreamItem::Kind(StreamKind::Command)) => return self.next_item(),
                Some(StreamItem::Kind(StreamKind::Batch)) => Some(Item::IsBatch),
                Some(StreamItem::Control(frame)) => Some(Item::Control(frame)),
                Some(StreamItem::Message(head)) => Some(Item::Message(head)),
                Some(StreamItem::Head(head)) => Some(Item::Head(head)),
                Some(StreamItem::Frame(frame)) => Some(Item::Frame(frame)),
            },
            Self::Replies(decoder) => decoder.next_frame()?.map(Item::Frame),
            Self::Control(decoder) => decoder.next_frame()?.map(Item::Control),
            Self::Silent { .. } => self.finish().map(|()| None)?,
        })
    }

    /// Checks that the half may end here.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self {
            Self::Opened(decoder) => decoder.finish(),
            Self::Replies(decoder) => decoder.finish(),
            Self::Control(decoder) => decoder.finish(),
            Self::Silent { is_broken: false } => Ok(()),
            Self::Silent { is_broken: true } => Err(ANSWERED),
        }
    }

    /// Bytes held of what is not complete.
    pub(super) fn buffered_bytes(&self) -> usize {
        match self {
            Self::Opened(decoder) => decoder.buffered_bytes(),
            Self::Replies(decoder) => decoder.buffered_bytes(),
            Self::Control(decoder) => decoder.buffered_bytes(),
            Self::Silent { .. } => 0,
        }
    }

    /// Bytes of everything on a command's stream that was read completely.
    pub(super) fn completed_bytes(&self) -> u64 {
        match self {
            Self::Opened(decoder) => decoder.completed_bytes(),
            Self::Replies(decoder) => decoder.completed_bytes(),
            Self::Control(_) | Self::Silent { .. } => 0,
        }
    }
}

/// A batch is answered on the control stream.
const ANSWERED: DecodeError =
    DecodeError::UnexpectedFrame { frame: "an answer", state: "on the stream of a batch" };

/// Boxes a value, in a box that is there already if possible.
fn boxed<T>(value: T, spare: &mut Vec<Box<T>>) -> Box<T> {
    match spare.pop() {
        Some(mut place) => {
            *place = value;
            place
        }
        None => Box::new(value),
    }
}

/// Readers of a kind that are kept. Most streams are read in one go, and need one for that long.
const READERS_MAX: usize = 64;
