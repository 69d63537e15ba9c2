//! The names of things: nodes, fleets, epochs, commands, links.
//!
//! Every identifier is parsed at the edge and trusted inside. None of them can be made from a bare number by
//! accident, and `Display` gives what logs, the command line and `$RUNNEL_ID` show.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::NameError;

/// Longest name of a node or fleet, in bytes: one DNS label (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 63;

/// Name of a node, unique within its fleet: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
///
/// Cheap to clone.
#[derive(Clone, Eq)]
pub struct NodeId(Arc<str>);

/// Name of a fleet: the same rule as [`NodeId`].
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetId(Arc<str>);

/// Random id of a store or a process. A new one means that what the old one remembered is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(NonZeroU64);

/// Position of a command among those that one sender epoch addressed to one receiver. Starts at 1, never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(NonZeroU64);

/// Number of a link between two nodes. A link replaces every link of a lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkNumber(NonZeroU64);

/// What names a command between two nodes that know which of them sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandKey {
    /// Epoch of the sender that numbered the command.
    pub epoch: Epoch,
    /// Its number among the commands of that epoch to that receiver.
    pub seq: Seq,
}

/// The whole name of a command, the same everywhere in a fleet.
///
/// Shown as `sender.receiver.epoch.seq`, the epoch in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId {
    /// The node that sent it.
    pub sender: NodeId,
    /// The node that it is for.
    pub receiver: NodeId,
    /// Its name between the two.
    pub key: CommandKey,
}

impl NodeId {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FleetId {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Epoch {
    /// Makes an epoch of a random number; 0 is mapped to 1, since 0 means "none" on the wire.
    pub fn from_random(random: u64) -> Self {
        Self(NonZeroU64::new(random).unwrap_or(NonZeroU64::MIN))
    }

    /// Reads an epoch from the wire, where 0 means "none".
    pub fn from_wire(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Returns the number that goes on the wire.
    pub fn to_wire(self) -> u64 {
        self.0.get()
    }
}

impl Seq {
    /// The first number of an epoch.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The last number of an epoch.
    pub const LAST: Self = Self(NonZeroU64::MAX);

    /// Reads a number from the wire; 0 is not one.
    pub fn from_wire(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Returns the number that goes on the wire.
    pub fn to_wire(self) -> u64 {
        self.0.get()
    }

    /// Returns the following number, or `None` once the space is used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl LinkNumber {
    /// The number of the first link between two nodes that never met.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Reads a number from the wire; 0 is not one.
    pub fn from_wire(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Returns the number that goes on the wire.
    pub fn to_wire(self) -> u64 {
        self.0.get()
    }

    /// Returns the following number, or `None` once the space is used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

// Nearly all comparisons are of a name with a clone of itself: those need no look at the text.

impl PartialEq for NodeId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for NodeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check_name(name).map(|()| Self(name.into()))
    }
}

impl FromStr for FleetId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check_name(name).map(|()| Self(name.into()))
    }
}

impl FromStr for CommandId {
    type Err = NameError;

    fn from_str(id: &str) -> Result<Self, NameError> {
        let mut parts = id.split('.');
        let (Some(sender), Some(receiver), Some(epoch), Some(seq), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NameError::NotACommandId);
        };
        let epoch = u64::from_str_radix(epoch, 16).ok().and_then(Epoch::from_wire);
        let seq = seq.parse().ok().and_then(Seq::from_wire);
        let (Some(epoch), Some(seq)) = (epoch, seq) else {
            return Err(NameError::NotACommandId);
        };
        Ok(Self { sender: sender.parse()?, receiver: receiver.parse()?, key: CommandKey { epoch, seq } })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LinkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.sender, self.receiver, self.key)
    }
}

fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(NameError::Length { len: name.len() });
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some(position) = name.bytes().position(|byte| !allowed(byte)) {
        return Err(NameError::Character { position });
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(NameError::Hyphen);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<(), NameError>) {
        assert_eq!(name.parse::<NodeId>().map(|_| ()), expected, "{name:?}");
    }

    #[test]
    fn names_are_single_dns_labels() {
        check("w1", Ok(()));
        check("a-b", Ok(()));
        check(&"x".repeat(63), Ok(()));
        check("", Err(NameError::Length { len: 0 }));
        check(&"x".repeat(64), Err(NameError::Length { len: 64 }));
        check("Worker", Err(NameError::Character { position: 0 }));
        check("a.b", Err(NameError::Character { position: 1 }));
        check("-a", Err(NameError::Hyphen));
        check("a-", Err(NameError::Hyphen));
    }

    #[test]
    fn command_ids_read_back_what_they_show() {
        let text = "ctl.w1.00000000000000ff.42";
        let id: CommandId = text.parse().expect("a valid id");
        assert_eq!(id.to_string(), text);
        assert_eq!(id.key.epoch.to_wire(), 255);
        assert!("ctl.w1.0.42".parse::<CommandId>().is_err(), "epoch 0 means none");
        assert!("ctl.w1.ff".parse::<CommandId>().is_err());
        assert!("ctl.w1.ff.1.2".parse::<CommandId>().is_err());
    }

    #[test]
    fn the_last_seq_has_no_successor() {
        let last = Seq::from_wire(u64::MAX).expect("not zero");
        assert_eq!(last.next(), None);
        assert_eq!(Seq::FIRST.next().map(Seq::to_wire), Some(2));
    }
}
