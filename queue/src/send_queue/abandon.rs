//! Giving a command up, and words that come too late to change anything.

use runnel_codec::{CommandId, Outcome, StreamFrame, UnknownReason};

use super::entry::Stage;
use super::words::SendEvent;
use super::{LocalId, SendQueue};
use crate::error::NotFound;

impl SendQueue {
    /// Gives a command up: its caller wants to know no more of it. It is `Cancelled` if it was never bound to a
    /// receiver, else `Unknown`: the receiver learns that it is settled, and whether it runs there nobody says.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or has ended.
    pub fn abandon(&mut self, id: &CommandId) -> Result<(), NotFound> {
        let local = self.local(id).ok_or(NotFound)?;
        let entry = self.entry(local).filter(|entry| entry.stage != Stage::Ending).ok_or(NotFound)?;
        let outcome = if entry.is_untouched() {
            Outcome::Cancelled
        } else {
            Outcome::Unknown(UnknownReason::Abandoned)
        };
        self.end(local, outcome);
        Ok(())
    }

    /// Something is said of a command that has ended here. An outcome does not change, but a different one is told.
    pub(super) fn handle_late(&mut self, id: LocalId, frame: StreamFrame) {
        let StreamFrame::Outcome(outcome) = frame else { return };
        let peer = &self.peers[id.peer];
        let is_news = match peer.entries.get(id.key) {
            Some(entry) => entry.was_sent && entry.outcome.as_ref() != Some(&outcome),
            None => {
                peer.numbering(self.is_durable(id.key)).settled.contains(id.key.seq) && self.is_mine(id.key)
            }
        };
        if is_news {
            self.events.push_back(SendEvent::Late { id: self.id(id), outcome });
        }
    }
}
