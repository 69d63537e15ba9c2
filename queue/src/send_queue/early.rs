//! Sending behind a hello that is not answered: to a peer that is presumed to be what it was.
//!
//! A command is bound before its first byte leaves, so without the answer it can only be bound to what was met before. The
//! receiver takes such heads only if it still is that, and says what it is in its answer: then all goes on, or what was
//! sent early was sent to nobody.

use std::time::Instant;

use runnel_codec::{CommandKey, NodeId};

use super::SendQueue;
use super::entry::{Entry, Stage};
use super::peer::LinkUp;

/// What was known of a command before its head was written early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BeforeEarly {
    was_sent: bool,
    may_be_known: bool,
}

impl SendQueue {
    /// A hello is on its way to a peer, which is presumed to be what it was: `up` is the link before this one. What is sent
    /// until the answer is written with heads that say so.
    ///
    /// Either [`handle_link_answered`](Self::handle_link_answered) follows or
    /// [`handle_link_down`](Self::handle_link_down).
    pub fn presume_link_up(&mut self, peer: &NodeId, up: LinkUp) {
        self.handle_link_up(peer, up);
        if let Some(state) = self.peers.get_mut(peer) {
            state.is_presumed = true;
        }
    }

    /// The hello is answered. Returns whether the peer is what it was presumed to be; if not, what was sent early does not
    /// count and is sent again.
    pub fn handle_link_answered(&mut self, peer: &NodeId, up: LinkUp) -> bool {
        let Some(state) = self.peers.get_mut(peer) else { return false };
        let is_as_presumed = state
            .link
            .as_ref()
            .is_some_and(|presumed| (presumed.boot, presumed.receiver) == (up.boot, up.receiver));
        if !is_as_presumed {
            self.recall(peer);
            self.handle_link_up(peer, up);
            return false;
        }
        if up.receiver.is_some() && state.journaled != up.journaled {
            state.journaled = up.journaled;
            self.stale_rows.insert(peer.clone());
        }
        state.link = Some(up);
        self.end_presumption(peer);
        true
    }

    /// The peer takes nothing of what was sent early, and nothing else for now.
    pub fn handle_early_refused(&mut self, now: Instant, peer: &NodeId) {
        self.recall(peer);
        self.handle_link_down(now, peer);
    }

    /// From now on a link is what it says, or there is none. Returns whether it was presumed.
    pub(super) fn end_presumption(&mut self, peer: &NodeId) -> bool {
        let Some(state) = self.peers.get_mut(peer) else { return false };
        let was_presumed = std::mem::take(&mut state.is_presumed);
        if was_presumed {
            state.entries.values_mut().for_each(|entry| entry.before_early = None);
        }
        was_presumed
    }

    /// What was sent early has reached nobody, and never will.
    fn recall(&mut self, peer: &NodeId) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.is_presumed = false;
        let recall = |(key, entry): (CommandKey, &mut Box<Entry>)| entry.recall().then_some(key);
        let recalled: Vec<_> = state.entries.iter_mut().filter_map(recall).collect();
        for key in recalled {
            self.put_in_line(peer, key, true);
        }
    }
}

impl Entry {
    /// Its head is about to be written early.
    pub(super) fn note_early(&mut self) {
        let before = BeforeEarly { was_sent: self.was_sent, may_be_known: self.may_be_known };
        self.before_early.get_or_insert(before);
    }

    /// Its early head, if it has one, does not count. Returns whether it is to be sent again.
    fn recall(&mut self) -> bool {
        let Some(before) = self.before_early.take() else { return false };
        (self.was_sent, self.may_be_known) = (before.was_sent, before.may_be_known);
        let is_sent = self.stage == Stage::Sent;
        if is_sent {
            self.stage = Stage::Waiting;
        }
        is_sent
    }
}
