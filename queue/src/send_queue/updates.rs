//! Updates of commands that were sent: to a caller who follows, or kept for one who comes later.

use bytes::Bytes;
use runnel_codec::{CommandId, NodeId, Part, UpdatePolicy};

use super::SendQueue;
use super::entry::Entry;
use super::words::{SendEvent, Transmit};
use crate::body_intake::BodyIntake;
use crate::error::{NotFound, ProtocolError};

impl SendQueue {
    /// A caller follows a command whose updates are kept ([`UpdatePolicy::Store`]): those that were kept come as events,
    /// and so do all that follow, until [`unfollow`](Self::unfollow).
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or its updates are not kept.
    pub fn follow(&mut self, id: &CommandId) -> Result<(), NotFound> {
        let entry = self.stored_mut(id)?;
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
        let Some(peer) = self.peers.get_mut(&id.receiver) else { return };
        let Some(entry) = peer.entries.get_mut(&id.key) else { return };
        let config = &self.config;
        let offset = peer.credits.change(config, entry, |entry, left| {
            let taken = entry.update_bytes_taken.saturating_add(bytes);
            entry.update_bytes_taken = taken.min(entry.update_bytes_received);
            entry.grant_updates(config, left)
        });
        if let Some(offset) = offset {
            let (peer, key, updates) = (id.receiver.clone(), id.key, entry.updates_received);
            let result_body = entry.result_body.as_ref().map_or(0, BodyIntake::taken);
            self.control.push_back(Transmit::Received { peer: peer.clone(), key, updates, result_body });
            self.control.push_back(Transmit::Credit { peer, key, part: Part::Updates, offset });
        }
    }

    pub(super) fn handle_update(
        &mut self,
        peer: &NodeId,
        id: CommandId,
        number: u64,
        content: Bytes,
    ) -> Result<(), ProtocolError> {
        let Some(state) = self.peers.get_mut(peer) else { return Ok(()) };
        let Some(entry) = state.entries.get_mut(&id.key) else { return Ok(()) };
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
        if let Some(offset) = offset {
            let (peer, key) = (peer.clone(), id.key);
            self.control.push_back(Transmit::Credit { peer, key, part: Part::Updates, offset });
        }
        if entry.is_followed {
            self.events.push_back(SendEvent::Update { id, number, content });
        } else {
            entry.kept_updates.push_back((number, content));
        }
        Ok(())
    }

    fn stored_mut(&mut self, id: &CommandId) -> Result<&mut Entry, NotFound> {
        let entry = self.entry_mut(&id.receiver, id.key);
        entry.filter(|entry| entry.command.updates == UpdatePolicy::Store).ok_or(NotFound)
    }
}

impl Entry {
    /// Takes the updates that were kept, as the events that they become.
    pub(super) fn release_updates(&mut self, id: &CommandId) -> impl Iterator<Item = SendEvent> {
        let kept = std::mem::take(&mut self.kept_updates);
        kept.into_iter().map(|(number, content)| SendEvent::Update { id: id.clone(), number, content })
    }
}
