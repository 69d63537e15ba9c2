//! What becomes of a command that is running: what its handler says, and what its sender wants and holds of that.

use bytes::Bytes;
use runnel_codec::{CommandKey, NodeId, Outcome, Part, UpdatePolicy};

use super::ReceiveQueue;
use super::command::State;
use super::notes::Note;
use crate::peers::LocalId;

impl ReceiveQueue {
    /// The sender lets a part of a command be written further.
    pub fn handle_credit(&mut self, peer: &NodeId, key: CommandKey, part: Part, offset: u64) {
        let Some(id) = self.local(peer, key) else { return };
        let Some(known) = self.known_mut(id) else { return };
        match (part, &mut known.result_body) {
            (Part::Updates, _) => known.log.grant(offset),
            (Part::ResultBody, Some(body)) => body.grant(offset),
            // Its own body is up to this side; a result body that nobody asked for is up to nobody.
            (Part::Body | Part::ResultBody, _) => {}
        }
        self.pump(id);
    }

    /// The sender holds updates and bytes of the result body: they are let go of.
    pub fn handle_received(&mut self, peer: &NodeId, key: CommandKey, updates: u64, result_body: u64) {
        let Some(id) = self.local(peer, key) else { return };
        if let Some(known) = self.known_mut(id) {
            let freed = known.log.acknowledge(updates);
            let freed_of_body = known.result_body.as_mut().map_or(0, |body| body.acknowledge(result_body));
            self.give_room(id, Part::Updates, freed);
            self.give_room(id, Part::ResultBody, freed_of_body);
            // Held by the sender counts as written, and that may have been all that an outcome waited for.
            self.pump(id);
        }
    }

    /// A handler has sent an update. Empty ones are dropped: they would cost no credit.
    pub fn handle_update(&mut self, peer: &NodeId, key: CommandKey, content: Bytes) {
        let id = LocalId { peer: self.senders.meet(peer), key };
        let is_settled = self.senders[id.peer].has_settled(key);
        let known = self.known_mut(id).filter(|known| known.state == State::Running && !is_settled);
        let policy =
            known.as_ref().and_then(|known| known.accepted.as_ref()).map(|accepted| accepted.updates);
        match known {
            Some(known) if policy != Some(UpdatePolicy::Discard) => {
                if !content.is_empty() {
                    let freed = known.log.push(content);
                    self.give_room(id, Part::Updates, freed);
                    self.pump(id);
                }
            }
            // Nobody will read it. The handler gets its room back, or it would wait for ever.
            _ => self.give_room(id, Part::Updates, content.len()),
        }
    }

    /// A handler has given something to be found again by, should this process end before it does. That it is stored is
    /// said by [`poll_token_stored`](Self::poll_token_stored).
    pub fn handle_token(&mut self, peer: &NodeId, key: CommandKey, token: Bytes) {
        let Some(id) = self.local(peer, key) else { return };
        let known = self.known_mut(id).filter(|known| known.state == State::Running);
        let class = known.and_then(|known| known.accepted.as_ref()).map(|accepted| accepted.class);
        if let Some(class) = class {
            self.note(class, key.epoch, Note::Token(id, token));
        }
    }

    /// A handler has ended. An outcome that has been said already is not changed.
    pub fn handle_finished(&mut self, peer: &NodeId, key: CommandKey, outcome: Outcome) {
        let id = self.local(peer, key);
        match id.filter(|id| self.known_mut(*id).is_some_and(|known| known.state == State::Running)) {
            Some(id) => self.end(id, outcome),
            None => self.late += 1,
        }
    }
}
