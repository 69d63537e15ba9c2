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
}

/// What was read.
pub(super) enum Item {
    IsControl,
    Control(ControlFrame),
    Head(Head),
    Frame(StreamFrame),
}

impl Reader {
    pub(super) fn opened(limits: Limits, names: KnownNames) -> Self {
        Self::Opened(Box::new(StreamDecoder::new(limits).with_names(names)))
    }

    pub(super) fn replies(limits: Limits, updates_received: u64) -> Self {
        Self::Replies(Box::new(ReplyDecoder::new(limits, updates_received)))
    }

    pub(super) fn control(limits: Limits) -> Self {
        Self::Control(Box::new(ControlDecoder::new(limits)))
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        match self {
            Self::Opened(decoder) => decoder.push(bytes),
            Self::Replies(decoder) => decoder.push(bytes),
            Self::Control(decoder) => decoder.push(bytes),
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
                Some(StreamItem::Control(frame)) => Some(Item::Control(frame)),
                Some(StreamItem::Head(head)) => Some(Item::Head(head)),
                Some(StreamItem::Frame(frame)) => Some(Item::Frame(frame)),
            },
            Self::Replies(decoder) => decoder.next_frame()?.map(Item::Frame),
            Self::Control(decoder) => decoder.next_frame()?.map(Item::Control),
        })
    }

    /// Checks that the half may end here.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self {
            Self::Opened(decoder) => decoder.finish(),
            Self::Replies(decoder) => decoder.finish(),
            Self::Control(decoder) => decoder.finish(),
        }
    }

    /// Bytes held of what is not complete.
    pub(super) fn buffered_bytes(&self) -> usize {
        match self {
            Self::Opened(decoder) => decoder.buffered_bytes(),
            Self::Replies(decoder) => decoder.buffered_bytes(),
            Self::Control(decoder) => decoder.buffered_bytes(),
        }
    }

    /// Bytes of everything on a command's stream that was read completely.
    pub(super) fn completed_bytes(&self) -> u64 {
        match self {
            Self::Opened(decoder) => decoder.completed_bytes(),
            Self::Replies(decoder) => decoder.completed_bytes(),
            Self::Control(_) => 0,
        }
    }
}
