//! What happened to a command, in the words of the API.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// What happened to a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// It came further.
    Step(Step),
    /// Its deadline has passed and nobody knows what became of it.
    Overdue,
    /// A piece of a program's output.
    Output(Output),
    /// A piece of a file that a program writes.
    Log(Log),
    /// Variables that a program gets.
    Environment(BTreeMap<String, String>),
    /// What was found, before it is brought.
    Found(Value),
    /// A record of progress of a type that is not known here, as it travelled.
    Update(Bytes),
    /// It has ended.
    Outcome(Value),
}

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It is in this node's queue.
    Stored,
    /// It has left this node.
    Sent,
    /// It is in the receiver's queue.
    Accepted,
    /// Its handler has been called.
    Started,
    /// It has an outcome.
    Ended,
}

/// A piece of a program's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// `stdout` or `stderr`.
    pub(super) stream: &'static str,
    /// The octets.
    pub(super) content: Bytes,
}

/// A piece of a file that a program writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// The name under which the file is followed.
    pub(super) name: String,
    /// The octets.
    pub(super) content: Bytes,
}

impl Event {
    /// Whether it is one of any number that a handler brings forth.
    pub(super) fn is_output(&self) -> bool {
        matches!(self, Self::Output(_) | Self::Log(_) | Self::Environment(_) | Self::Update(_))
    }

    /// About what it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        EVENT_BYTES
            + match self {
                Self::Output(output) => output.content.len(),
                Self::Log(log) => log.name.len() + log.content.len(),
                Self::Environment(variables) => {
                    variables.iter().map(|(name, value)| name.len() + value.len() + VARIABLE_BYTES).sum()
                }
                Self::Update(content) => content.len(),
                Self::Found(value) | Self::Outcome(value) => value.to_string().len(),
                Self::Step(_) | Self::Overdue => 0,
            }
    }

    /// Writes it as one line of a stream. `update` is its number if it is progress that the command itself tells of.
    pub(super) fn write_line(&self, n: u64, at_ms: u64, update: Option<u64>, line: &mut Vec<u8>) {
        let mut fields = Map::new();
        fields.insert("n".to_owned(), json!(n));
        fields.insert("at_ms".to_owned(), json!(at_ms));
        fields.insert("event".to_owned(), json!(self.as_str()));
        if let Some(update) = update {
            fields.insert("update".to_owned(), json!(update));
        }
        match self {
            Self::Output(output) => {
                fields.insert("stream".to_owned(), json!(output.stream));
                insert_content(&mut fields, &output.content);
            }
            Self::Log(log) => {
                fields.insert("name".to_owned(), json!(log.name));
                insert_content(&mut fields, &log.content);
            }
            Self::Environment(variables) => {
                fields.insert("environment".to_owned(), json!(variables));
            }
            Self::Update(content) => {
                fields.insert("base64".to_owned(), Value::String(STANDARD.encode(content)));
            }
            Self::Outcome(outcome) => {
                fields.insert("outcome".to_owned(), outcome.clone());
            }
            Self::Found(found) => {
                fields.insert("found".to_owned(), found.clone());
            }
            Self::Step(_) | Self::Overdue => {}
        }
        push_line(&Value::Object(fields), line);
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Step(step) => step.as_str(),
            Self::Overdue => "overdue",
            Self::Output(_) => "output",
            Self::Log(_) => "log",
            Self::Environment(_) => "environment",
            Self::Found(_) => "found",
            Self::Update(_) => "update",
            Self::Outcome(_) => "outcome",
        }
    }
}

impl Step {
    /// Returns the word of the API.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Started => "started",
            Self::Ended => "ended",
        }
    }
}

/// Writes that events are no longer kept.
pub(super) fn write_gap(from: u64, to: u64, line: &mut Vec<u8>) {
    push_line(&json!({ "event": "gap", "from": from, "to": to }), line);
}

/// Writes that updates are no longer kept.
pub(super) fn write_update_gap(from: u64, to: u64, line: &mut Vec<u8>) {
    push_line(&json!({ "event": "gap", "update_from": from, "update_to": to }), line);
}

fn insert_content(fields: &mut Map<String, Value>, content: &[u8]) {
    let (name, content) = match std::str::from_utf8(content) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => ("base64", STANDARD.encode(content)),
    };
    fields.insert(name.to_owned(), Value::String(content));
}

fn push_line(value: &Value, line: &mut Vec<u8>) {
    line.extend_from_slice(value.to_string().as_bytes());
    line.push(b'\n');
}

/// About what an event takes beside its content.
const EVENT_BYTES: usize = 64;
/// About what a variable takes beside its name and value.
const VARIABLE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &Event, expected: &Value) {
        let mut line = Vec::new();
        let is_update = event.is_output();
        event.write_line(3, 1000, is_update.then_some(9), &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'), "one line");
        assert_eq!(serde_json::from_slice::<Value>(&line).expect("JSON"), *expected);
    }

    #[test]
    fn output_is_text_when_it_is_utf8_by_itself_and_base64_otherwise() {
        let output = |content: &'static [u8]| {
            Event::Output(Output { stream: "stdout", content: Bytes::from_static(content) })
        };
        check(
            &output("ä\n".as_bytes()),
            &json!({ "n": 3, "at_ms": 1000, "event": "output", "update": 9, "stream": "stdout", "text": "ä\n" }),
        );
        check(
            &output(b"\xff"),
            &json!({ "n": 3, "at_ms": 1000, "event": "output", "update": 9, "stream": "stdout", "base64": "/w==" }),
        );
    }

    #[test]
    fn log_files_and_environments_are_told_like_output() {
        let log = |content: &'static [u8]| {
            Event::Log(Log { name: "test".to_owned(), content: Bytes::from_static(content) })
        };
        check(
            &log(b"a\n"),
            &json!({ "n": 3, "at_ms": 1000, "event": "log", "update": 9, "name": "test", "text": "a\n" }),
        );
        check(
            &log(b"\xff"),
            &json!({ "n": 3, "at_ms": 1000, "event": "log", "update": 9, "name": "test", "base64": "/w==" }),
        );
        check(
            &Event::Environment(BTreeMap::from([("A".to_owned(), "b".to_owned())])),
            &json!({ "n": 3, "at_ms": 1000, "event": "environment", "update": 9, "environment": { "A": "b" } }),
        );
    }

    #[test]
    fn steps_and_outcomes_are_said_in_their_words() {
        check(&Event::Step(Step::Accepted), &json!({ "n": 3, "at_ms": 1000, "event": "accepted" }));
        check(
            &Event::Outcome(json!({ "kind": "expired" })),
            &json!({ "n": 3, "at_ms": 1000, "event": "outcome", "outcome": { "kind": "expired" } }),
        );
    }
}
