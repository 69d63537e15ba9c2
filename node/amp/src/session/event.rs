//! What the application is told.

use std::fmt;

use bytes::Bytes;

use super::CloseReason;
use crate::amp_box::AmpBox;

/// Something that the application has to know, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer wants a command to be run.
    Called(Called),
    /// The peer has answered an ask, or never will.
    Answered {
        /// The ask, which is forgotten with this.
        ask: AskId,
        /// Its answer, without what is AMP's own.
        outcome: Result<AmpBox, AskFailure>,
    },
    /// The connection has to be closed, or is. Nothing comes after that.
    Closed(CloseReason),
}

/// A command of the peer. Each has to be answered, or failed: then, and only then, it counts no longer as one that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// What to answer.
    pub request: RequestId,
    /// Whether the peer hears the answer.
    pub wants_answer: bool,
    /// The command's name. It is whatever the peer says.
    pub command: Bytes,
    /// The arguments, without what is AMP's own.
    pub arguments: AmpBox,
}

/// Why an ask has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskFailure {
    /// The peer has answered with an error.
    #[error("the peer answers with {}: {description}", String::from_utf8_lossy(.code))]
    Refused {
        /// For programs.
        code: Bytes,
        /// For people.
        description: String,
    },
    /// The connection ended before the answer came. Whether the command was carried out is not known.
    #[error("the connection ended before the answer came")]
    ConnectionLost,
}

/// One ask of ours. It stands for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub(super) u64);

/// One command of the peer. It stands for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

impl AskId {
    /// Returns its name on the wire, which is written as Twisted does.
    pub(super) fn tag(self) -> String {
        format!("{:x}", self.0)
    }

    /// Reads a name; `None` if it is none of ours.
    pub(super) fn of_tag(tag: &[u8]) -> Option<Self> {
        let text = str::from_utf8(tag).ok()?;
        let ask = Self(u64::from_str_radix(text, 16).ok()?);
        (ask.tag() == text).then_some(ask)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {} of the peer", self.0)
    }
}
