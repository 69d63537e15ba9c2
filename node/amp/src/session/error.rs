//! What can be wrong with an ask of the application, and why a connection ends.

use super::event::RequestId;
use crate::amp_box::EncodeError;
use crate::decode::DecodeError;

/// Why something was not sent. Nothing has changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// Too many asks wait for their answer: wait for one of them.
    #[error("{max} asks wait for their answer")]
    TooManyAsks {
        /// Allowed.
        max: usize,
    },
    /// Too many bytes wait to be written: wait until they are.
    #[error("more than {max} bytes wait to be written")]
    OutputFull {
        /// Allowed, in bytes.
        max: usize,
    },
    /// There is nothing to answer: it was answered before.
    #[error("there is no {0}")]
    NoSuchRequest(RequestId),
    /// The values cannot be written. A request stays open: answer it with an error.
    #[error("the values cannot be sent")]
    Encode(#[from] EncodeError),
}

/// Why a connection has ended, or has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer, or the network, has ended it.
    #[error("the peer has closed the connection")]
    Ended,
    /// What the peer sends is not AMP, or more than is allowed.
    #[error("the peer's bytes cannot be read")]
    Undecodable(#[source] DecodeError),
    /// The peer has sent a box that is not built as its keys say.
    #[error("malformed {what}")]
    Malformed {
        /// What was wrong.
        what: &'static str,
    },
    /// The peer has answered an ask that was never made, or was answered.
    #[error("an answer to nothing that waits for one")]
    UnknownAsk,
    /// The peer sends commands that want no answer faster than they are carried out.
    #[error("more than {max} commands wait to be carried out")]
    TooManyCommands {
        /// Allowed.
        max: usize,
    },
}
