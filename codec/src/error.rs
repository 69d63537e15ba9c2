//! What can be wrong with names and with bytes from a peer.

use crate::close_code::CloseCode;
use crate::kind::is_skippable;

/// Why a text is not the name that it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A name of a node or fleet has 1 to 63 characters.
    #[error("a name has 1 to 63 characters, not {len}")]
    Length {
        /// Characters found.
        len: usize,
    },
    /// A name has only lower-case letters, digits and hyphens.
    #[error("a name has only a-z, 0-9 and '-', unlike the character at position {position}")]
    Character {
        /// Offset of the first wrong character.
        position: usize,
    },
    /// A name neither starts nor ends with a hyphen.
    #[error("a name neither starts nor ends with '-'")]
    Hyphen,
    /// A command's id is `sender.receiver.epoch.seq`.
    #[error("a command's id looks like controller.worker.5f3a9c0e12345678.42")]
    NotACommandId,
    /// A command type is a name and a version.
    #[error("a command type looks like exec/1: a-z, 0-9, '.', '_', '-', then '/' and a version")]
    NotACommandName,
    /// A class is one of five words.
    #[error("a class is one of urgent, high, normal, low, bulk")]
    NotAClass,
}

/// Why bytes from a peer were refused.
///
/// Always the peer's fault. A decoder that has failed stays failed and returns the same error again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The peer announced more than our limit allows. Nothing was buffered for it: close the link.
    #[error("{what} of {len} bytes exceeds the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Announced, in bytes.
        len: u64,
        /// Allowed, in bytes.
        max: u64,
    },
    /// The bytes do not follow their layout: close the link.
    #[error("malformed {what}")]
    Malformed {
        /// What was wrong.
        what: &'static str,
    },
    /// A frame of an unknown kind that may not be skipped: close the link.
    #[error("unknown frame kind {kind:#x}")]
    UnknownKind {
        /// The kind, which is odd.
        kind: u64,
    },
    /// A stream of an unknown kind: stop the stream if the kind is even, close the link if it is odd.
    #[error("unknown stream kind {kind:#x}")]
    UnknownStream {
        /// The kind.
        kind: u64,
    },
    /// A frame where the state table does not allow it: close the link.
    #[error("unexpected {frame} frame {state}")]
    UnexpectedFrame {
        /// The frame.
        frame: &'static str,
        /// Where the stream was, as in "after the last frame".
        state: &'static str,
    },
    /// The stream was finished within a frame, or before one that has to come: close the link.
    #[error("stream ended before its last frame was complete")]
    Truncated,
}

impl DecodeError {
    /// Returns the code with which to close the link, or to stop the stream if it [spares](Self::spares_link) the link.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLarge { .. } => CloseCode::TooLarge,
            Self::Malformed { .. } | Self::Truncated => CloseCode::Malformed,
            Self::UnknownKind { .. } | Self::UnknownStream { .. } => CloseCode::UnknownKind,
            Self::UnexpectedFrame { .. } => CloseCode::UnexpectedFrame,
        }
    }

    /// Returns whether it is enough to stop the stream: its kind is unknown, and one that may be skipped.
    pub fn spares_link(&self) -> bool {
        matches!(self, Self::UnknownStream { kind } if is_skippable(*kind))
    }
}

/// Why a value could not be encoded. Always the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value takes more bytes than allowed: send it as a payload or a body instead.
    #[error("value exceeds the limit of {max} bytes")]
    TooLarge {
        /// Allowed, in bytes.
        max: usize,
    },
    /// The value has no encoding, such as a locked cell or a path that is not UTF-8.
    #[error("value cannot be encoded")]
    NotEncodable,
}
