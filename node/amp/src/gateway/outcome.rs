//! How a command ended, as a program hears it. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;
use crate::amp_box::AmpBox;
use crate::value::integer;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Outcome {
    kind: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
    reason: Option<String>,
    message: Option<String>,
    result: Option<Value>,
    result_base64: Option<String>,
}

impl Outcome {
    pub(super) fn read(outcome: Value) -> Option<Self> {
        serde_json::from_value(outcome).ok()
    }

    /// Returns the result: JSON, or the bytes of a type that the node does not know; `None` if there is none.
    pub(super) fn result(&self) -> Option<Bytes> {
        if let Some(base64) = &self.result_base64 {
            return STANDARD.decode(base64).ok().map(Bytes::from);
        }
        let is_done = self.kind == "done";
        is_done.then(|| self.result.as_ref().unwrap_or(&Value::Null).to_string().into())
    }

    /// Says all but the result.
    pub(super) fn to_box(&self, id: &str) -> AmpBox {
        AmpBox::new()
            .with("id", id.to_owned())
            .with("kind", self.kind.clone())
            .with_some("exit_code", self.exit_code.map(integer))
            .with_some("signal", self.signal.map(integer))
            .with_some("reason", self.reason.clone())
            .with_some("message", self.message.as_deref().map(|message| cut(message).to_owned()))
    }

    /// Answers the result to a program that waited for it.
    ///
    /// # Errors
    ///
    /// Every outcome but `done`: its kind is the code.
    pub(super) fn answer(self, id: &str) -> Result<AmpBox, Refusal> {
        if self.kind == "done" {
            let result = self.result().unwrap_or_default();
            return Ok(AmpBox::new().with("id", id.to_owned()).with("result", result));
        }
        let why = [self.reason, self.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let why = if why.is_empty() { format!("{id} is {}", self.kind) } else { format!("{why} ({id})") };
        Err(Refusal::new(self.kind, why))
    }
}

/// Cuts a message between two characters.
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

/// Longest message of an outcome, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(outcome: Value) -> Outcome {
        Outcome::read(outcome).expect("an outcome")
    }

    #[test]
    fn a_result_is_json_or_bytes() {
        let typed =
            read(json!({ "kind": "done", "exit_code": 3, "signal": null, "result": { "cause": "natural" } }));
        assert_eq!(typed.result().as_deref(), Some(&br#"{"cause":"natural"}"#[..]));
        let said = AmpBox::new().with("id", "a").with("kind", "done").with("exit_code", "3");
        assert_eq!(typed.to_box("a"), said);
        let raw = read(json!({ "kind": "done", "result_base64": "AP8=" }));
        assert_eq!(raw.result().as_deref(), Some(&b"\0\xff"[..]));
        let nothing = read(json!({ "kind": "done", "result": null }));
        assert_eq!(nothing.result().as_deref(), Some(&b"null"[..]), "of fs.stat");
        assert_eq!(read(json!({ "kind": "expired" })).result(), None);
    }

    #[test]
    fn who_waits_hears_of_a_failure_as_an_error() {
        let failed = read(json!({ "kind": "failed", "reason": "handler", "message": "no such file" }));
        assert_eq!(failed.answer("a"), Err(Refusal::new("failed", "handler: no such file (a)")));
        assert_eq!(
            read(json!({ "kind": "expired" })).answer("a"),
            Err(Refusal::new("expired", "a is expired"))
        );
        let done = read(json!({ "kind": "done", "result": { "number": 7 } })).answer("a");
        assert_eq!(done, Ok(AmpBox::new().with("id", "a").with("result", "{\"number\":7}")));
    }
}
