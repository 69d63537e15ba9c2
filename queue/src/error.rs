//! What can be wrong with what callers and peers ask of the queues.

use std::fmt;
use std::time::Duration;

use runnel_codec::{Class, CloseCode, CommandId};

/// Why a command was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// A bound is reached: try again later.
    #[error("the send queue is full ({bound}); try again in {} ms", retry_after.as_millis())]
    Full {
        /// The bound that is reached.
        bound: Bound,
        /// When to try again.
        retry_after: Duration,
    },
    /// The command can never be sent: make it smaller, or stream the bytes.
    #[error("{what} of {bytes} bytes exceeds the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The command is to outlive this process, and the node has no store.
    #[error("a durable command needs a store, and this node has none")]
    NoStore,
    /// The store's disk was full, and what room is left is for what is stored already: try again later.
    #[error("there is no room left for the store; try again in {} ms", retry_after.as_millis())]
    StoreFull {
        /// When to try again.
        retry_after: Duration,
    },
    /// The caller's name for it belongs to another command.
    #[error(transparent)]
    KeyConflict(#[from] KeyConflict),
    /// The command of this name is followed by another caller.
    #[error("{0} is followed by somebody else")]
    InUse(CommandId),
    /// There is no such command to follow.
    #[error("{0} is not here, or nothing of it is kept any longer")]
    NotHere(CommandId),
    /// The numbers for commands to this peer are used up.
    #[error("the numbers for commands to this peer are used up")]
    NumbersUsedUp,
}

/// A caller has used one name for two different commands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this idempotency key belongs to another command, {0}")]
pub struct KeyConflict(pub CommandId);

/// A bound of the send queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// Commands of all peers.
    Commands,
    /// Bytes of all peers.
    Bytes,
    /// Commands to this peer.
    PeerCommands,
    /// Bytes to this peer.
    PeerBytes,
    /// Commands of this class.
    ClassCommands(Class),
    /// Bytes of this class.
    ClassBytes(Class),
    /// Commands to all peers that have no link.
    UnreachableCommands,
    /// Bytes to all peers that have no link.
    UnreachableBytes,
    /// Commands of this class to all peers that have no link.
    UnreachableClassCommands(Class),
    /// Bytes of this class to all peers that have no link.
    UnreachableClassBytes(Class),
}

/// The command is not in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such command is in the queue")]
pub struct NotFound;

/// The peer said what its own earlier words do not allow: close the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame that only the sender of a command may write.
    #[error("a frame that the receiver of a command may not send")]
    NotAReply,
    /// An update beyond the credit, or an empty one.
    #[error("an update beyond the credit, or without content")]
    UpdateRefused,
    /// A result body that was not asked for, or beyond its credit.
    #[error("a result body that was not asked for, or beyond its credit")]
    ResultBodyRefused,
    /// A body that the head did not announce, or beyond its credit.
    #[error("a body that was not announced, or beyond its credit")]
    BodyRefused,
    /// An offset in a body that was never written, or that was taken before.
    #[error("an offset in a body that was never written, or taken before")]
    OffsetRefused,
}

impl ProtocolError {
    /// Returns the code to close the link with.
    pub fn close_code(self) -> CloseCode {
        CloseCode::UnexpectedFrame
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commands => f.write_str("commands of all peers"),
            Self::Bytes => f.write_str("bytes of all peers"),
            Self::PeerCommands => f.write_str("commands to this peer"),
            Self::PeerBytes => f.write_str("bytes to this peer"),
            Self::ClassCommands(class) => write!(f, "commands of class {class}"),
            Self::ClassBytes(class) => write!(f, "bytes of class {class}"),
            Self::UnreachableClassCommands(class) => {
                write!(f, "commands of class {class} to peers without a link")
            }
            Self::UnreachableClassBytes(class) => write!(f, "bytes of class {class} to peers without a link"),
            Self::UnreachableCommands => f.write_str("commands to peers without a link"),
            Self::UnreachableBytes => f.write_str("bytes to peers without a link"),
        }
    }
}
