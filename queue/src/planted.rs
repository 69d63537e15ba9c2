//! Bugs that are planted to see whether the simulation finds them: slips that a programmer may make, each a line at its
//! place. Nothing of it is in a build without `--cfg planted`; in one with it, one bug at a time is on.

#[cfg(planted)]
use std::sync::atomic::{AtomicU8, Ordering};

/// Returns whether a bug is on; without `--cfg planted` none ever is.
#[cfg(planted)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::PlantedBug::$bug.is_on()
    };
}

/// Returns whether a bug is on; without `--cfg planted` none ever is.
#[cfg(not(planted))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

/// A bug that can be planted.
#[cfg(planted)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PlantedBug {
    /// A head whose command is known is taken for a new one.
    NoDeduplication = 1,
    /// A command is said to be stored when it is on its way into the store.
    StoredBeforeSync,
    /// A handler is called when the record of its start is on its way into the store.
    StartBeforeSync,
    /// An outcome is said when its record is on its way into the journal.
    OutcomeBeforeJournal,
    /// The receiver may forget a command when its outcome is on its way into the sender's store.
    SettleBeforeDurable,
    /// What a sender's earlier process sent goes on as if it were of this one.
    NoSenderFence,
    /// What is bound to a receiver's earlier memory is sent to the new one.
    NoReceiverFence,
    /// A new link does not detach the streams of the older one.
    AttachWithoutDetach,
    /// A cancel that comes before its head leaves no tombstone.
    CancelWithoutTombstone,
    /// Numbers begin at 1 again after a restart.
    SequenceRestarted,
    /// A re-sent head claims one update more than has come.
    UpdateOffsetOff,
    /// An outcome that its caller has not taken is forgotten in a restart.
    OutcomeForgotten,
    /// A journal's position is told when its record is on its way into the store.
    PositionBeforeStored,
}

#[cfg(planted)]
static ON: AtomicU8 = AtomicU8::new(0);

#[cfg(planted)]
impl PlantedBug {
    /// Turns a bug on, and every other off.
    pub fn plant(bug: Option<Self>) {
        ON.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
    }

    pub(crate) fn is_on(self) -> bool {
        ON.load(Ordering::Relaxed) == self as u8
    }
}
