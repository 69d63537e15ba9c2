//! What the local node answers (node/API.md). Unknown fields are ignored.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer to a new command.
#[derive(Debug, Deserialize)]
pub struct Stored {
    /// Its id.
    pub id: String,
}

/// Answer to a body that was left.
#[derive(Debug, Deserialize)]
pub struct Left {
    /// Its name.
    pub body: String,
}

/// A command, as the list shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct CommandInfo {
    /// Its id.
    pub id: String,
    /// The node that is to run it.
    pub to: String,
    /// Its type.
    pub command: String,
    /// Its class.
    pub class: String,
    /// How far it has come.
    pub stage: String,
    /// Once it has ended.
    pub outcome: Option<Outcome>,
    /// Whether its deadline has passed without an outcome.
    #[serde(default)]
    pub is_overdue: bool,
    /// Time since it was stored.
    pub age_ms: u64,
    /// Time since it ended.
    pub ended_ms: Option<u64>,
    /// Time left, if there is a deadline and it has not ended.
    pub deadline_ms: Option<u64>,
    /// For people.
    #[serde(default)]
    pub summary: String,
}

/// All nodes that the local one knows.
#[derive(Debug, Deserialize)]
pub struct NodeList {
    /// By name.
    pub nodes: Vec<NodeInfo>,
    /// The local node's own.
    #[serde(default)]
    pub sockets: Vec<SocketInfo>,
}

/// What the system grants a socket of the local node.
#[derive(Clone, Debug, Deserialize)]
pub struct SocketInfo {
    /// Where it is bound.
    pub address: String,
    /// What the buffers should be.
    pub buffer_bytes_asked: u64,
    /// What they are, if the system says.
    pub receive_buffer_bytes: Option<u64>,
    /// The same.
    pub send_buffer_bytes: Option<u64>,
    /// Packets that may leave in one system call.
    pub send_segments: u64,
    /// What the system offered of that.
    pub send_segments_offered: u64,
}

/// The local node itself.
#[derive(Debug, Deserialize)]
pub struct LocalNode {
    /// How its store is.
    #[serde(default)]
    pub store: String,
}

/// A node, as the local one sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub node: String,
    /// From its certificate, once it was met.
    pub role: Option<String>,
    /// `up`, `suspect` or `down`.
    pub state: String,
    /// The link to it, if there is one.
    pub link: Option<LinkInfo>,
    /// How long there has been none.
    pub unreachable_ms: Option<u64>,
    /// Commands for it that are on no stream.
    pub queued: u64,
    /// Those that are.
    pub in_flight: u64,
    /// Links that came up since the start.
    #[serde(default)]
    pub links_total: u64,
}

/// How a node can be reached, as it changes.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeState {
    /// Its name.
    pub node: String,
    /// `up`, `suspect` or `down`.
    pub state: String,
}

/// The link to a node.
#[derive(Clone, Debug, Deserialize)]
pub struct LinkInfo {
    /// Its number.
    pub number: u64,
    /// The other end's address.
    pub remote: String,
    /// Round-trip time.
    pub rtt_ms: f64,
    /// Share of lost packets, 0 to 1.
    pub loss: f64,
    /// Its age.
    pub up_ms: u64,
    /// Age of the last authenticated packet.
    pub silent_ms: u64,
    /// How often its path was changed.
    pub migrations: u64,
}

/// What a command waits for.
#[derive(Debug, Deserialize)]
pub struct Why {
    /// Its id.
    pub id: String,
    /// How far it has come.
    pub stage: String,
    /// The word for it.
    pub reason: String,
    /// For people.
    pub text: String,
}

/// One line of a command's events.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// Its number among the updates, which outlives a restart of the node, if it is one.
    pub update: Option<u64>,
    /// When it happened, since 1970.
    pub at_ms: Option<u64>,
    #[serde(flatten)]
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A program has written something.
    Output(Output),
    /// A file that is followed has grown.
    Log(LogPiece),
    /// What the environment of a program is.
    Environment {
        /// Its variables.
        environment: BTreeMap<String, String>,
    },
    /// The deadline has passed, and nobody knows yet what became of it.
    Overdue,
    /// `fs.get` has found what it was asked for.
    Found {
        /// What it is.
        found: Found,
    },
    /// Something is no longer kept.
    Gap(Gap),
    /// It has ended.
    Outcome {
        /// How.
        outcome: Outcome,
    },
    /// A step, or something that a newer node says.
    #[serde(other)]
    Other,
}

