//! Jelly: how values of Python are written as lists of strings and numbers.
//!
//! What may be read is a list of types, and nothing else is made of what a peer says: no class is looked up, no module
//! loaded. A message is a tree here; where the peer refers twice to one value both places get a copy, and a value that
//! contains itself is refused. No document specifies it but what Twisted does: `PB.md` has the subset, `vectors/` its
//! bytes.

mod failure;
mod read;
mod size;
mod write;

use bytes::Bytes;

use crate::banana::LongInt;
use crate::ids::{ObjectId, RemoteId};

pub use self::failure::Failure;
pub(crate) use self::read::Reader;
pub use self::read::{JellyError, read};
pub(crate) use self::write::Writer;
pub use self::write::write;

/// A value of Python that the protocol needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` that fits.
    Int(i64),
    /// An `int` that does not.
    Long(LongInt),
    /// A `float`.
    Float(f64),
    /// A `bytes`.
    Bytes(Bytes),
    /// A `str`.
    Text(String),
    /// A `list`.
    List(Vec<Value>),
    /// A `tuple`.
    Tuple(Vec<Value>),
    /// A `dict` in its order. Of equal keys the last one counts.
    Dict(Vec<(Value, Value)>),
    /// A `set` or, when read, a `frozenset`, in no order.
    Set(Vec<Value>),
    /// An object of this side: given to the peer, or come back from it.
    Object(ObjectId),
    /// An object of the peer: come from it, or given back to it.
    Remote(RemoteId),
    /// An exception of Python with what is known of it.
    Failure(Box<Failure>),
}

impl Value {
    /// Returns what a `dict` has under a key, which may be a `str` or a `bytes`.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(pairs) = self else {
            return None;
        };
        pairs.iter().rev().find(|(found, _)| found.as_text() == Some(key)).map(|(_, value)| value)
    }

    /// Returns the text of a `str`, or of a `bytes` that is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns an `int` that fits.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns every reference to an object of the peer in here, as often as it occurs.
    pub fn remotes(&self) -> Vec<RemoteId> {
        let mut remotes = Vec::new();
        let mut rest = vec![self];
        while let Some(value) = rest.pop() {
            match value {
                Self::Remote(remote) => remotes.push(*remote),
                Self::List(values) | Self::Tuple(values) | Self::Set(values) => rest.extend(values),
                Self::Dict(pairs) => rest.extend(pairs.iter().flat_map(|(key, value)| [key, value])),
                _ => {}
            }
        }
        remotes
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<i128> for Value {
    fn from(value: i128) -> Self {
        match i64::try_from(value) {
            Ok(value) => Self::Int(value),
            Err(_) => Self::Long(LongInt::from_wide(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dict_is_asked_by_text_and_its_last_pair_counts() {
        let pair = |key: Value, value| (key, Value::Int(value));
        let dict = Value::Dict(vec![
            pair("a".into(), 1),
            pair(Value::Bytes(Bytes::from_static(b"b")), 2),
            pair("a".into(), 3),
            pair(Value::Int(4), 4),
        ]);
        assert_eq!(dict.get("a"), Some(&Value::Int(3)));
        assert_eq!(dict.get("b").and_then(Value::as_int), Some(2));
        assert_eq!(dict.get("c"), None);
        assert_eq!(Value::None.get("a"), None);
    }

    #[test]
    fn references_are_found_wherever_they_are() {
        let remote = |number| Value::Remote(RemoteId::from_wire(number));
        let value = Value::Tuple(vec![
            remote(1),
            Value::Dict(vec![("writer".into(), Value::List(vec![remote(2), Value::None]))]),
            Value::Set(vec![remote(1)]),
        ]);
        let mut found: Vec<_> = value.remotes().into_iter().map(RemoteId::to_wire).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 1, 2]);
    }
}
