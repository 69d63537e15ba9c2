//! Telling a store that was restored from an older backup by its positions.
//!
//! Two nodes that meet tell each other how far their stores are: the sender the last number that it gave to a durable
//! command for the other, the receiver the position of its journal of the other's commands. Both only grow, and each side
//! remembers the highest that it was told. A lower one means that the other has forgotten what it had promised.

use runnel_codec::{Epoch, NodeId};

use crate::receive_queue::ReceiveQueue;
use crate::send_queue::SendQueue;

/// The store of a peer is older than it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Regressed {
    /// It has given out fewer numbers than commands of it are known here.
    #[error("its send store stands at command {claimed}, but command {known} of it is known here")]
    Sender {
        /// The last number that it gives out.
        claimed: u64,
        /// The highest that is known here.
        known: u64,
    },
    /// Its journal is shorter than it was.
    #[error("its journal stands at position {claimed}, but it was at {known}")]
    Receiver {
        /// The position that it claims.
        claimed: u64,
        /// The highest that it ever claimed.
        known: u64,
    },
}

impl SendQueue {
    /// Returns the epoch that a peer's journal had when it was last met.
    pub fn journal_epoch(&self, peer: &NodeId) -> Option<Epoch> {
        self.journal_met(peer).0
    }

    /// Returns the last number of a stored command for a peer; 0 if there was none.
    pub fn sent_position(&self, peer: &NodeId) -> u64 {
        self.last_stored(peer)
    }

    /// Checks the position that a peer's journal claims.
    ///
    /// # Errors
    ///
    /// [`Regressed::Receiver`] when it was further once. A journal of another epoch is a new one.
    pub fn check_journaled(
        &self,
        peer: &NodeId,
        receiver: Option<Epoch>,
        claimed: u64,
    ) -> Result<(), Regressed> {
        match self.journal_met(peer) {
            (met, known) if met.is_some() && met == receiver && claimed < known => {
                Err(Regressed::Receiver { claimed, known })
            }
            _ => Ok(()),
        }
    }
}

impl ReceiveQueue {
    /// Returns the epoch of the journal of a peer's commands that are numbered by this store of it; `None` without a store
    /// here.
    ///
    /// It is derived from the own store's, so that it is known before anything is stored of the peer, and is another one
    /// once the commands of that store were forgotten.
    pub fn receiver_epoch(&self, peer: &NodeId, peer_store: Option<Epoch>) -> Option<Epoch> {
        let (generation, fenced) = self.generation(peer, peer_store);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"runnel receiver epoch 1");
        hasher.update(&self.store()?.to_wire().to_be_bytes());
        hasher.update(&generation.to_be_bytes());
        hasher.update(&(fenced as u64).to_be_bytes());
        hasher.update(peer.as_str().as_bytes());
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        Some(Epoch::from_random(u64::from_be_bytes(bytes)))
    }

    /// Checks the last number that a peer's store claims to have given out.
    ///
    /// # Errors
    ///
    /// [`Regressed::Sender`] when a higher one is known here. A store of another epoch is a new one.
    pub fn check_sent(&self, peer: &NodeId, store: Option<Epoch>, claimed: u64) -> Result<(), Regressed> {
        match self.highest_known(peer) {
            (met, known) if met.is_some() && met == store && claimed < known => {
                Err(Regressed::Sender { claimed, known })
            }
            _ => Ok(()),
        }
    }
}
