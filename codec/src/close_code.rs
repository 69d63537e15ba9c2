//! Application close codes: why a link or a stream was ended by one of its nodes.
//!
//! TLS failures come before the hello and are QUIC crypto errors; these codes begin with the hello.

use std::fmt;

/// Why a node closed a link (QUIC CONNECTION_CLOSE) or aborted a stream (RESET_STREAM, STOP_SENDING).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// Nothing is wrong; the node shuts down or no longer needs the link.
    Normal,
    /// A newer link between the same nodes took over.
    Replaced,
    /// The hello did not come in time.
    HelloTimeout,
    /// The peer was silent for too long.
    Silent,
    /// The bytes do not follow the protocol.
    Malformed,
    /// A head, frame or payload is larger than allowed.
    TooLarge,
    /// A frame came where the state table does not allow it.
    UnexpectedFrame,
    /// A frame or stream kind is unknown and may not be skipped.
    UnknownKind,
    /// A head was not complete in time.
    HeadTimeout,
    /// The certificate is of another fleet.
    WrongFleet,
    /// The certificate's role is unknown or not allowed here.
    RoleRefused,
    /// The certificate names are not those of a node.
    BadIdentity,
    /// Two processes use this node's identity at once.
    DuplicateNode,
    /// The peer's store is older than what it has already shown.
    StoreRegressed,
    /// The node is overloaded; come again later.
    Overloaded,
    /// The command that this stream belongs to is detached: another stream took over.
    Detached,
    /// The stream's bytes are no longer wanted.
    Stopped,
    /// Something failed inside the node that closed.
    Internal,
}

impl CloseCode {
    const TABLE: [(Self, u32, &'static str); 18] = [
        (Self::Normal, 0x00, "normal"),
        (Self::Replaced, 0x01, "replaced"),
        (Self::HelloTimeout, 0x02, "hello-timeout"),
        (Self::Silent, 0x03, "silent"),
        (Self::Malformed, 0x10, "malformed"),
        (Self::TooLarge, 0x11, "too-large"),
        (Self::UnexpectedFrame, 0x12, "unexpected-frame"),
        (Self::UnknownKind, 0x13, "unknown-kind"),
        (Self::HeadTimeout, 0x14, "head-timeout"),
        (Self::WrongFleet, 0x20, "wrong-fleet"),
        (Self::RoleRefused, 0x21, "role-refused"),
        (Self::BadIdentity, 0x22, "bad-identity"),
        (Self::DuplicateNode, 0x23, "duplicate-node"),
        (Self::StoreRegressed, 0x24, "store-regressed"),
        (Self::Overloaded, 0x30, "overloaded"),
        (Self::Detached, 0x40, "detached"),
        (Self::Stopped, 0x41, "stopped"),
        (Self::Internal, 0x50, "internal"),
    ];

    /// Reads a code from the wire.
    pub fn from_wire(number: u64) -> Option<Self> {
        Self::TABLE.into_iter().find(|(_, wire, _)| u64::from(*wire) == number).map(|(code, ..)| code)
    }

    /// Returns the number that goes on the wire.
    pub fn to_wire(self) -> u32 {
        self.row().1
    }

    /// Returns the word that logs show.
    pub fn as_str(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, u32, &'static str) {
        Self::TABLE[self as usize]
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_row_number_and_word() {
        for (index, (code, wire, word)) in CloseCode::TABLE.into_iter().enumerate() {
            assert_eq!(code as usize, index, "the table is in the order of the enum");
            assert_eq!(CloseCode::from_wire(wire.into()), Some(code));
            assert_eq!(CloseCode::TABLE.iter().filter(|row| row.1 == wire || row.2 == word).count(), 1);
        }
    }

    #[test]
    fn the_specification_lists_every_code() {
        let specification = include_str!("../WIRE.md");
        for (_, wire, word) in CloseCode::TABLE {
            assert!(specification.contains(&format!("| {wire:#04x} | {word} |")), "{word}");
        }
    }
}
