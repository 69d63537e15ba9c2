//! What a question to the local node that failed means for whoever asked on the command line.

use std::io;

use runnel_client::{ClientError, FollowError};

use super::exit::{Exit, Failure};

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

impl From<FollowError> for Failure {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Client(error) => error.into(),
            FollowError::Forgotten { .. } => Self::new(Exit::Unknown, error.to_string()),
            FollowError::GivenUp { id } => {
                let text = format!(
                    "the node went away, and {id} may go on without it; when the node is back: runnel attach {id}"
                );
                Self::new(Exit::NoDaemon, text)
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
    use runnel_client::Refusal;

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
            let refusal = Refusal { code: code.to_owned(), message: "no".to_owned(), retry_after_ms: None };
            let failure = Failure::from(ClientError::Refused(refusal));
            assert_eq!(failure.exit(), exit);
            assert!(failure.line(true).is_some_and(|line| line.contains(&format!("\"code\":\"{code}\""))));
        }
    }

    #[test]
    fn who_is_left_by_the_node_is_told_how_to_come_back() {
        let failure = Failure::from(FollowError::GivenUp { id: "ctl.w1.9f86d081884c7d65.1".to_owned() });
        assert_eq!(failure.exit(), Exit::NoDaemon);
        assert!(failure.line(false).is_some_and(|line| line.contains("runnel attach ctl.w1.")));
    }
}
