//! What the API answers when it cannot do what was asked.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runnel::codec::NodeId;
use runnel::{Bound, QueueError, SubmitError};
use serde_json::{Value, json};

use super::api::json_response;
use super::registry::{KeyError, millis};

/// An answer that says what is wrong, and what to do.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    /// For programs; it never changes.
    code: &'static str,
    /// For people.
    message: String,
    bound: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), bound: None, retry_after: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    pub(super) fn bad_arguments(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-arguments", message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
    }

    /// The node was never met.
    pub(super) fn unknown_node(node: &NodeId) -> Self {
        let message = format!(
            "{node} is neither among the `peers` of this node nor has it ever dialled it; GET /v1/nodes lists those that are known"
        );
        Self::new(StatusCode::NOT_FOUND, "unknown-node", message)
    }

    /// The command was never here, or is no longer kept.
    pub(super) fn unknown_command() -> Self {
        let message = "no such command was submitted here, or it is no longer kept; GET /v1/commands?all=true lists them";
        Self::new(StatusCode::NOT_FOUND, "unknown-command", message)
    }

    /// The command has an outcome.
    pub(super) fn ended() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ended", "the command has ended; its last event is its outcome")
    }

    /// Somebody else writes or reads the body.
    pub(super) fn body_taken() -> Self {
        let message = "a body is written or read once, and this one has been or is being";
        Self::new(StatusCode::CONFLICT, "body-taken", message)
    }

    /// The body of a result does not come.
    pub(super) fn body_broken() -> Self {
        let message = "the body did not come; the outcome of the command says why";
        Self::new(StatusCode::BAD_GATEWAY, "body-broken", message)
    }

    /// The command has no such body.
    pub(super) fn no_body(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-body", message)
    }

    /// The command is not held back.
    pub(super) fn not_held() -> Self {
        let message = "the command is not held back; GET .../why says what it waits for";
        Self::new(StatusCode::CONFLICT, "not-held", message)
    }

    /// The node has nowhere to store a command.
    pub(super) fn no_store() -> Self {
        let message =
            "a durable command needs a store, and this node has none: set `state_dir` in its configuration";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-store", message)
    }

    /// The node shuts down.
    pub(super) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the node is stopping; ask again once it runs")
    }

    /// The store's disk is full.
    pub(super) fn store_full(message: &str) -> Self {
        let message = format!("{message}, or make room on the disk of its `state_dir`");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-full", message)
    }

    /// Bodies take all the room that they may.
    pub(super) fn bodies_full(bytes_max: u64) -> Self {
        let message = format!(
            "the bodies that wait here would exceed {bytes_max} bytes (bodies_bytes_max); try again when commands have ended"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue-full", message)
            .with_bound("bodies")
            .with_retry(Duration::from_secs(1))
    }

    fn with_retry(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    fn with_bound(mut self, bound: &'static str) -> Self {
        self.bound = Some(bound);
        self
    }

    fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(bound) = self.bound {
            error["bound"] = json!(bound);
        }
        if let Some(after) = self.retry_after {
            error["retry_after_ms"] = json!(millis(after));
        }
        json!({ "error": error })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        json_response(self.status, &self.to_json())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Queue(QueueError::Full { bound, retry_after }) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue-full", message)
                    .with_bound(bound_word(bound))
                    .with_retry(retry_after)
            }
            SubmitError::Queue(QueueError::StoreFull { retry_after }) => {
                Self::store_full(&message).with_retry(retry_after)
            }
            SubmitError::Encode(_) | SubmitError::Queue(QueueError::TooLarge { .. }) => {
                Self::too_large(format!("{message}: send it as a body"))
            }
            SubmitError::Queue(QueueError::KeyConflict(_)) => KeyError::Conflict.into(),
            SubmitError::NodeStopped => Self::stopping(),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message),
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Conflict => Self::new(
                StatusCode::CONFLICT,
                "key-conflict",
                "this key was used for another command to the same node; take a new key for a new command",
            ),
            KeyError::Pending => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "key-pending",
                "a command with this key is being stored; ask again",
            )
            .with_retry(Duration::from_millis(100)),
            KeyError::Full => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue-full",
                "too many idempotency keys are remembered (keys_max); submit without a key, or later",
            )
            .with_bound("keys")
            .with_retry(Duration::from_secs(60)),
        }
    }
}

/// Returns the word for a bound that is reached.
pub(super) fn bound_word(bound: Bound) -> &'static str {
    match bound {
        Bound::Commands => "commands",
        Bound::Bytes => "bytes",
        Bound::PeerCommands => "peer-commands",
        Bound::PeerBytes => "peer-bytes",
        Bound::ClassCommands(_) => "class-commands",
        Bound::UnreachableCommands => "unreachable-commands",
        Bound::UnreachableBytes => "unreachable-bytes",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_names_the_bound_and_when_to_try_again() {
        let full = QueueError::Full { bound: Bound::PeerCommands, retry_after: Duration::from_secs(1) };
        let error = ApiError::from(SubmitError::Queue(full));
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        let answer = error.to_json();
        assert_eq!(answer["error"]["code"], "queue-full");
        assert_eq!(answer["error"]["bound"], "peer-commands");
        assert_eq!(answer["error"]["retry_after_ms"], 1000);
    }

    #[test]
    fn what_can_never_be_sent_is_not_to_be_tried_again() {
        let large = QueueError::TooLarge { what: "arguments", bytes: 70_000, max: 65_536 };
        let answer = ApiError::from(SubmitError::Queue(large)).to_json();
        assert_eq!(answer["error"]["code"], "too-large");
        assert_eq!(answer["error"].get("retry_after_ms"), None);
    }
}
