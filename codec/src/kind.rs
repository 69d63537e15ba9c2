//! The numbers of streams and frames on the wire, in one table.
//!
//! Frames that a receiver may skip have even kinds, all others odd ones. Version 1 has no even kind. Numbers are
//! unique over all streams, so that a frame on the wrong stream is told from an unknown one.

use crate::frame::StreamKind;

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Payload,
    Body,
    BodyEnd,
    Accepted,
    Started,
    Update,
    ResultBody,
    ResultBodyEnd,
    Outcome,
    Busy,
    Stale,
    Duplicate,
    Hello,
    HelloAnswer,
    Heartbeat,
    Cancel,
    Settled,
    Taken,
    StreamEnded,
    Credit,
    Received,
    GoAway,
    Message,
    Reached,
    Ended,
}

impl FrameKind {
    const TABLE: [(Self, u8, &'static str); 25] = [
        (Self::Payload, 0x05, "Payload"),
        (Self::Body, 0x07, "Body"),
        (Self::BodyEnd, 0x09, "BodyEnd"),
        (Self::Accepted, 0x0b, "Accepted"),
        (Self::Started, 0x0d, "Started"),
        (Self::Update, 0x0f, "Update"),
        (Self::ResultBody, 0x11, "ResultBody"),
        (Self::ResultBodyEnd, 0x13, "ResultBodyEnd"),
        (Self::Outcome, 0x15, "Outcome"),
        (Self::Busy, 0x17, "Busy"),
        (Self::Stale, 0x19, "Stale"),
        (Self::Duplicate, 0x1b, "Duplicate"),
        (Self::Hello, 0x21, "Hello"),
        (Self::HelloAnswer, 0x23, "HelloAnswer"),
        (Self::Heartbeat, 0x25, "Heartbeat"),
        (Self::Cancel, 0x27, "Cancel"),
        (Self::Settled, 0x29, "Settled"),
        (Self::Taken, 0x2b, "Taken"),
        (Self::StreamEnded, 0x2d, "StreamEnded"),
        (Self::Credit, 0x2f, "Credit"),
        (Self::Received, 0x31, "Received"),
        (Self::GoAway, 0x33, "GoAway"),
        (Self::Message, 0x37, "Message"),
        (Self::Reached, 0x39, "Reached"),
        (Self::Ended, 0x3b, "Ended"),
    ];

    /// Reads a kind from the wire.
    pub(crate) fn from_wire(number: u64) -> Option<Self> {
        Self::TABLE.into_iter().find(|(_, wire, _)| u64::from(*wire) == number).map(|(kind, ..)| kind)
    }

    /// Returns the number that goes on the wire.
    pub(crate) fn to_wire(self) -> u64 {
        Self::TABLE[self as usize].1.into()
    }

    /// Returns the name that errors show.
    pub(crate) fn as_str(self) -> &'static str {
        Self::TABLE[self as usize].2
    }
}

impl StreamKind {
    const ALL: [Self; 3] = [Self::Control, Self::Command, Self::Batch];

    /// Reads a kind from the wire.
    pub(crate) fn from_wire(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == number)
    }

    /// Returns the number that goes on the wire.
    pub(crate) fn to_wire(self) -> u64 {
        match self {
            Self::Control => 0x01,
            Self::Command => 0x03,
            Self::Batch => 0x35,
        }
    }
}

/// Returns whether whoever does not know this kind may skip it.
pub(crate) fn is_skippable(kind: u64) -> bool {
    kind.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_odd_number_of_one_byte() {
        for (index, (kind, wire, name)) in FrameKind::TABLE.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "the table is in the order of the enum");
            assert_eq!(FrameKind::from_wire(wire.into()), Some(kind));
            assert_eq!(FrameKind::TABLE.iter().filter(|row| row.1 == wire || row.2 == name).count(), 1);
            assert!(!is_skippable(wire.into()) && wire < 0x40, "{name}");
            assert_eq!(StreamKind::from_wire(wire.into()), None, "{name}");
        }
    }

    #[test]
    fn the_specification_lists_every_kind() {
        let specification = include_str!("../WIRE.md");
        for (_, wire, name) in FrameKind::TABLE {
            assert!(specification.contains(&format!("| {wire:#04x} | {name} |")), "{name}");
        }
        for kind in StreamKind::ALL {
            assert!(specification.contains(&format!("| {:#04x} | {kind:?} |", kind.to_wire())), "{kind:?}");
        }
    }
}
