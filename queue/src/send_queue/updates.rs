//! Updates of commands that were sent: to a caller who follows, or kept for one who comes later.

use std::collections::VecDeque;

use bytes::Bytes;
use runnel_codec::{CommandId, Part, UpdatePolicy};

use super::entry::Entry;
use super::notes::Note;
use super::words::{SendEvent, Transmit};
use super::{LocalId, SendQueue};
use crate::body_intake::BodyIntake;
use crate::error::{NotFound, ProtocolError};

impl SendQueue {
    /// A caller follows a command whose updates are kept ([`UpdatePolicy::Store`]): those that were kept come as events,
    /// and so do all that follow, until [`unfollow`](Self::unfollow). The steps that it still takes are told.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or its updates are not kept.
    pub fn follow(&mut self, id: &CommandId) -> Result<(), NotFound> {
        if let Some(entry) = self.local(id).and_then(|id| self.entry_mut(id)) {
            entry.command.steps = true;
        }
        let Ok(entry) = self.stored_mut(id) else { return self.release_kept(id) };
        entry.is_followed = true;
        let released: Vec<_> = entry.release_updates(id).collect();
        self.events.extend(released);
        Ok(())
    }

    /// Nobody follows the command any more: its updates are kept again.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or its updates are not kept.
    pub fn unfollow(&mut self, id: &CommandId) -> Result<(), NotFound> {
        self.stored_mut(id)?.is_followed = false;
        Ok(())
    }

    /// The caller has taken updates: the receiver may write further.
    pub fn handle_updates_taken(&mut self, id: &CommandId, bytes: u64) {
        let Some(local) = self.local(id) else { return };
        let peer = &mut self.peers[local.peer];
        let Some(entry) = peer.entries.get_mut(id.key) else { return };
        let class = entry.command.class;
        let were_stored = entry.command.updates == UpdatePolicy::Store;
        let is_durable = entry.is_durable();
        let whole = if is_durable { entry.taken.take(bytes) } else { None };
        let config = &self.config;
        let offset = peer.credits.change(config, entry, |entry, left| {
            let taken = entry.update_bytes_taken.saturating_add(bytes);
            entry.update_bytes_taken = taken.min(entry.update_bytes_received);
            entry.grant_updates(config, left)
        });
        if let Some(offset) = offset {
            let (peer, key, updates) = (id.receiver.clone(), id.key, entry.updates_to_let_go());
            let result_body = entry.result_body.as_deref().map_or(0, BodyIntake::taken);
            if !is_durable {
                self.control.push_back(Transmit::Received { peer: peer.clone(), key, updates, result_body });
            }
            self.control.push_back(Transmit::Credit { peer, key, part: Part::Updates, offset });
        }
        if let Some((first, last)) = whole {
            self.note(class, Note::UpdatesTaken { id: local, first, last, were_stored });
        }
    }

    pub(super) fn handle_update(
        &mut self,
        id: LocalId,
        number: u64,
        content: Bytes,
    ) -> Result<(), ProtocolError> {
        let state = &mut self.peers[id.peer];
        let Some(entry) = state.entries.get_mut(id.key) else { return Ok(()) };
        // The last one may end beyond the credit: else one that is longer than the window would never come.
        let is_refused = entry.command.updates == UpdatePolicy::Discard || entry.has_used_credit();
        if content.is_empty() || is_refused || number != entry.updates_received + 1 {
            return Err(ProtocolError::UpdateRefused);
        }
        entry.updates_received = number;
        let config = &self.config;
        let offset = state.credits.change(config, entry, |entry, left| {
            entry.update_bytes_received += content.len() as u64;
            entry.grant_updates(config, left)
        });
        let (class, is_followed) = (entry.command.class, entry.is_followed);
        let is_stored = entry.is_durable() && entry.command.updates == UpdatePolicy::Store;
        if entry.is_durable() {
            entry.taken.came(content.clone());
        }
        if !is_followed {
            entry.kept_updates.push_back((number, content.clone()));
        }
        if let Some(offset) = offset {
            let (peer, key) = (self.peers.name(id.peer).clone(), id.key);
            self.control.push_back(Transmit::Credit { peer, key, part: Part::Updates, offset });
        }
        if is_followed {
            self.events.push_back(SendEvent::Update { id: self.id(id), number, content: content.clone() });
        }
        if is_stored {
            self.note(class, Note::Update { id, number, content });
        }
        Ok(())
    }

    /// Says on a new stream what the receiver need not keep: it may not have heard it.
    pub(super) fn say_received(&mut self, id: LocalId) {
        let Some(entry) = self.entry(id) else { return };
        let updates = entry.updates_to_let_go();
        let result_body = entry.result_body.as_deref().map_or(0, BodyIntake::taken);
        if updates > 0 || result_body > 0 {
            let (peer, key) = (self.peers.name(id.peer).clone(), id.key);
            self.control.push_back(Transmit::Received { peer, key, updates, result_body });
        }
    }

    /// Returns a command whose updates are kept until somebody follows it.
    fn stored_mut(&mut self, id: &CommandId) -> Result<&mut Entry, NotFound> {
        let entry = self.local(id).and_then(|id| self.entry_mut(id));
        let is_kept = |entry: &&mut Entry| entry.command.updates == UpdatePolicy::Store || !entry.is_followed;
        entry.filter(is_kept).ok_or(NotFound)
    }
}

/// How far the caller of a durable command has taken its updates, in whole updates.
#[derive(Debug, Default)]
pub(super) struct TakenUpdates {
    /// Updates that are taken.
    pub(super) number: u64,
    /// Bytes of these.
    pub(super) bytes: u64,
    /// Those that came after them.
    untaken: VecDeque<Bytes>,
    /// Bytes taken of the first of these.
    begun: u64,
}

impl TakenUpdates {
    /// Makes it for a command of which so much was taken.
    pub(super) fn at(number: u64, bytes: u64) -> Self {
        Self { number, bytes, ..Self::default() }
    }

    /// Returns the updates that are not taken, with their numbers.
    pub(super) fn untaken(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        (self.number + 1..).zip(&self.untaken)
    }

    /// An update came.
    pub(super) fn came(&mut self, content: Bytes) {
        self.untaken.push_back(content);
    }

    /// Bytes were taken. Returns the first and the last of the updates that are taken whole by that.
    fn take(&mut self, bytes: u64) -> Option<(u64, u64)> {
        let first = self.number + 1;
        self.begun = self.begun.saturating_add(bytes);
        while let Some(length) = self.untaken.front().map(|content| content.len() as u64)
            && length <= self.begun
        {
            self.untaken.pop_front();
            self.begun -= length;
            self.bytes += length;
            self.number += 1;
        }
        if self.untaken.is_empty() {
            // Whoever takes more than there is takes what there is.
            self.begun = 0;
        }
        (self.number >= first).then_some((first, self.number))
    }
}

impl Entry {
    /// Returns up to which update its receiver need not keep them any longer. Of a durable command it is what outlives this
    /// process, of any other what is here.
    pub(super) fn updates_to_let_go(&self) -> u64 {
        if self.is_durable() { self.updates_held } else { self.updates_received }
    }

    /// Takes the updates that were kept, as the events that they become.
    pub(super) fn release_updates(&mut self, id: &CommandId) -> impl Iterator<Item = SendEvent> {
        let kept = std::mem::take(&mut self.kept_updates);
        kept.into_iter().map(|(number, content)| SendEvent::Update { id: id.clone(), number, content })
    }
}
