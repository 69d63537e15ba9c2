//! The events of a command, as the node's API tells them. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::outcome::Outcome;

/// What is done with an event.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A piece of output.
    Output { update: u64, stream: String, name: Option<String>, content: Bytes },
    /// A record of progress of a type that the node does not know.
    Update { update: u64, content: Bytes },
    /// It has come further.
    Step,
    /// The command has ended.
    Outcome(Outcome),
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
struct Fields {
    event: String,
    update: Option<u64>,
    stream: Option<String>,
    name: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    outcome: Option<Value>,
}

impl Line {
    /// Reads an event; one that is not understood is another.
    pub(super) fn read(raw: &str) -> Self {
        serde_json::from_str::<Fields>(raw).ok().and_then(Self::of).unwrap_or(Self::Other)
    }

    fn of(fields: Fields) -> Option<Self> {
        Some(match fields.event.as_str() {
            "output" => {
                let (update, stream) = (fields.update?, fields.stream?);
                Self::Output { update, stream, name: None, content: content(fields.text, fields.base64)? }
            }
            // A file that is followed beside the output.
            "log" => {
                let (update, name) = (fields.update?, fields.name);
                Self::Output {
                    update,
                    stream: "log".to_owned(),
                    name,
                    content: content(fields.text, fields.base64)?,
                }
            }
            "update" => Self::Update { update: fields.update?, content: content(None, fields.base64)? },
            "stored" | "sent" | "accepted" | "started" => Self::Step,
            "outcome" => Self::Outcome(Outcome::read(fields.outcome?)?),
            _ => Self::Other,
        })
    }
}

fn content(text: Option<String>, base64: Option<String>) -> Option<Bytes> {
    match (text, base64) {
        (Some(text), _) => Some(text.into()),
        (None, Some(base64)) => STANDARD.decode(base64).ok().map(Bytes::from),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_what_is_done_with_them() {
        let output = Line::read(r#"{"n":5,"event":"output","update":1,"stream":"stderr","base64":"/w=="}"#);
        let content = Bytes::from_static(b"\xff");
        assert_eq!(output, Line::Output { update: 1, stream: "stderr".to_owned(), name: None, content });
        let update = Line::read(r#"{"n":5,"event":"update","update":2,"base64":"AQ=="}"#);
        assert_eq!(update, Line::Update { update: 2, content: Bytes::from_static(b"\x01") });
        assert_eq!(Line::read(r#"{"n":1,"event":"stored"}"#), Line::Step);
        for other in ["", "{}", r#"{"event":"gap","from":1,"to":2}"#, r#"{"event":"output","update":1}"#] {
            assert_eq!(Line::read(other), Line::Other, "{other}");
        }
    }
}
