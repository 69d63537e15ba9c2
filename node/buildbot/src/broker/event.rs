//! What the application is told.

use std::fmt;

use super::CloseReason;
use crate::ids::{CallId, ObjectId, RemoteId, RequestId};
use crate::jelly::{Failure, JellyError, Value};

/// Something that the application has to know, in the order in which it happened.
///
/// Every reference to an object of the peer in a value is held until it is [released](super::Broker::release).
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The peer has let us in. Calls may have come before that.
    LoggedIn {
        /// What the peer has for this user.
        perspective: RemoteId,
    },
    /// The peer calls an object of ours.
    Called(Called),
    /// The peer has answered a call, or never will.
    Answered {
        /// The call, which is forgotten with this.
        call: CallId,
        /// What it returned.
        outcome: Result<Value, CallFailure>,
    },
    /// The peer has given back its last reference to an object. The object is still there and can be given again.
    Unreferenced {
        /// The object.
        object: ObjectId,
    },
    /// The connection has to be closed, or is. Nothing comes after that.
    Closed(CloseReason),
}

/// A call of the peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// What to answer, or `None` if the peer wants no answer.
    pub request: Option<RequestId>,
    /// The object that is called.
    pub object: ObjectId,
    /// The method's name. It is whatever the peer says.
    pub method: String,
    /// The arguments by position.
    pub args: Vec<Value>,
    /// The arguments by name, each of them once.
    pub kwargs: Vec<(String, Value)>,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailure {
    /// The peer's method has raised an exception, or there is no such method or object.
    #[error("the peer answers with {0}")]
    Raised(Failure),
    /// The peer has answered with something that is not read here. The call was carried out, or failed, all the same.
    #[error("the peer's answer is not read")]
    Unreadable(#[source] JellyError),
    /// The connection ended before the answer came. Whether the call was carried out is not known.
    #[error("the connection ended before the answer came")]
    ConnectionLost,
}

impl Called {
    /// Returns an argument that may come by position or by name.
    pub fn argument(&self, position: usize, name: &str) -> Option<&Value> {
        let by_name = || self.kwargs.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        self.args.get(position).or_else(by_name)
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.method, self.object)
    }
}
