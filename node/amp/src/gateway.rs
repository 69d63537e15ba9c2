//! The gateway: Twisted programs on one side, the local node's HTTP API on the other.
//!
//! `request` reads what a program asks, by the table of commands in `AMP.md`; `connection` is one program's connection, the
//! one task that has its [`Session`](crate::Session); what takes time runs in jobs beside it, which speak through a
//! `Speaker`. The gateway remembers nothing but what is under way: commands are the node's.
//!
//! Start with [`serve`].

mod arguments;
mod builtin;
mod config;
mod connection;
mod download;
mod follow;
mod jobs;
mod line;
mod listing;
mod outcome;
mod refusal;
mod request;
mod serving;
mod speaker;
mod upload;
mod window;

pub use config::GatewayConfig;
pub use serving::{Listener, serve};
