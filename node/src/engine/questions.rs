//! What callers ask about the node; the answers change nothing.

use std::time::Instant;

use runnel_codec::{CommandId, NodeId};
use runnel_transport::SocketStats;
use tokio::sync::oneshot;

use super::Engine;
use super::peers::Peer;
use crate::node::NotFound;
use crate::status::{Explanation, PeerReach, PeerState, PeerStatus, StoreStatus};

/// What callers ask about the node.
#[derive(Debug)]
pub(crate) enum Question {
    /// What does a command wait for?
    Explain { id: CommandId, reply: oneshot::Sender<Result<Explanation, NotFound>> },
    /// Which peers are there, and how do they fare?
    Peers { reply: oneshot::Sender<Vec<PeerStatus>> },
    /// Which peers are there, and how can they be reached?
    Reach { reply: oneshot::Sender<Vec<PeerReach>> },
    /// Is there a peer of this name?
    Knows { peer: NodeId, reply: oneshot::Sender<bool> },
    /// What does the system grant the sockets?
    Sockets { reply: oneshot::Sender<Vec<SocketStats>> },
    /// How is the store?
    Store { reply: oneshot::Sender<StoreStatus> },
}

impl Engine {
    /// Answers, if the caller still waits.
    pub(super) fn answer(&self, now: Instant, question: Question) {
        match question {
            Question::Explain { id, reply } => {
                reply.send(self.explanation(&id).ok_or(NotFound)).ok();
            }
            Question::Peers { reply } => {
                let peers = self.peers.iter().map(|(node, peer)| self.peer_status(now, node, peer));
                reply.send(peers.collect()).ok();
            }
            Question::Reach { reply } => {
                reply.send(self.peers.iter().map(|(node, peer)| self.reach(node, peer)).collect()).ok();
            }
            Question::Knows { peer, reply } => {
                reply.send(self.peers.contains_key(&peer)).ok();
            }
            Question::Sockets { reply } => {
                reply.send(self.endpoint.sockets()).ok();
            }
            Question::Store { reply } => {
                reply.send(self.store_status()).ok();
            }
        }
    }

    fn explanation(&self, id: &CommandId) -> Option<Explanation> {
        let waiting = self.send.explain(id)?;
        let peer = self.peers.get(&id.receiver);
        let unreachable_since = match peer {
            None => Some(self.started_at),
            Some(peer) => self.unreachable_since(peer),
        };
        Some(Explanation { waiting, unreachable_since })
    }

    fn unreachable_since(&self, peer: &Peer) -> Option<Instant> {
        peer.link.is_none().then(|| peer.down_at.unwrap_or(self.started_at))
    }

    fn reach(&self, node: &NodeId, peer: &Peer) -> PeerReach {
        let entry = peer.link.and_then(|index| self.links.get(index));
        let state = PeerState::new(entry.is_some(), entry.is_some_and(|entry| entry.is_suspect()));
        PeerReach { node: node.clone(), state, links_total: peer.links_total }
    }

    fn peer_status(&self, now: Instant, node: &NodeId, peer: &Peer) -> PeerStatus {
        let entry = peer.link.and_then(|index| self.links.get(index));
        let counts = self.send.peer_counts(node);
        PeerStatus {
            node: node.clone(),
            role: peer.role,
            is_suspect: entry.is_some_and(|entry| entry.is_suspect()),
            link: entry.and_then(|entry| entry.status(now)),
            unreachable_since: self.unreachable_since(peer),
            links_total: peer.links_total,
            end: peer.end.clone(),
            queued: counts.queued,
            in_flight: counts.in_flight,
        }
    }
}
