//! Forgetting a sender: whatever it has sent is over here, and it learns so from a new receiver epoch.

use runnel_codec::NodeId;

use super::ReceiveQueue;
use crate::error::NotFound;

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
        let sender = self.senders.get_mut(peer).ok_or(NotFound)?;
        let keys = sender.begin_anew();
        for key in keys {
            self.purge(peer, key);
            self.give_up(peer, key);
            if let Some(sender) = self.senders.get_mut(peer) {
                sender.forget_if_ended(key);
            }
        }
        self.stale_rows.insert(peer.clone());
        Ok(())
    }
}
