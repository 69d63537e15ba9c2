//! How many commands the send queue holds for one peer.

use runnel_codec::NodeId;

use super::SendQueue;
use super::entry::Stage;

/// How many commands are in the send queue for one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// Commands that are on no stream.
    pub queued: usize,
    /// Commands whose head is on a stream.
    pub in_flight: usize,
}

impl SendQueue {
    /// Counts the commands for one peer; none if nothing was ever for it.
    pub fn peer_counts(&self, peer: &NodeId) -> PeerCounts {
        let Some(peer) = self.peers.get(peer) else { return PeerCounts::default() };
        let is_on_stream = |stage| matches!(stage, Stage::Sent | Stage::Accepted | Stage::Started);
        let in_flight = peer.entries.values().filter(|entry| is_on_stream(entry.stage)).count();
        PeerCounts { queued: peer.entries.len() - in_flight, in_flight }
    }
}
