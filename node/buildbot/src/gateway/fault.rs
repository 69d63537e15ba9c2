//! Why a command has no return code.

use std::io;

use runnel_client::{ClientError, FollowError};

use crate::jelly::Failure;

/// What keeps a command from ending in order.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The session is over. Nobody waits for the end.
    #[error("the session is over")]
    Lost,
    /// It cannot be carried out, or the master's part in it went wrong: the step ends with this exception.
    #[error("{}", .0.value)]
    Failed(Failure),
    /// Nobody can say what has become of it: the build has to be tried again.
    #[error("{0}")]
    Unknown(String),
}

impl Fault {
    /// A fault with a text for the step.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(Failure::new("twisted.spread.pb.Error", text))
    }

    /// The gateway's own disk fails.
    pub(super) fn of_disk(error: io::Error) -> Self {
        Self::failed(format!("the gateway cannot keep what is on its way: {error}"))
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => Self::failed(refusal.message),
            error => Self::Unknown(error.to_string()),
        }
    }
}

impl From<FollowError> for Fault {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Client(error) => error.into(),
            error => Self::Unknown(error.to_string()),
        }
    }
}
