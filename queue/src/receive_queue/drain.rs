//! The end of a node's time: nothing new is taken or started, and what has ended is said while there is time.

use runnel_codec::NodeId;

use super::ReceiveQueue;
use super::command::State;

impl ReceiveQueue {
    /// The node is about to stop: no further command is taken (new ones are answered `Busy`) or started.
    ///
    /// What runs may end, and outcomes are said as ever.
    pub fn handle_draining(&mut self) {
        self.is_draining = true;
        self.durable.close();
    }

    /// Returns whether a sender has not settled outcomes that it can be told now: a node that stops would lose them.
    ///
    /// What no stream of the link that is up asks for is not counted: a sender that restarted knows nothing of it.
    pub fn owes_outcomes(&self, peer: &NodeId) -> bool {
        let Some(sender) = self.senders.get(peer) else { return false };
        let Some(link) = sender.link else { return false };
        sender.known.values().any(|known| {
            let has_ended = matches!(known.state, State::Ending(_) | State::Ended(_));
            has_ended && known.newest.is_some_and(|newest| newest.link == link)
        })
    }
}
