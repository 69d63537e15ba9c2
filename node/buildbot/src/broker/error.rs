//! What can be wrong with a call of the application, and why a connection ends.

use crate::banana::{DecodeError, DialectError, EncodeError};
use crate::ids::{ObjectId, RemoteId, RequestId};
use crate::jelly::Failure;

/// Why something was not sent. Nothing has changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// Too many calls wait for their answer: wait for one of them.
    #[error("{max} calls wait for their answer")]
    TooManyCalls {
        /// Allowed.
        max: usize,
    },
    /// Too many bytes wait to be written: wait until they are.
    #[error("more than {max} bytes wait to be written")]
    OutputFull {
        /// Allowed, in bytes.
        max: usize,
    },
    /// No reference to this object of the peer is held: it was released, or never came.
    #[error("no reference to {0} is held")]
    NotHeld(RemoteId),
    /// There is no such object of ours.
    #[error("there is no {0}")]
    NoSuchObject(ObjectId),
    /// There is nothing to answer: it was answered before.
    #[error("{0} does not wait for an answer")]
    NoSuchRequest(RequestId),
    /// The values cannot be written. A request stays open: answer it with a failure.
    #[error("the values cannot be sent")]
    Encode(#[from] EncodeError),
}

/// There are as many objects as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {max} objects already")]
pub struct TooManyObjects {
    /// Allowed.
    pub max: usize,
}

/// Why a connection has ended, or has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer, or the network, has ended it.
    #[error("the peer has closed the connection")]
    Ended,
    /// The peer does not want this user, or does not know the password. Trying again is of no use.
    #[error("the login was refused: {0}")]
    LoginRefused(Failure),
    /// Our own login cannot be sent: the worker's name is too long.
    #[error("the login cannot be sent")]
    LoginNotSent(#[source] SendError),
    /// What the peer sends is not this protocol, or more than is allowed.
    #[error("the peer's bytes cannot be read")]
    Undecodable(#[source] DecodeError),
    /// The two sides have no dialect in common.
    #[error("there is no common dialect")]
    NoDialect(#[source] DialectError),
    /// The peer speaks another version of the protocol.
    #[error("the peer speaks version {version} of the protocol, not 6")]
    Version {
        /// What the peer said.
        version: i64,
    },
    /// The peer has said something that is not built as its name says.
    #[error("malformed {what}")]
    Malformed {
        /// What was wrong.
        what: &'static str,
    },
    /// The peer has answered a call that was never made, or was answered.
    #[error("an answer to call {number}, which waits for none")]
    UnknownCall {
        /// The number that the peer gave.
        number: i64,
    },
    /// The peer has given back a reference that it does not have.
    #[error("a reference to {0} was given back that was not given")]
    UnknownObject(ObjectId),
    /// The peer has given more references than are held.
    #[error("more than {max} references were given")]
    TooManyReferences {
        /// Allowed.
        max: usize,
    },
}
