//! A client of the local HTTP API of a Runnel node (`node/API.md`).
//!
//! The command line and the gateways know a node by this API alone. [`Client`] asks, over the node's Unix socket; [`api`]
//! has what it answers, as types; a [`Follower`] reads the events of a command over lost connections and restarts of the
//! node, each once. Everything runs on the caller's runtime of tokio.

pub mod api;
mod client;
mod error;
mod follower;
mod lines;
mod listing;

pub use client::{Client, Content, Lines, RequestBody, streamed};
pub use error::{ClientError, Refusal};
pub use follower::{EventLine, FollowError, Follower, Presence, Sign, Until};
pub use lines::{LINE_BYTES_MAX, LineTooLong};
pub use listing::{Which, list_commands, list_commands_of};
