//! Why the local node could not be asked, or would not do it.

use std::io;
use std::path::PathBuf;

use hyper::StatusCode;
use serde::Deserialize;

use super::Content;
use crate::cli::exit::{Exit, Failure};
use crate::cli::lines::LineTooLong;

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens on the socket.
    #[error("no node listens on {}", socket.display())]
    NoDaemon { socket: PathBuf, source: io::Error },
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
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Deserialize)]
struct RefusalAnswer {
    error: Refusal,
}

impl ClientError {
    /// Reads why the node said no.
    pub(super) async fn refused(status: StatusCode, content: Content) -> Self {
        match content.json::<RefusalAnswer>().await {
            Ok(answer) => Self::Refused(answer.error),
            Err(Self::Malformed(_)) => {
                let message = format!("the node answered {status} and no reason");
                Self::Refused(Refusal { code: "bad-answer".to_owned(), message })
            }
            Err(error) => error,
        }
    }

    /// Returns the stable word of a node that said no.
    pub(in crate::cli) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// Returns whether it may be there again in a moment.
    pub(in crate::cli) fn is_lost(&self) -> bool {
        matches!(self, Self::NoDaemon { .. } | Self::Lost(_))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoDaemon { socket, source } => no_daemon(&socket.display().to_string(), &source),
            ClientError::Lost(source) => {
                let text = format!(
                    "the connection to the node broke off ({source}); has it stopped? Ask again with: runnel ps"
                );
                Self::new(Exit::NoDaemon, text)
            }
            ClientError::Refused(refusal) if refusal.code == "unknown-node" => {
                // The same question in the words of the command line.
                let text = refusal.message.replace("GET /v1/nodes", "runnel nodes");
                Self::new(Exit::Unreachable, text).with_word(refusal.code)
            }
            ClientError::Refused(refusal) => {
                Self::new(exit_of(&refusal.code), refusal.message).with_word(refusal.code)
            }
            ClientError::Answer(_) | ClientError::Malformed(_) | ClientError::Line(_) => {
                Self::new(Exit::Failed, error.to_string())
            }
        }
    }
}

fn no_daemon(socket: &str, source: &io::Error) -> Failure {
    let text = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(
                "the node's socket {socket} belongs to another user: run this as the user who runs the node"
            )
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no node listens on {socket}; start one with: runnel node --config FILE, or name its socket with --socket"
        ),
        _ => format!("cannot reach the node on {socket}: {source}"),
    };
    Failure::new(Exit::NoDaemon, text)
}

fn exit_of(code: &str) -> Exit {
    match code {
        "queue-full" | "store-full" => Exit::QueueFull,
        "unknown-node" => Exit::Unreachable,
        "bad-id" | "bad-request" | "bad-arguments" => Exit::Usage,
        "stopping" => Exit::NoDaemon,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_there_is_told_from_one_of_another_user() {
        let failure = |kind: io::ErrorKind| {
            let error = ClientError::NoDaemon { socket: "/run/a.sock".into(), source: kind.into() };
            assert!(error.is_lost());
            Failure::from(error)
        };
        let missing = failure(io::ErrorKind::NotFound);
        assert_eq!(missing.exit(), Exit::NoDaemon);
        assert!(missing.line(false).is_some_and(|line| line.contains("runnel node --config")));
        let foreign = failure(io::ErrorKind::PermissionDenied).line(false);
        assert!(foreign.is_some_and(|line| line.contains("another user")));
    }

    #[test]
    fn a_refusal_keeps_its_word_and_gets_its_exit_code() {
        for (code, exit) in [
            ("queue-full", Exit::QueueFull),
            ("store-full", Exit::QueueFull),
            ("unknown-node", Exit::Unreachable),
            ("bad-arguments", Exit::Usage),
            ("stopping", Exit::NoDaemon),
            ("unknown-command", Exit::Failed),
        ] {
            let refusal = Refusal { code: code.to_owned(), message: "no".to_owned() };
            let failure = Failure::from(ClientError::Refused(refusal));
            assert_eq!(failure.exit(), exit);
            assert!(failure.line(true).is_some_and(|line| line.contains(&format!("\"code\":\"{code}\""))));
        }
    }
}
