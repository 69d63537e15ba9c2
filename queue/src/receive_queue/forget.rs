//! Forgetting a sender: whatever it has sent is over here, and it learns so from a new receiver epoch.

use runnel_codec::NodeId;

use super::ReceiveQueue;
use crate::error::NotFound;
use crate::peers::LocalId;

impl ReceiveQueue {
    /// Forgets the durable commands of a sender. What waits never starts, handlers go on unheard, outcomes are gone; at the
    /// sender, what was bound to the old journal becomes `Unknown`.
    ///
    /// The sender learns of it from the next hello, so its link is to be closed.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when nothing of it is known.
    pub fn forget(&mut self, peer: &NodeId) -> Result<(), NotFound> {
        let peer = self.senders.find(peer).ok_or(NotFound)?;
        for key in self.senders[peer].begin_anew() {
            self.purge(LocalId { peer, key });
            self.give_up(LocalId { peer, key });
            self.senders[peer].forget_if_ended(key);
        }
        self.stale_rows.insert(peer);
        Ok(())
    }
}
