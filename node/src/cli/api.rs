//! What the local node answers (node/API.md). Unknown fields are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer to a new command.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) id: String,
}

/// All commands that were asked for.
#[derive(Debug, Deserialize)]
pub(super) struct CommandList {
    pub(super) commands: Vec<CommandInfo>,
}

/// A command, as the list shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CommandInfo {
    pub(super) id: String,
    pub(super) to: String,
    pub(super) command: String,
    pub(super) class: String,
    pub(super) stage: String,
    pub(super) outcome: Option<Outcome>,
    #[serde(default)]
    pub(super) is_overdue: bool,
    pub(super) age_ms: u64,
    pub(super) deadline_ms: Option<u64>,
    #[serde(default)]
    pub(super) summary: String,
}

/// All nodes that the local one knows.
#[derive(Debug, Deserialize)]
pub(super) struct NodeList {
    pub(super) nodes: Vec<NodeInfo>,
}

/// A node, as the local one sees it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeInfo {
    pub(super) node: String,
    pub(super) role: Option<String>,
    pub(super) state: String,
    pub(super) link: Option<LinkInfo>,
    pub(super) unreachable_ms: Option<u64>,
    pub(super) queued: u64,
    pub(super) in_flight: u64,
}

/// The link to a node.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LinkInfo {
    pub(super) remote: String,
    pub(super) rtt_ms: f64,
    pub(super) loss: f64,
    pub(super) up_ms: u64,
    pub(super) silent_ms: u64,
    pub(super) migrations: u64,
}

/// What a command waits for.
#[derive(Debug, Deserialize)]
pub(super) struct Why {
    pub(super) id: String,
    pub(super) stage: String,
    pub(super) reason: String,
    pub(super) text: String,
}

/// One line of a command's events.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    /// Its number; a gap has none.
    pub(super) n: Option<u64>,
    #[serde(flatten)]
    pub(super) what: Happening,
}

/// What happened.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Happening {
    Output(Output),
    Overdue,
    Found {
        found: Found,
    },
    Gap {
        from: u64,
        to: u64,
    },
    Outcome {
        outcome: Outcome,
    },
    /// A step, or something that a newer node says.
    #[serde(other)]
    Other,
}

/// A piece of a program's output.
#[derive(Debug, Deserialize)]
pub(super) struct Output {
    pub(super) stream: Stream,
    text: Option<String>,
    base64: Option<String>,
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// What `fs.get` found, before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Found {
    pub(super) kind: FileKind,
    pub(super) bytes: u64,
    pub(super) mode: u32,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FileKind {
    File,
    Folder,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Outcome {
    pub(super) kind: String,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) result: Value,
}

impl Output {
    /// Returns the octets, or `None` if the node wrote none that can be read.
    pub(super) fn into_octets(self) -> Option<Vec<u8>> {
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
        assert_eq!(event.n, Some(2));
        assert!(matches!(event.what, Happening::Other));
    }

    #[test]
    fn a_gap_has_no_number_of_its_own() {
        let event = read(r#"{"event":"gap","from":5,"to":90}"#);
        assert_eq!(event.n, None);
        assert!(matches!(event.what, Happening::Gap { from: 5, to: 90 }));
    }
}
