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
    }

    /// Returns whether a sender has not settled outcomes that are here: a node that stops now may lose them.
    pub fn owes_outcomes(&self, peer: &NodeId) -> bool {
        let has_ended = |state: &State| matches!(state, State::Ending(_) | State::Ended(_));
        self.senders
            .get(peer)
            .is_some_and(|sender| sender.known.values().any(|known| has_ended(&known.state)))
    }
}
