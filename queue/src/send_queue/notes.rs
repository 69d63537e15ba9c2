//! Notes of what is to be stored: light, and in order. They become rows of the store when a batch is taken.
//!
//! Commands that do not outlive the process leave the same notes, of which nothing is written anywhere.

use bytes::Bytes;
use runnel_codec::{Class, CommandKey, Epoch};

use super::{LocalId, SendQueue};
use crate::journal::Record;

/// Something that is to be stored before what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A command is in the queue.
    Stored { id: LocalId, bytes: u64 },
    /// It is bound to the epoch of its receiver: from now on it may have left.
    Bound { id: LocalId, receiver: Epoch },
    /// Its caller wants it cancelled.
    Cancelled(LocalId),
    /// An update came that is kept.
    Update { id: LocalId, number: u64, content: Bytes },
    /// Updates from one number to another have been taken. If they were stored, their rows go.
    UpdatesTaken { id: LocalId, first: u64, last: u64, were_stored: bool },
    /// It has ended.
    Ended(LocalId),
    /// Its outcome has been taken.
    OutcomeTaken(LocalId),
    /// Nothing of it is kept any longer; these updates were.
    Forgotten { id: LocalId, updates: (u64, u64) },
}

impl Note {
    /// Returns the command that it concerns.
    fn id(&self) -> LocalId {
        match self {
            Self::Stored { id, .. }
            | Self::Bound { id, .. }
            | Self::Cancelled(id)
            | Self::Update { id, .. }
            | Self::UpdatesTaken { id, .. }
            | Self::Ended(id)
            | Self::OutcomeTaken(id)
            | Self::Forgotten { id, .. } => *id,
        }
    }
}

impl Record for Note {
    fn bytes(&self) -> usize {
        let content = match self {
            // What is in memory can be counted.
            Self::Stored { bytes, .. } => usize::try_from(*bytes).unwrap_or(usize::MAX / 2),
            Self::Update { content, .. } => content.len(),
            _ => 0,
        };
        NOTE_BYTES + content
    }

    fn can_wait(&self) -> bool {
        // Until it is stored the outcome would be told once more after a crash, as it is for as long as a batch takes.
        matches!(self, Self::OutcomeTaken(_) | Self::Forgotten { .. })
    }
}

impl SendQueue {
    /// Notes something of a command of this class. What does not outlive this process is remembered by being here: what
    /// waits for that happens at once.
    pub(super) fn note(&mut self, class: Class, note: Note) {
        if self.is_durable(note.id().key) {
            self.durable.push(class, note);
        } else {
            self.handle_note(None, note);
        }
    }

    /// Returns whether a command outlives this process. One that ended under an older epoch of the store does too.
    pub(super) fn is_durable(&self, key: CommandKey) -> bool {
        self.store.is_some() && key.epoch != self.boot
    }

    /// Returns whether a command was numbered by this process or its store.
    pub(super) fn is_mine(&self, key: CommandKey) -> bool {
        key.epoch == self.boot || Some(key.epoch) == self.store
    }
}

/// About what the names and numbers of a row take.
const NOTE_BYTES: usize = 192;
