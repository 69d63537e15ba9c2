//! What the local node answers (node/API.md). Unknown fields are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer to a new command.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: String,
}

/// Answer to a body that was left.
#[derive(Debug, Deserialize)]
pub(crate) struct Left {
    pub(crate) body: String,
}

/// A command, as the list shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CommandInfo {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) command: String,
    pub(crate) class: String,
    pub(crate) stage: String,
    pub(crate) outcome: Option<Outcome>,
    #[serde(default)]
    pub(crate) is_overdue: bool,
    pub(crate) age_ms: u64,
    pub(crate) ended_ms: Option<u64>,
    pub(crate) deadline_ms: Option<u64>,
    #[serde(default)]
    pub(crate) summary: String,
}

/// All nodes that the local one knows.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeList {
    pub(crate) nodes: Vec<NodeInfo>,
    #[serde(default)]
    pub(crate) sockets: Vec<SocketInfo>,
}

/// What the system grants a socket of the local node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SocketInfo {
    pub(crate) address: String,
    pub(crate) buffer_bytes_asked: u64,
    pub(crate) receive_buffer_bytes: Option<u64>,
    pub(crate) send_buffer_bytes: Option<u64>,
    pub(crate) send_segments: u64,
    pub(crate) send_segments_offered: u64,
}

/// The local node itself.
#[derive(Debug, Deserialize)]
pub(crate) struct LocalNode {
    #[serde(default)]
    pub(crate) store: String,
}

/// A node, as the local one sees it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeInfo {
    pub(crate) node: String,
    pub(crate) role: Option<String>,
    pub(crate) state: String,
    pub(crate) link: Option<LinkInfo>,
    pub(crate) unreachable_ms: Option<u64>,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    #[serde(default)]
    pub(crate) links_total: u64,
}

/// The link to a node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LinkInfo {
    pub(crate) number: u64,
    pub(crate) remote: String,
    pub(crate) rtt_ms: f64,
    pub(crate) loss: f64,
    pub(crate) up_ms: u64,
    pub(crate) silent_ms: u64,
    pub(crate) migrations: u64,
}

/// What a command waits for.
#[derive(Debug, Deserialize)]
pub(crate) struct Why {
    pub(crate) id: String,
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) text: String,
}

/// One line of a command's events.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    /// Its number among the updates, which outlives a restart of the node, if it is one.
    pub(crate) update: Option<u64>,
    /// When it happened, since 1970.
    pub(crate) at_ms: Option<u64>,
    #[serde(flatten)]
    pub(crate) what: Happening,
}

/// What happened.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Happening {
    Output(Output),
    Overdue,
    Found {
        found: Found,
    },
    Gap(Gap),
    Outcome {
        outcome: Outcome,
    },
    /// A step, or something that a newer node says.
    #[serde(other)]
    Other,
}

/// What is no longer kept: events, or updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Gap {
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) update_from: Option<u64>,
    pub(crate) update_to: Option<u64>,
}

/// A piece of a program's output.
#[derive(Debug, Deserialize)]
pub(crate) struct Output {
    pub(crate) stream: Stream,
    text: Option<String>,
    base64: Option<String>,
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What `fs.get` found, before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Found {
    pub(crate) kind: FileKind,
    pub(crate) bytes: u64,
    pub(crate) mode: u32,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileKind {
    File,
    Folder,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) kind: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) result: Value,
}

impl CommandInfo {
    /// Returns how long it took, if it has ended.
    pub(crate) fn took_ms(&self) -> Option<u64> {
        Some(self.age_ms.saturating_sub(self.ended_ms?))
    }
}

impl Output {
    /// Returns the octets, or `None` if the node wrote none that can be read.
    pub(crate) fn into_octets(self) -> Option<Vec<u8>> {
        match (self.text, self.base64) {
            (Some(text), _) => Some(text.into_bytes()),
            (None, Some(base64)) => STANDARD.decode(base64).ok(),
            (None, None) => None,
        }
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
