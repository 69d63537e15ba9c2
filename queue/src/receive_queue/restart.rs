//! A sender that comes back as another process: whatever its older one sent is settled, for nobody takes it any more.
//!
//! What waits is called off, what has ended is forgotten. Handlers go on, as they do when a link is lost; but what they
//! say has no reader, so it is dropped as they say it, and they are forgotten when they end.

use runnel_codec::{Epoch, NodeId, Outcome, Part};

use super::ReceiveQueue;
use super::words::DeliveryPart;
use crate::body_intake::BodyIntake;
use crate::peers::{LocalId, PeerIndex};

impl ReceiveQueue {
    /// A sender has said which process and which store it is, perhaps on a link that does not come up.
    pub fn handle_epochs(&mut self, peer: &NodeId, boot: Epoch, store: Option<Epoch>) {
        let peer = self.senders.meet(peer);
        let sender = &mut self.senders[peer];
        let is_restart = sender.restart(boot, store);
        if self.store.is_some() {
            self.stale_rows.insert(peer);
        }
        if is_restart {
            for key in sender.known_of_older_epochs() {
                self.purge(LocalId { peer, key });
                self.give_up(LocalId { peer, key });
            }
            self.restarted(peer);
        }
    }

    /// Has the rows of a command deleted whose sender's epoch is gone. Of one that this process has not stored there are
    /// none, and then nothing happens.
    pub(super) fn purge(&mut self, id: LocalId) {
        if self.store.is_some()
            && let Some(known) = self.senders[id.peer].known.get(id.key)
        {
            self.purged.extend(known.row_keys(self.senders.name(id.peer), id.key));
        }
    }

    /// Nobody will take a command's outcome. If it has not started it never will; if it has, what its handler said and
    /// says is dropped, so that the handler does not wait for a reader.
    pub(super) fn give_up(&mut self, id: LocalId) {
        self.call_off(id, Outcome::Cancelled);
        self.leave_ring(id);
        let Some(known) = self.known_mut(id) else { return };
        let updates = std::mem::take(&mut known.log).held_bytes();
        let result_body = known.result_body.take().map_or(0, |body| body.held_bytes());
        let is_cut_off = known.body.as_deref_mut().is_some_and(BodyIntake::give_up);
        self.give_room(id, Part::Updates, bytes(updates));
        self.give_room(id, Part::ResultBody, bytes(result_body));
        if is_cut_off {
            self.deliver(id, DeliveryPart::Aborted);
        }
        self.close_body(id);
    }

    /// Forgets what has ended of a sender's older processes.
    fn restarted(&mut self, peer: PeerIndex) {
        let sender = &mut self.senders[peer];
        for key in sender.known_of_older_epochs() {
            sender.forget_if_ended(key);
        }
    }
}

/// What is held is in memory, so its bytes can be counted.
fn bytes(held: u64) -> usize {
    usize::try_from(held).unwrap_or(usize::MAX)
}
