//! Durable commands that an older process of the node submitted, for the one that goes on.

use bytes::Bytes;
use runnel_codec::{Class, CommandId, CommandName, Outcome};

/// A durable command that nobody follows since the node was started: it goes on by itself, and what it says is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its id.
    pub id: CommandId,
    /// Its type.
    pub name: CommandName,
    /// Its priority.
    pub class: Class,
    /// What was given at its submit for whoever finds it.
    pub label: Bytes,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
}
