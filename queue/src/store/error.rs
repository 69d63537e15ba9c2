//! What can go wrong with a store, and what to do then.

use std::fmt;
use std::io;

/// Why rows could not be read or made durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room left, the [reserve](crate::StoreConfig::reserve_bytes) included. The batch is not acknowledged,
    /// everything before it is durable. Make room, then apply the same batch again; the store opens itself anew.
    #[error("no space left for the store")]
    Full,
    /// A call of the disk failed: nobody knows what of the last batch is there. The store is poisoned from now on: load
    /// it again, or stop.
    #[error("the disk failed to {call}")]
    Disk {
        /// What it was asked for.
        call: DiskCall,
        /// What it said.
        source: io::Error,
    },
    /// An earlier call of the disk failed. Every batch is refused until the store has been loaded again.
    #[error("the store is poisoned: an earlier call of the disk failed")]
    Poisoned,
    /// What was read is not what was written. Nothing is repaired by leaving it out: restore a backup, or begin anew
    /// with an empty store and what that means (see `FORMAT.md`).
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What is wrong, and where.
        what: String,
    },
    /// A newer version wrote it: run that version, or restore a backup from before the upgrade.
    #[error("the store has format {found}, this version reads up to {known}")]
    TooNew {
        /// The format of the store.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// A version wrote it that was never released: begin with an empty store.
    #[error(
        "the store has format {found} of an unreleased version, this one reads format {known}: begin with an empty store"
    )]
    TooOld {
        /// The format of the store.
        found: u32,
        /// The format that this version knows.
        known: u32,
    },
    /// A row is longer than any that is read back. A mistake of the caller: nothing was changed.
    #[error("a row of {len} bytes exceeds the limit of {max}")]
    RowTooLarge {
        /// Length of the row, in bytes.
        len: usize,
        /// Allowed, in bytes.
        max: usize,
    },
}

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// To read.
    Read,
    /// To write.
    Write,
    /// To change the length of a file.
    Resize,
    /// To make what was written durable.
    Sync,
    /// To delete a file.
    Remove,
    /// To list files.
    List,
}

impl StoreError {
    /// Returns what a failed call of the disk means.
    ///
    /// Space that ends while something is written is an ordinary state: what was synced before is untouched. Space that
    /// ends at a sync is a failed sync.
    pub(crate) fn of_call(call: DiskCall, source: io::Error) -> Self {
        let writes = matches!(call, DiskCall::Write | DiskCall::Resize);
        let space = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if writes && space { Self::Full } else { Self::Disk { call, source } }
    }

    /// Returns whether the store must be loaded again before it takes another batch.
    pub fn is_poisonous(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Poisoned | Self::Corrupt { .. })
    }
}

impl fmt::Display for DiskCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Resize => "change the length of a file",
            Self::Sync => "sync",
            Self::Remove => "delete a file",
            Self::List => "list files",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_that_ends_at_a_write_is_no_failure_of_the_disk() {
        let full = |call| StoreError::of_call(call, io::ErrorKind::StorageFull.into());
        assert!(matches!(full(DiskCall::Write), StoreError::Full));
        assert!(matches!(full(DiskCall::Resize), StoreError::Full));
        assert!(full(DiskCall::Sync).is_poisonous(), "after a failed sync nobody knows what is durable");
        assert!(StoreError::of_call(DiskCall::Write, io::Error::other("broken")).is_poisonous());
    }
}
