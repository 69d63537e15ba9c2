//! Telling a store that was restored from an older backup, or copied, from the one that it was.
//!
//! Two nodes that meet tell each other by which processes their stores were opened, and how far each of these brought it:
//! the numbers given to durable commands for the other, and the journal of the other's commands. Each side remembers the
//! newest process of the other's store that it has met, and how far it knows that one to have come. A store that has not
//! had that process, or not come as far by then, has forgotten what it had promised: it is an older backup, or a copy
//! that went another way.

use runnel_codec::{Epoch, Lineage, NodeId, REACHES_MAX, Reach, StoreProcess};

use crate::receive_queue::ReceiveQueue;
use crate::send_queue::SendQueue;

/// The store of a peer is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Regressed {
    /// A process had it that it has not had.
    #[error("its store has had {processes} processes, but not number {}, {}, which was met here", met.number, met.boot)]
    Process {
        /// How many it has had.
        processes: u64,
        /// The newest that was met.
        met: StoreProcess,
    },
    /// It has given out fewer numbers than commands of it are known here.
    #[error("its send store stood at command {claimed}, but command {known} of it is known here")]
    Sender {
        /// The last number that it had given out by then.
        claimed: u64,
        /// The highest that is known here.
        known: u64,
    },
    /// Its journal is shorter than it was.
    #[error("its journal stood at position {claimed}, but it was at {known}")]
    Receiver {
        /// The position that it claims for then.
        claimed: u64,
        /// The highest that it ever claimed.
        known: u64,
    },
}

/// How far a position had come at the end of each process of a store, as far as it has moved: it never falls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reaches(Vec<Reach>);

impl Reaches {
    /// Takes them over from a row.
    pub(crate) fn of(reaches: &[Reach]) -> Self {
        Self(reaches.to_vec())
    }

    /// Returns how far the position has come.
    pub(crate) fn position(&self) -> u64 {
        self.0.last().map_or(0, |reach| reach.position)
    }

    /// Returns them as they are once this process has come to a position.
    pub(crate) fn with(&self, process: u64, position: u64) -> Vec<Reach> {
        let mut reaches = self.0.clone();
        if position <= self.position() {
            return reaches;
        }
        // A process that could not be noted counts as the one before.
        reaches.retain(|reach| reach.process < process);
        if reaches.len() == REACHES_MAX {
            reaches.remove(0);
        }
        reaches.push(Reach { process, position });
        reaches
    }
}

/// Returns how far a position had come when a process ended; `None` if that is too long ago to be known.
fn by_end_of(process: u64, reaches: &[Reach]) -> Option<u64> {
    let reach = reaches.iter().rev().find(|reach| reach.process <= process);
    match reach {
        Some(reach) => Some(reach.position),
        None if reaches.len() < REACHES_MAX => Some(0),
        None => None,
    }
}

impl SendQueue {
    /// Returns the epoch that a peer's journal had when it was last met.
    pub fn journal_epoch(&self, peer: &NodeId) -> Option<Epoch> {
        self.journal_met(peer).0
    }

    /// Checks how far a peer's journal claims to have come.
    ///
    /// # Errors
    ///
    /// [`Regressed::Receiver`] when it was further once. A journal of another epoch is a new one.
    pub fn check_journaled(
        &self,
        peer: &NodeId,
        receiver: Option<Epoch>,
        journaled: &[Reach],
    ) -> Result<(), Regressed> {
        let (met, Reach { process, position: known }) = self.journal_met(peer);
        match by_end_of(process, journaled) {
            Some(claimed) if met.is_some() && met == receiver && claimed < known => {
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

    /// Checks what a peer's store claims to be: which processes have had it, and how far the numbers reach that they gave
    /// to commands for this node.
    ///
    /// # Errors
    ///
    /// [`Regressed::Process`] when a process was met that it has not had, [`Regressed::Sender`] when a command is known that
    /// it has not numbered. A store of another epoch is a new one.
    pub fn check_store(
        &self,
        peer: &NodeId,
        store: Option<Epoch>,
        lineage: &Lineage,
        sent: &[Reach],
    ) -> Result<(), Regressed> {
        let (met, known) = self.highest_known(peer);
        if met.is_none() || met != store {
            return Ok(());
        }
        let process = self.process_met(peer);
        if let Some(met) = process.filter(|met| !lineage.may_have(*met)) {
            return Err(Regressed::Process { processes: lineage.processes(), met });
        }
        match by_end_of(process.map_or(u64::MAX, |met| met.number), sent) {
            Some(claimed) if claimed < known => Err(Regressed::Sender { claimed, known }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(steps: &[(u64, u64)]) -> Vec<Reach> {
        steps.iter().map(|&(process, position)| Reach { process, position }).collect()
    }

    #[test]
    fn a_position_is_that_of_the_last_process_that_moved_it() {
        let older = Reaches::of(&reaches(&[(1, 5), (4, 7)]));
        assert_eq!(older.with(6, 7), reaches(&[(1, 5), (4, 7)]), "it has not moved");
        let newer = older.with(6, 9);
        assert_eq!(newer, reaches(&[(1, 5), (4, 7), (6, 9)]));
        assert_eq!(Reaches::of(&newer).with(6, 12), reaches(&[(1, 5), (4, 7), (6, 12)]));
        let by_end = [0, 1, 3, 4, 5, 6, 100].map(|process| by_end_of(process, &newer));
        assert_eq!(by_end, [0, 5, 5, 7, 7, 9, 9].map(Some));
    }

    #[test]
    fn the_oldest_steps_are_forgotten_and_then_nothing_is_claimed_of_them() {
        let mut all = Reaches::default();
        for process in 1..=REACHES_MAX as u64 + 1 {
            all = Reaches::of(&all.with(process, process * 10));
        }
        assert_eq!(all.0.len(), REACHES_MAX);
        assert_eq!((by_end_of(1, &all.0), by_end_of(2, &all.0)), (None, Some(20)));
    }
}
