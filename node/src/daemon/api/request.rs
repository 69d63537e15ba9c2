//! What clients send: read strictly, with errors that say what is wrong.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use futures_util::StreamExt;
use runnel::Delivery;
use runnel::codec::{CommandId, UpdatePolicy};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::daemon::command_types::{ApiArgs, ArgsError};
use crate::daemon::commands::Submit;
use crate::daemon::error::ApiError;
use crate::daemon::log::{Patience, ReadFrom};
use crate::daemon::registry::{RequestKey, Wanted};
use crate::daemon::spool::BodyId;

/// The content of `POST /v1/commands`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitFields {
    to: String,
    command: String,
    #[serde(default)]
    args: Value,
    args_base64: Option<String>,
    class: Option<String>,
    deadline_ms: Option<u64>,
    key: Option<String>,
    key_age_ms: Option<u64>,
    summary: Option<String>,
    #[serde(default)]
    hold: bool,
    #[serde(default)]
    updates: Updates,
    #[serde(default)]
    has_body: bool,
    body: Option<String>,
    delivery: Option<DeliveryWord>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeliveryWord {
    Durable,
    Memory,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Updates {
    #[default]
    Follow,
    Discard,
}

/// The query of `GET /v1/commands`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    all: bool,
    key_prefix: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub(super) after: u64,
    #[serde(default = "page")]
    limit: usize,
}

impl ListQuery {
    /// Returns which commands are wanted.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { all: self.all, key_prefix: self.key_prefix.clone() }
    }

    /// Returns how many commands are wanted at most.
    ///
    /// # Errors
    ///
    /// None, or more than one answer may have.
    pub(super) fn limit(&self) -> Result<NonZeroUsize, ApiError> {
        let limit = NonZeroUsize::new(self.limit).filter(|limit| limit.get() <= LIST_MAX);
        limit.ok_or_else(|| ApiError::bad_request(format!("limit: from 1 to {LIST_MAX}")))
    }
}

/// The query of `GET /v1/commands/{id}/events`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    from: Option<u64>,
    after_update: Option<u64>,
    #[serde(default)]
    pub(super) follow: bool,
    #[serde(default)]
    hold: bool,
}

impl EventsQuery {
    /// Returns how long the reader is to be waited for.
    ///
    /// # Errors
    ///
    /// A reader that does not wait is not waited for.
    pub(super) fn patience(&self) -> Result<Patience, ApiError> {
        match (self.hold, self.follow) {
            (true, false) => Err(ApiError::bad_request("`hold` goes with `follow=true`")),
            (true, true) => Ok(Patience::Endless),
            (false, _) => Ok(Patience::Bounded),
        }
    }

    /// Returns where to begin.
    pub(super) fn read_from(&self) -> Result<ReadFrom, ApiError> {
        match (self.from, self.after_update) {
            (Some(_), Some(_)) => {
                Err(ApiError::bad_request("either `from` or `after_update` says where to begin, not both"))
            }
            (None, Some(update)) => Ok(ReadFrom::AfterUpdate(update)),
            (from, None) => Ok(ReadFrom::Event(from.unwrap_or(1))),
        }
    }
}

/// Reads the content of a request, and its end even if it is too long: a client that is cut off does not see the answer.
///
/// # Errors
///
/// It is too long, or breaks off.
pub(super) async fn read_content(content: Body, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let mut pieces = content.into_data_stream();
    let (mut kept, mut bytes) = (Vec::new(), 0usize);
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| ApiError::bad_request(format!("the request broke off: {error}")))?;
        bytes = bytes.saturating_add(piece.len());
        if bytes <= bytes_max {
            kept.extend_from_slice(&piece);
        } else if bytes > bytes_max.saturating_mul(DROPPED_TIMES_MAX) {
            break;
        }
    }
    if bytes > bytes_max {
        let message = format!(
            "the request is longer than {bytes_max} bytes (request_bytes_max): send large content as a body"
        );
        return Err(ApiError::too_large(message));
    }
    Ok(kept)
}

/// Reads what is to be submitted.
pub(super) fn read_submit(content: &[u8]) -> Result<Submit, ApiError> {
    let fields: SubmitFields = serde_json::from_slice(content)
        .map_err(|error| ApiError::bad_request(format!("the request is not as it should be: {error}")))?;
    fields.check()
}

