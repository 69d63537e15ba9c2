//! What every verb that asks the local node shares: where the node is, and how to speak.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::table::Paint;
use crate::daemon::default_socket;
use runnel_client::Client;

/// Options of every verb that asks the local node.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Asking the node")]
pub(super) struct SessionArgs {
    /// The local node's socket [default: $RUNNEL_SOCKET, else where a node of this user makes it].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    speech: SpeechArgs,
}

/// How to speak.
#[derive(Clone, Debug, Args)]
pub(super) struct SpeechArgs {
    /// Speak JSON: one object, or one object a line where things happen one after another; errors too.
    #[arg(long)]
    pub(super) json: bool,
}

/// A conversation with the local node.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) json: bool,
}

impl SessionArgs {
    pub(super) fn is_json(&self) -> bool {
        self.speech.json
    }

    pub(super) fn open(self) -> Result<Session, Failure> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => default_socket().map_err(|error| {
                Failure::new(Exit::NoDaemon, format!("cannot tell where the node listens: {error:#}"))
            })?,
        };
        Ok(Session { client: Client::new(socket), json: self.speech.json })
    }
}

impl Session {
    /// Tells people something on standard error, or programs.
    pub(super) fn note(&self, text: &str) {
        if self.json {
            // Nobody listens to complaints about standard error.
            writeln!(std::io::stderr(), "{}", json!({ "note": text })).ok();
        } else {
            note(text);
        }
    }

    /// Asks, and either prints the answer as it is (`--json`, then `None`) or returns it.
    pub(super) async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        if self.json {
            let answer: Value = self.client.get(path).await?;
            print(&format!("{answer}\n"))?;
            return Ok(None);
        }
        Ok(Some(self.client.get(path).await?))
    }
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::of_output(&error))
}

/// Tells people something on standard error.
pub(super) fn note(text: &str) {
    // Nobody listens to complaints about standard error.
    writeln!(std::io::stderr(), "runnel: {text}").ok();
}

/// Returns whether standard output shows colours.
pub(super) fn paint() -> Paint {
    let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let is_able = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    if is_wanted && is_able && std::io::stdout().is_terminal() { Paint::Coloured } else { Paint::Plain }
}
