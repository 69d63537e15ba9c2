//! Which stream of a link is meant.

use std::fmt;

use quinn::VarInt;

use crate::link::openings::Pair;

/// Number of a stream within its link, as in QUIC (RFC 9000, section 2.1). Later streams of a side have larger ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// Reads a number from the wire.
    pub fn from_wire(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number that goes on the wire.
    pub fn to_wire(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the number that QUIC gave a stream.
pub(in crate::link) fn id_of((send, _): &Pair) -> StreamId {
    StreamId(VarInt::from(send.id()).into_inner())
}