/// Says what is wrong with a query.
pub(super) fn bad_query(rejection: QueryRejection) -> ApiError {
    ApiError::bad_request(rejection.body_text())
}

/// Reads a command's id.
pub(super) fn read_id(text: &str) -> Result<CommandId, ApiError> {
    text.parse().map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, "bad-id", format!("{text:?} is no id of a command: {error}"))
    })
}

impl SubmitFields {
    fn check(self) -> Result<Submit, ApiError> {
        let to = self.to.parse().map_err(|error| {
            ApiError::bad_request(format!("{:?} is no name for a node: {error}", self.to))
        })?;
        let class = match &self.class {
            None => runnel::codec::Class::default(),
            Some(class) => class
                .parse()
                .map_err(|_| ApiError::bad_request("`class` is one of urgent, high, normal, low, bulk"))?,
        };
        if self.has_body && self.body.is_some() {
            return Err(ApiError::bad_request(
                "a body either was left here (`body`) or follows (`has_body`)",
            ));
        }
        let hash = self.hash();
        let body = self.body.as_deref().map(BodyId::read).transpose()?;
        let args = match &self.args_base64 {
            Some(base64) => read_raw(&self.command, &self.args, base64)?,
            None => read_args(&self.command, self.args)?,
        };
        let key = match self.key {
            None => None,
            Some(key) if (1..=KEY_CHARS_MAX).contains(&key.chars().count()) => {
                Some((RequestKey { to: runnel::codec::NodeId::clone(&to), key }, hash))
            }
            Some(_) => {
                return Err(ApiError::bad_request(format!("`key` has 1 to {KEY_CHARS_MAX} characters")));
            }
        };
        Ok(Submit {
            to,
            args,
            class,
            deadline: self.deadline_ms.map(Duration::from_millis),
            updates: self.updates.into(),
            has_body: self.has_body,
            body,
            delivery: self.delivery.map(Delivery::from),
            key,
            key_age: self.key_age_ms.map(Duration::from_millis),
            summary: self.summary,
            hold: self.hold,
        })
    }

    /// Of all that makes the command; objects are hashed in the order of their keys.
    fn hash(&self) -> [u8; 32] {
        let args = match &self.args_base64 {
            Some(base64) => json!({ "base64": base64 }),
            None => self.args.clone(),
        };
        let whole = json!([self.command, args, self.has_body || self.body.is_some()]);
        *blake3::hash(whole.to_string().as_bytes()).as_bytes()
    }
}

/// Reads arguments of a type that this node knows.
fn read_args(command: &str, args: Value) -> Result<ApiArgs, ApiError> {
    ApiArgs::read(command, args).map_err(|error| match error {
        ArgsError::UnknownType => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown-command-type",
            format!(
                "this node cannot encode the arguments of {command:?}: give them encoded, as `args_base64`; it knows exec/1, \
                 fs.put/1, fs.get/1, fs.mkdir/1, fs.remove/1, fs.copy/1, fs.stat/1, fs.list/1, fs.glob/1, sys.ping/1, sys.info/1",
            ),
        ),
        ArgsError::Wrong(message) => ApiError::bad_arguments(format!("`args` of {command}: {message}")),
    })
}

/// Reads arguments of any type that are encoded already.
fn read_raw(command: &str, args: &Value, base64: &str) -> Result<ApiArgs, ApiError> {
    if !args.is_null() {
        return Err(ApiError::bad_request("arguments are given as `args` or as `args_base64`, not both"));
    }
    let name = command
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{command:?} is no name for a command: {error}")))?;
    ApiArgs::read_raw(name, base64)
        .map_err(|message| ApiError::bad_arguments(format!("`args_base64` of {command}: {message}")))
}

impl From<Updates> for UpdatePolicy {
    fn from(updates: Updates) -> Self {
        match updates {
            Updates::Follow => Self::Follow,
            Updates::Discard => Self::Discard,
        }
    }
}

fn page() -> usize {
    LIST_MAX
}

impl From<DeliveryWord> for Delivery {
    fn from(word: DeliveryWord) -> Self {
        match word {
            DeliveryWord::Durable => Self::Durable,
            DeliveryWord::Memory => Self::Memory,
        }
    }
}

/// Longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 128;

/// Commands that one answer lists: some 300 KiB.
const LIST_MAX: usize = 1000;

/// How many times its limit a request may have before its sender is cut off.
const DROPPED_TIMES_MAX: usize = 16;
