//! The head: what a command's stream says first.
//!
//! The bytes are laid out by hand (see `WIRE.md`); no serializer sees them. Arguments ride in the head up to
//! [`Limits::args_bytes_max`](crate::Limits::args_bytes_max); a larger inline payload follows as a frame.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::class::Class;
use crate::error::NameError;
use crate::id::CommandKey;

/// Longest name of a command type, in bytes.
pub const COMMAND_NAME_BYTES_MAX: usize = 64;

/// Name of a command type with its version: `exec/1`. Lower-case letters, digits, `.`, `_`, `-`, then `/` and a number.
///
/// A type on the wire never changes: a new shape is a new name. Cheap to clone.
#[derive(Clone)]
pub struct CommandName(Text);

/// The text of a name: of a program's own types it is part of the program.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

/// What becomes of updates that the caller does not take at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdatePolicy {
    /// The caller takes them as they come; those not taken press back on the handler.
    #[default]
    Follow,
    /// They are kept at its sender for a caller that comes later, up to the sender's limit; beyond it they press back.
    Store,
    /// They are not sent at all.
    Discard,
}

/// Head of a command's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which command this is.
    pub key: CommandKey,
    /// Its priority.
    pub class: Class,
    /// Its type.
    pub name: CommandName,
    /// The type declares that running it again does no harm.
    pub idempotent: bool,
    /// The caller has asked for it to be cancelled.
    pub cancelled: bool,
    /// The receiver may run it only if its own journal goes on under this sender's expectation: the command was
    /// sent before, on an earlier link.
    pub resent: bool,
    /// The receiver has said that it has started: one that does not know it has lost its memory of it.
    pub started: bool,
    /// It was written before the hello was answered: it counts only at a receiver that is the one its sender expected.
    pub early: bool,
    /// What becomes of updates.
    pub updates: UpdatePolicy,
    /// Time until the deadline when this head was written, in whole milliseconds on the wire; `None`: no deadline.
    pub deadline_remaining: Option<Duration>,
    /// Updates that the sender has already: the receiver continues with the next one.
    pub updates_received: u64,
    /// Bytes of the result body that the sender has already.
    pub result_body_received: u64,
    /// How far the receiver may write the update stream, in bytes of update content since its beginning.
    pub updates_credit: u64,
    /// How far the receiver may write the result body, in bytes since its beginning.
    pub result_body_credit: u64,
    /// Bytes of the inline payload, which follows as one frame if it is not empty.
    pub payload_bytes: u32,
    /// A body follows once the command is accepted.
    pub has_body: bool,
    /// Encoded arguments.
    pub args: Bytes,
}

impl Head {
    /// Returns whether it is all that a command needs of its stream: it has no payload and no body, and its caller reads
    /// neither updates nor a body of the result. Then it may travel in a batch.
    pub fn is_message(&self) -> bool {
        self.payload_bytes == 0
            && !self.has_body
            && self.updates == UpdatePolicy::Discard
            && self.updates_credit == 0
            && self.result_body_credit == 0
    }
}

impl UpdatePolicy {
    const ALL: [Self; 3] = [Self::Follow, Self::Store, Self::Discard];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}

impl CommandName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// Makes a name of a text that the program has, without an allocation.
    ///
    /// # Errors
    ///
    /// [`NameError::NotACommandName`] when it is none.
    pub fn from_static(name: &'static str) -> Result<Self, NameError> {
        Self::check(name).map(|()| Self(Text::Static(name)))
    }

    fn check(name: &str) -> Result<(), NameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let Some((stem, version)) = name.split_once('/') else {
            return Err(NameError::NotACommandName);
        };
        let stem_is_valid = !stem.is_empty() && stem.bytes().all(allowed);
        let version_is_valid = !version.is_empty()
            && version.len() <= 5
            && !version.starts_with('0')
            && version.bytes().all(|byte| byte.is_ascii_digit());
        if name.len() > COMMAND_NAME_BYTES_MAX || !stem_is_valid || !version_is_valid {
            return Err(NameError::NotACommandName);
        }
        Ok(())
    }
}

impl FromStr for CommandName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::check(name).map(|()| Self(Text::Shared(name.into())))
    }
}

impl PartialEq for CommandName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CommandName {}

impl PartialOrd for CommandName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CommandName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for CommandName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_of_the_program_is_that_of_the_wire() {
        let (own, read) = (CommandName::from_static("exec/1").unwrap(), "exec/1".parse().unwrap());
        assert_eq!(own, read);
        assert_eq!(own.cmp(&read), Ordering::Equal);
        assert!(BTreeSet::from([own]).contains(&read));
        assert_eq!(CommandName::from_static("exec"), Err(NameError::NotACommandName));
    }

    #[test]
    fn command_names_end_in_a_version() {
        for name in ["exec/1", "fs.put/12", "a_b-c.d/99999"] {
            assert_eq!(name.parse::<CommandName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["exec", "exec/", "/1", "exec/0", "exec/01", "Exec/1", "exec/1/2", "exec/123456"] {
            assert_eq!(name.parse::<CommandName>(), Err(NameError::NotACommandName), "{name}");
        }
    }
}
