//! Why the local node could not be asked, or would not do it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

use crate::client::Content;

use crate::lines::LineTooLong;

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no node listens on {}", socket.display())]
    NoDaemon {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke: the node went away, or is no node.
    #[error("the connection to the node broke off")]
    Lost(#[from] hyper::Error),
    /// The node says no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The answer is too large, or broke off.
    #[error("the node's answer could not be read: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    /// What came is not what node/API.md says.
    #[error("the node's answer is not understood (is it of another version?): {0}")]
    Malformed(serde_json::Error),
    /// A line is longer than we take.
    #[error(transparent)]
    Line(#[from] LineTooLong),
}

/// What the node says when it says no.
#[derive(Debug, Deserialize)]
pub struct Refusal {
    /// A stable word, for programs.
    pub code: String,
    /// What to do, for people.
    pub message: String,
    /// When to try again, if that helps.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
struct RefusalAnswer {
    error: Refusal,
}

impl ClientError {
    /// Reads why the node said no.
    pub(crate) async fn refused(status: StatusCode, content: Content) -> Self {
        match content.json::<RefusalAnswer>().await {
            Ok(answer) => Self::Refused(answer.error),
            Err(Self::Malformed(_)) => {
                let message = format!("the node answered {status} and no reason");
                Self::Refused(Refusal { code: "bad-answer".to_owned(), message, retry_after_ms: None })
            }
            Err(error) => error,
        }
    }

    /// Returns the stable word of a node that said no.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// Returns when to try again, if the node says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    /// Returns whether it may be there again in a moment.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::NoDaemon { .. } | Self::Lost(_))
    }
}
