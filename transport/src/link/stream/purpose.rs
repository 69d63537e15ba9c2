//! What a stream is for, and what follows from it: the rank of what is written, and what counts in the budget.

use runnel_codec::{Class, StreamFrame, frame_encoded_len};

/// What a stream is for. What the peer has opened it for is known once that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose {
    pub(super) role: Role,
    /// Urgent, until it is known.
    pub(super) class: Class,
    /// It was opened here.
    pub(super) is_ours: bool,
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) enum Role {
    /// The peer opened it and has not said what it is.
    Unknown,
    /// The control stream.
    Control,
    /// It carries a command.
    Command,
    /// It carries messages.
    Batch,
}

impl Purpose {
    pub(super) fn ours(role: Role, class: Class) -> Self {
        Self { role, class, is_ours: true }
    }

    pub(super) fn unknown() -> Self {
        Self { role: Role::Unknown, class: Class::Urgent, is_ours: false }
    }

    /// Returns whether the peer opened it for a command or for messages.
    pub(super) fn is_incoming_command(self) -> bool {
        matches!(self.role, Role::Command | Role::Batch) && !self.is_ours
    }

    /// Returns whether the next that comes is the head of a command or of a message, if anything comes.
    pub(super) fn expects_head(self) -> bool {
        !self.is_ours && matches!(self.role, Role::Unknown | Role::Batch)
    }

    /// Returns whether what is written to it is copied on a path that loses packets.
    pub(super) fn is_urgent_command(self) -> bool {
        self.role == Role::Command && self.class == Class::Urgent
    }

    /// Returns the rank among the link's streams of what is small: heads, answers, messages and control frames.
    pub(super) fn rank(self) -> i32 {
        self.rank_as(self.class)
    }

    /// Returns the rank of payloads, bodies and updates.
    pub(super) fn bulk_rank(self) -> i32 {
        self.rank_as(self.class.of_bulk_bytes())
    }

    fn rank_as(self, class: Class) -> i32 {
        match self.role {
            Role::Control => i32::MAX,
            _ => RANK_OF_NEW + i32::from(Class::Normal.to_wire()) - i32::from(class.to_wire()),
        }
    }

    /// Returns how many bytes of a frame count in the budget.
    pub(super) fn budgeted(self, frame: &StreamFrame) -> u64 {
        let counts = self.class != Class::Urgent || frame.is_bulk();
        if counts { frame_encoded_len(frame) as u64 } else { 0 }
    }
}

/// The rank that quinn gives a new stream. Normal commands keep it, which saves them a call.
pub(super) const RANK_OF_NEW: i32 = 0;
