//! By which processes a store was opened, and how far each of them came with it.
//!
//! Two stores that were one once have the same epoch. Their processes tell them apart: each that opens a store adds its boot
//! epoch, so that of two copies that go on neither has the other's.

use crate::id::Epoch;

/// Most boot epochs in a lineage: those of the newest processes.
pub const LINEAGE_MAX: usize = 128;

/// Most steps in which a position is told: the newest.
pub const REACHES_MAX: usize = 16;

/// A process that had a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreProcess {
    /// How many had it up to this one, itself included.
    pub number: u64,
    /// Its boot epoch.
    pub boot: Epoch,
}

/// The processes that have had a store, one after the other. The boot epochs of the newest are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    processes: u64,
    /// Oldest first.
    boots: Vec<Epoch>,
}

/// How far a position had come when a process of its store ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Number of the process; 0: none, or it is not known.
    pub process: u64,
    /// The position.
    pub position: u64,
}

impl Lineage {
    /// Makes one of how many processes there were and the boot epochs of the newest, oldest first. Returns `None` if these
    /// are more than there can be, or none though there were processes.
    pub fn from_parts(processes: u64, boots: Vec<Epoch>) -> Option<Self> {
        let is_known = boots.is_empty() == (processes == 0);
        (is_known && boots.len() <= LINEAGE_MAX && boots.len() as u64 <= processes)
            .then_some(Self { processes, boots })
    }

    /// Another process has the store.
    pub fn push(&mut self, boot: Epoch) {
        if self.boots.len() == LINEAGE_MAX {
            self.boots.remove(0);
        }
        self.boots.push(boot);
        // Numbers do not end within the life of any store.
        self.processes = self.processes.saturating_add(1);
    }

    /// Returns how many processes have had the store.
    pub fn processes(&self) -> u64 {
        self.processes
    }

    /// Returns the boot epochs of the newest processes, oldest first.
    pub fn boots(&self) -> &[Epoch] {
        &self.boots
    }

    /// Returns the newest process; `None` if there was none.
    pub fn newest(&self) -> Option<StoreProcess> {
        let boot = *self.boots.last()?;
        Some(StoreProcess { number: self.processes, boot })
    }

    /// Returns whether this store may have been that of a process: it was, or that is too long ago to be known.
    pub fn may_have(&self, process: StoreProcess) -> bool {
        let Some(later) = self.processes.checked_sub(process.number) else { return false };
        let index = usize::try_from(later).ok().and_then(|later| self.boots.len().checked_sub(later + 1));
        index.is_none_or(|index| self.boots[index] == process.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(boots: impl IntoIterator<Item = u64>) -> Lineage {
        let mut lineage = Lineage::default();
        boots.into_iter().for_each(|boot| lineage.push(Epoch::from_random(boot)));
        lineage
    }

    fn process(number: u64, boot: u64) -> StoreProcess {
        StoreProcess { number, boot: Epoch::from_random(boot) }
    }

    #[test]
    fn a_store_is_that_of_its_processes_and_of_no_others() {
        let lineage = lineage([10, 11, 12]);
        assert_eq!(lineage.newest(), Some(process(3, 12)));
        assert!(lineage.may_have(process(3, 12)) && lineage.may_have(process(1, 10)));
        assert!(!lineage.may_have(process(3, 13)), "a copy's third process");
        assert!(!lineage.may_have(process(4, 12)), "one that it has not had");
    }

    #[test]
    fn what_is_too_long_ago_is_taken_on_trust() {
        let lineage = lineage(1..=LINEAGE_MAX as u64 + 2);
        assert_eq!((lineage.processes(), lineage.boots().len()), (LINEAGE_MAX as u64 + 2, LINEAGE_MAX));
        assert!(lineage.may_have(process(2, 1000)));
        assert!(!lineage.may_have(process(3, 1000)));
    }

    #[test]
    fn parts_that_no_store_has_make_none() {
        let boots = |count| vec![Epoch::from_random(1); count];
        assert!(Lineage::from_parts(0, boots(0)).is_some());
        assert!(Lineage::from_parts(LINEAGE_MAX as u64 + 1, boots(LINEAGE_MAX)).is_some());
        for (processes, count) in [(0, 1), (1, 0), (1, 2), (1000, LINEAGE_MAX + 1)] {
            assert_eq!(Lineage::from_parts(processes, boots(count)), None, "{processes} {count}");
        }
    }
}