/// What is no longer kept: events, or updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// First event.
    pub from: Option<u64>,
    /// Last event.
    pub to: Option<u64>,
    /// First update.
    pub update_from: Option<u64>,
    /// Last update.
    pub update_to: Option<u64>,
}

/// A piece of a program's output.
#[derive(Debug, Deserialize)]
pub struct Output {
    /// Where it came from.
    pub stream: Stream,
    text: Option<String>,
    base64: Option<String>,
}

/// A piece of a file that is followed.
#[derive(Debug, Deserialize)]
pub struct LogPiece {
    /// The name that was given to the file.
    pub name: String,
    text: Option<String>,
    base64: Option<String>,
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What `fs.get` found, before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// What it is.
    pub kind: FileKind,
    /// Bytes of all files.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// The content of a file.
    File,
    /// A folder, as a tar stream.
    Folder,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Outcome {
    /// The word for it.
    pub kind: String,
    /// Of a program that exited.
    pub exit_code: Option<i32>,
    /// That ended a program.
    pub signal: Option<i32>,
    /// Why, as a word.
    pub reason: Option<String>,
    /// Why, for people.
    pub message: Option<String>,
    /// What the command returned.
    #[serde(default)]
    pub result: Value,
}

impl CommandInfo {
    /// Returns how long it took, if it has ended.
    pub fn took_ms(&self) -> Option<u64> {
        Some(self.age_ms.saturating_sub(self.ended_ms?))
    }
}

impl Output {
    /// Returns the octets, or `None` if the node wrote none that can be read.
    pub fn into_octets(self) -> Option<Vec<u8>> {
        octets(self.text, self.base64)
    }
}

impl LogPiece {
    /// Returns the octets, or `None` if the node wrote none that can be read.
    pub fn into_octets(self) -> Option<Vec<u8>> {
        octets(self.text, self.base64)
    }
}

fn octets(text: Option<String>, base64: Option<String>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Some(text.into_bytes()),
        (None, Some(base64)) => STANDARD.decode(base64).ok(),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(line: &str) -> Event {
        serde_json::from_str(line).expect("an event")
    }

    #[test]
    fn output_is_read_as_text_and_as_base64() {
        for (line, stream, octets) in [
            (
                r#"{"n":5,"at_ms":1,"event":"output","stream":"stdout","text":"a\n"}"#,
                Stream::Stdout,
                &b"a\n"[..],
            ),
            (
                r#"{"n":6,"at_ms":1,"event":"output","stream":"stderr","base64":"/w=="}"#,
                Stream::Stderr,
                b"\xff",
            ),
        ] {
            let Happening::Output(output) = read(line).what else { panic!("{line} is output") };
            assert_eq!(output.stream, stream);
            assert_eq!(output.into_octets().as_deref(), Some(octets));
        }
    }

    #[test]
    fn an_event_of_a_newer_node_is_passed_over() {
        let event = read(r#"{"n":2,"at_ms":1,"event":"moved","where":{"to":"w2"}}"#);
        assert!(matches!(event.what, Happening::Other));
    }

    #[test]
    fn a_gap_is_one_of_events_or_of_updates() {
        let Happening::Gap(gap) = read(r#"{"event":"gap","from":5,"to":90}"#).what else { panic!("a gap") };
        assert_eq!((gap.from, gap.to, gap.update_from), (Some(5), Some(90), None));
        let line = r#"{"event":"gap","update_from":1,"update_to":2}"#;
        let Happening::Gap(gap) = read(line).what else { panic!("a gap") };
        assert_eq!((gap.update_from, gap.update_to, gap.from), (Some(1), Some(2), None));
    }
}
