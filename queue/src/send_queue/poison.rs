//! Commands that may be what takes their receivers down.
//!
//! A receiver that comes back as another process has lost its memory of what it was sent. What may have started there
//! is `Unknown`; only an idempotent command of whose run nothing has come back is sent again, and not for ever. A head
//! after which one link after the other dies without an answer is held back: it may be the reason.

use runnel_codec::{CommandId, UnknownReason};

use super::entry::{Entry, Stage};
use super::words::SendEvent;
use super::{LocalId, SendQueue};
use crate::config::SendQueueConfig;
use crate::error::NotFound;
use crate::peers::PeerIndex;

impl SendQueue {
    /// Sends a command again that is held back because links died after its head.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or not held back.
    pub fn release(&mut self, id: &CommandId) -> Result<(), NotFound> {
        let local = self.local(id).ok_or(NotFound)?;
        let entry = self.entry_mut(local).filter(|entry| entry.is_held).ok_or(NotFound)?;
        entry.is_held = false;
        entry.links_died = 0;
        self.put_in_line(local, true);
        Ok(())
    }

    /// The link to a peer has died, with heads on it that were not answered.
    pub(super) fn lose_heads(&mut self, peer: PeerIndex) {
        let mut held = Vec::new();
        for (key, entry) in
            self.peers[peer].entries.iter_mut().filter(|(_, entry)| entry.stage == Stage::Sent)
        {
            entry.links_died = entry.links_died.saturating_add(1);
            if entry.links_died >= self.config.links_died_max.get() {
                entry.is_held = true;
                held.push(key);
            }
        }
        for key in held {
            self.events.push_back(SendEvent::Held(self.id(LocalId { peer, key })));
        }
    }
}

impl Entry {
    /// Its receiver is another process now and knows nothing of it. Makes it as if it had not been bound, or says why it
    /// ends.
    pub(super) fn lose_receiver(&mut self, config: &SendQueueConfig) -> Result<(), UnknownReason> {
        if self.may_be_known {
            if !self.command.idempotent || self.is_cancelled || self.has_progress() {
                return Err(UnknownReason::ReceiverStateLost);
            }
            self.runs += 1;
            if self.runs >= config.idempotent_runs_max.get() {
                return Err(UnknownReason::Poisoned);
            }
            (self.was_sent, self.may_be_known) = (false, false);
            self.stage = Stage::Waiting;
            self.resend_at = None;
            self.is_held = false;
            self.answered();
        }
        if let Some(body) = &mut self.body {
            body.reader = None;
        }
        self.bound = None;
        self.has_started = false;
        Ok(())
    }

    /// Returns whether nobody but this node can ever have known of it.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_here_alone() && self.runs == 0
    }

    /// Returns whether anything of a run has come back or gone there that a second run would need anew.
    fn has_progress(&mut self) -> bool {
        let has_result = self.result_body.as_mut().is_some_and(|intake| intake.offsets().0 > 0);
        has_result || self.updates_received > 0 || (self.command.has_body && !self.command.body_repeats)
    }
}
