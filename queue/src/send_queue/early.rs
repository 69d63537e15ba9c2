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
use crate::peers::{LocalId, PeerIndex};

/// What was known of a command before its head was written early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BeforeEarly {
    was_sent: bool,
    may_be_known: bool,
}

/// What is presumed of a peer whose answer to the hello is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presumed {
    /// It is what it was, with its journal.
    Unchanged,
    /// It is a process that has said so; of its journal nothing is known, so nothing durable is sent.
    Process,
}

impl SendQueue {
    /// A hello is on its way to a peer, and its answer is presumed: `up` is the link before this one, or what the peer has
    /// said of itself. What is sent until the answer is to be written with heads that say so. The receiver refuses what it
    /// does not understand.
    ///
    /// Either [`handle_link_answered`](Self::handle_link_answered) follows or
    /// [`handle_link_down`](Self::handle_link_down).
    pub fn presume_link_up(&mut self, peer: &NodeId, up: LinkUp, presumed: Presumed) {
        self.handle_link_up(peer, up);
        let peer = self.peers.meet(peer);
        self.peers[peer].presumed = Some(presumed);
    }

    /// The hello is answered. Returns whether the peer is what it was presumed to be; if not, what was sent early does not
    /// count and is sent again.
    pub fn handle_link_answered(&mut self, peer: &NodeId, up: LinkUp) -> bool {
        let Some(index) = self.peers.find(peer) else { return false };
        let state = &mut self.peers[index];
        let is_as_presumed = match (&state.link, state.presumed) {
            (Some(link), Some(Presumed::Unchanged)) => (link.boot, link.receiver) == (up.boot, up.receiver),
            (Some(link), Some(Presumed::Process)) => link.boot == up.boot,
            _ => false,
        };
        if !is_as_presumed {
            self.recall(index);
            self.handle_link_up(peer, up);
            return false;
        }
        if up.receiver.is_some() && (state.receiver, state.journaled) != (up.receiver, up.journaled) {
            (state.receiver, state.journaled) = (up.receiver, up.journaled);
            self.stale_rows.insert(index);
        }
        state.link = Some(up);
        self.end_presumption(index);
        true
    }

    /// The peer takes nothing of what was sent early, and nothing else for now.
    pub fn handle_early_refused(&mut self, now: Instant, peer: &NodeId) {
        if let Some(index) = self.peers.find(peer) {
            self.recall(index);
        }
        self.handle_link_down(now, peer);
    }

    /// From now on a link is what it says, or there is none. Returns whether it was presumed.
    pub(super) fn end_presumption(&mut self, peer: PeerIndex) -> bool {
        let state = &mut self.peers[peer];
        let was_presumed = state.presumed.take().is_some();
        if was_presumed {
            state.entries.values_mut().for_each(|entry| entry.before_early = None);
            self.begin_durable(peer);
        }
        was_presumed
    }

    /// Puts durable commands in line that had their turn before they could be bound.
    fn begin_durable(&mut self, peer: PeerIndex) {
        let state = &self.peers[peer];
        let is_passed_over = |entry: &Entry| {
            entry.is_durable() && entry.stage == Stage::Waiting && entry.is_here_alone() && !entry.is_in_line
        };
        let passed_over = state.entries.iter().filter(|(_, entry)| is_passed_over(entry));
        for key in passed_over.map(|(key, _)| key).collect::<Vec<_>>() {
            self.put_in_line(LocalId { peer, key }, false);
        }
    }

    /// What was sent early has reached nobody, and never will.
    fn recall(&mut self, peer: PeerIndex) {
        let state = &mut self.peers[peer];
        state.presumed = None;
        let recall = |(key, entry): (CommandKey, &mut Box<Entry>)| entry.recall().then_some(key);
        let recalled: Vec<_> = state.entries.iter_mut().filter_map(recall).collect();
        for key in recalled {
            self.put_in_line(LocalId { peer, key }, true);
        }
        self.begin_durable(peer);
    }
}

/// Returns whether it is known to what a command would be bound on a link that is presumed to be this.
pub(super) fn may_bind(presumed: Option<Presumed>, is_durable: bool) -> bool {
    !(is_durable && presumed == Some(Presumed::Process))
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
