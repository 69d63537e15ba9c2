//! Notes of what is to be stored: light, and in order. They become rows of the store when a batch is taken.
//!
//! What a process of the sender sent that does not outlive it leaves the same notes, of which nothing is written anywhere.

use bytes::Bytes;
use runnel_codec::{Class, Epoch, Outcome, Settled};

use super::ReceiveQueue;
use super::command::{Known, outcome_bytes};
use crate::journal::Record;
use crate::peers::{LocalId, PeerIndex};

/// Something that is to be stored before what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The handler of a command is about to be called.
    Started(LocalId),
    /// A handler has given something to be found again by.
    Token(LocalId, Bytes),
    /// A command has ended, or never will start. The only note of those whose handler was not called.
    Ended { id: LocalId, bytes: u64 },
    /// Its sender has settled these commands.
    Settled(PeerIndex, Settled),
    /// A batch has brought the journal of a sender's commands to this position.
    Position(PeerIndex, u64),
}

impl Note {
    /// Returns the sender that it concerns.
    pub(super) fn from(&self) -> PeerIndex {
        match self {
            Self::Started(id) | Self::Token(id, _) | Self::Ended { id, .. } => id.peer,
            Self::Settled(from, _) | Self::Position(from, _) => *from,
        }
    }
}

impl Record for Note {
    fn bytes(&self) -> usize {
        let content = match self {
            Self::Ended { bytes, .. } => *bytes,
            Self::Token(_, token) => token.len() as u64,
            Self::Settled(_, settled) => settled.ranges.len() as u64 * 16,
            Self::Started(..) | Self::Position(..) => 0,
        };
        // What is in memory can be counted.
        NOTE_BYTES + usize::try_from(content).unwrap_or(usize::MAX / 2)
    }

    fn can_wait(&self) -> bool {
        // Until it is stored the commands are known here, as they are for as long as a batch takes.
        matches!(self, Self::Settled(..))
    }
}

impl ReceiveQueue {
    /// Notes something of a command of this class and epoch. What does not outlive this process is remembered by being
    /// here: what waits for that happens at once.
    pub(super) fn note(&mut self, class: Class, epoch: Epoch, note: Note) {
        if self.is_durable(note.from(), epoch) {
            self.durable.push(class, note);
        } else {
            self.handle_note(note);
        }
    }

    /// Notes the end of a command. Nobody waits for that of a settled one, and it must not overtake the settling.
    pub(super) fn note_end(&mut self, id: LocalId, outcome: &Outcome) {
        let sender = Some(&self.senders[id.peer]).filter(|sender| !sender.has_settled(id.key));
        let known = sender.and_then(|sender| sender.known.get(id.key));
        let accepted = known.and_then(|known| known.accepted.as_ref());
        let class = accepted.map_or(Class::Normal, |accepted| accepted.class);
        let bytes = outcome_bytes(outcome) + known.map_or(0, |known| Known::held_bytes(known));
        self.note(class, id.key.epoch, Note::Ended { id, bytes });
    }

    /// Returns whether what a sender numbered under this epoch outlives this process here.
    pub(super) fn is_durable(&self, from: PeerIndex, epoch: Epoch) -> bool {
        self.store.is_some() && self.senders[from].store() == Some(epoch)
    }
}

/// About what the names and numbers of a row take.
const NOTE_BYTES: usize = 128;
