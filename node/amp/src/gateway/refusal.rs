//! Errors, as a program hears them.

use std::borrow::Cow;

use runnel_client::{ClientError, FollowError};

use crate::amp_box::EncodeError;
use crate::session::UNHANDLED;

/// An error with a stable code, for programs, and what to do, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Cow<'static, str>,
    pub(super) description: String,
}

impl Refusal {
    pub(super) fn new(code: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self { code: code.into(), description: description.into() }
    }

    pub(super) fn bad_arguments(description: impl Into<String>) -> Self {
        Self::new("bad-arguments", description)
    }

    pub(super) fn busy(what: &str, max: usize) -> Self {
        Self::new(
            "busy",
            format!("this connection has {max} {what} already: wait for the end of one, or connect twice"),
        )
    }

    /// There is no such command of AMP.
    pub(super) fn unhandled(command: &[u8]) -> Self {
        let command = String::from_utf8_lossy(command);
        Self::new(UNHANDLED, format!("there is no command {command:?}; AMP.md lists them"))
    }

    /// An answer does not fit into AMP.
    pub(super) fn too_large(error: &EncodeError) -> Self {
        let advice = "ask for less (`limit`), or submit the command with `Submit` and follow it: then a long result comes in pieces";
        Self::new("too-large", format!("{error}: {advice}"))
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => Self::new(refusal.code, refusal.message),
            ClientError::NoDaemon { .. } | ClientError::Lost(_) => Self::new("no-daemon", error.to_string()),
            _ => Self::new("bad-answer", error.to_string()),
        }
    }
}

impl From<FollowError> for Refusal {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Client(error) => error.into(),
            FollowError::Forgotten { .. } => Self::new("forgotten", error.to_string()),
            FollowError::GivenUp { .. } => Self::new("no-daemon", error.to_string()),
        }
    }
}
