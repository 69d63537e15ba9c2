//! What is stored beside a durable command for the API of the process that finds it after a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::registry::millis;
use super::spool::BodyId;

/// What the API says of a command that its queue does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    /// When it was submitted, in milliseconds since 1970.
    pub(super) stored_ms: u64,
    /// Its deadline, from then on.
    deadline_ms: Option<u64>,
    /// For people.
    pub(super) summary: String,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// The body that was left for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<BodyId>,
    /// Its arguments were given as bytes, and so are its updates and its result, even of a type that is known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) is_raw: bool,
}

impl Label {
    pub(super) fn new(
        stored_ms: u64,
        deadline: Option<Duration>,
        summary: String,
        key: Option<String>,
        body: Option<BodyId>,
    ) -> Self {
        Self { stored_ms, deadline_ms: deadline.map(millis), summary, key, body, is_raw: false }
    }

    /// Says that the command is told of in bytes.
    pub(super) fn raw(self, is_raw: bool) -> Self {
        Self { is_raw, ..self }
    }

    /// Reads a label; `None` if it is none of ours.
    pub(super) fn read(label: &[u8]) -> Option<Self> {
        serde_json::from_slice(label).ok()
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and text can be written")
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline_ms.map(Duration::from_millis)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_back_as_it_was_written() {
        let key = Some("build 7".to_owned());
        let label = Label::new(7, Some(Duration::from_secs(2)), "make \"all\"".to_owned(), key, None);
        let label = label.raw(true);
        let read = Label::read(&label.write());
        assert_eq!(read.as_ref().and_then(Label::deadline), Some(Duration::from_secs(2)));
        assert_eq!(read, Some(label));
    }

    #[test]
    fn what_others_wrote_is_no_label() {
        assert_eq!(Label::read(b""), None);
        assert_eq!(Label::read(b"nightly build"), None);
    }
}
