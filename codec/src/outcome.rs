//! How a command ends: exactly once, and never differently later.

use bytes::Bytes;

/// The terminal result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler returned a result.
    Done {
        /// Encoded result.
        result: Bytes,
    },
    /// The command started and did not succeed.
    Failed(Failure),
    /// It has not started and never will: the receiver would not take it.
    Rejected(Rejection),
    /// It has not started and never will: its deadline passed.
    Expired,
    /// It has not started and never will: its caller cancelled it.
    Cancelled,
    /// Nobody can say whether it ran, or how it ended.
    Unknown(UnknownReason),
}

/// Why a command that started did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What the handler said, for people; at most [`MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

/// The kinds of failure of a started command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The handler returned an error.
    Handler,
    /// It was cancelled while it ran.
    Cancelled,
    /// Its deadline passed while it ran.
    DeadlineExceeded,
    /// The handler panicked.
    Panicked,
    /// The body ended early, or did not have the announced length or hash.
    BodyBroken,
    /// The file behind the body changed between two sendings.
    BodyChanged,
}

/// Why a receiver will never start a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What kind of rejection it is.
    pub kind: RejectionKind,
    /// What the receiver said, for people; at most [`MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

/// The kinds of rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// No handler is registered for this command type.
    UnknownCommand,
    /// The receiver's rules do not let this sender send it.
    Denied,
    /// The arguments or the payload do not decode.
    BadArguments,
}

/// Why an outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// The receiver lost its memory after the command was bound to it.
    ReceiverStateLost,
    /// The receiver restarted between the start and the end of the handler.
    HandlerLost,
    /// The caller gave the command up, its node was removed, or its store was restored from an older backup.
    Abandoned,
    /// An idempotent command took its receiver down each time it was run.
    Poisoned,
}

/// Longest message of a failure or rejection, in bytes; longer ones are cut.
pub const MESSAGE_BYTES_MAX: usize = 1024;

impl Outcome {
    /// Makes a failure, cutting the message to [`MESSAGE_BYTES_MAX`] at a character's boundary.
    pub fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed(Failure { kind, message: cut(message.into()) })
    }

    /// Makes a rejection, cutting the message to [`MESSAGE_BYTES_MAX`] at a character's boundary.
    pub fn rejected(kind: RejectionKind, message: impl Into<String>) -> Self {
        Self::Rejected(Rejection { kind, message: cut(message.into()) })
    }

    /// Returns the word that logs and the command line show.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed(_) => "failed",
            Self::Rejected(_) => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Returns the byte that goes on the wire before what the word carries.
    pub(crate) fn to_wire(&self) -> u8 {
        match self {
            Self::Done { .. } => 0,
            Self::Failed(_) => 1,
            Self::Rejected(_) => 2,
            Self::Expired => 3,
            Self::Cancelled => 4,
            Self::Unknown(_) => 5,
        }
    }

    /// Returns whether this word says that the command has not started and never will.
    pub fn is_never(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Expired | Self::Cancelled)
    }

    /// Returns whether this word says that the command has started.
    pub fn has_started(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed(_))
    }
}

impl FailureKind {
    const ALL: [Self; 6] = [
        Self::Handler,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::Panicked,
        Self::BodyBroken,
        Self::BodyChanged,
    ];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}

impl RejectionKind {
    const ALL: [Self; 3] = [Self::UnknownCommand, Self::Denied, Self::BadArguments];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}

impl UnknownReason {
    const ALL: [Self; 4] = [Self::ReceiverStateLost, Self::HandlerLost, Self::Abandoned, Self::Poisoned];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}

/// Cuts a message to what goes on the wire.
pub(crate) fn cut_message(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

fn cut(mut message: String) -> String {
    message.truncate(cut_message(&message).len());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let Outcome::Failed(failure) = Outcome::failed(FailureKind::Handler, "ä".repeat(1000)) else {
            panic!("a failure is a failure");
        };
        assert_eq!(failure.message.len(), MESSAGE_BYTES_MAX);
        let Outcome::Rejected(rejection) =
            Outcome::rejected(RejectionKind::Denied, format!("a{}", "ä".repeat(1000)))
        else {
            panic!("a rejection is a rejection");
        };
        assert_eq!(rejection.message.len(), MESSAGE_BYTES_MAX - 1);
    }
}
