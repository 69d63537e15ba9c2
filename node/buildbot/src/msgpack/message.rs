//! The envelopes: what is asked and what is answered.

use super::read::{ReadError, read};
use super::write::{WriteError, write};
use crate::jelly::Value;
use crate::limits::Limits;

/// A message of either side.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// Something is asked.
    Request {
        /// The asker's own count.
        number: i64,
        op: String,
        /// A map, with the above in it when it was read.
        fields: Value,
    },
    /// It is answered, with a result or with the text of an exception.
    Answer { number: i64, result: Result<Value, String> },
}

/// Why a message is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MessageError {
    Unreadable(ReadError),
    /// It is not built as it should be.
    Malformed(&'static str),
}

impl Message {
    pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, MessageError> {
        let message = read(bytes, limits).map_err(MessageError::Unreadable)?;
        let text = |name: &str| message.get(name).and_then(Value::as_text);
        let number = message.get("seq_number").and_then(Value::as_int);
        let (Some(number), Some(op)) = (number, text("op")) else {
            return Err(MessageError::Malformed("message without seq_number or op"));
        };
        if op != "response" {
            let op = op.to_owned();
            return Ok(Self::Request { number, op, fields: message });
        }
        // That the key is there is what makes it an exception.
        let result = match (message.get("is_exception"), message.get("result")) {
            (None, result) => Ok(result.cloned().unwrap_or_default()),
            (Some(_), _) => Err(text("result").unwrap_or("an exception without a text").to_owned()),
        };
        Ok(Self::Answer { number, result })
    }

    pub(super) fn write(self) -> Result<Vec<u8>, WriteError> {
        let pair = |name: &str, value: Value| (name.into(), value);
        let (number, op, mut pairs) = match self {
            Self::Request { number, op, fields: Value::Dict(pairs) } => (number, op, pairs),
            Self::Request { .. } => return Err(WriteError),
            Self::Answer { number, result } => {
                let pairs = match result {
                    Ok(value) => vec![pair("result", value)],
                    Err(text) => vec![pair("result", text.into()), pair("is_exception", Value::Bool(true))],
                };
                (number, "response".to_owned(), pairs)
            }
        };
        pairs.extend([pair("op", op.into()), pair("seq_number", Value::Int(number))]);
        write(&Value::Dict(pairs))
    }
}
