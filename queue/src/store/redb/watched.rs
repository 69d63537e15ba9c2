//! The disk as the database sees it, with a memory of what failed.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::rows;
use crate::store::error::{DiskCall, StoreError};
use crate::store::format::FORMAT;

/// Passes calls on to a disk that outlives the database, and remembers the first that failed badly.
///
/// redb says of a failed call only what the disk said, and refuses all later ones. Whether that was a write for which no
/// room was left, or a sync after which nothing is known, decides how the store goes on.
#[derive(Clone, Debug)]
pub(super) struct WatchedDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn StorageBackend>,
    failure: Mutex<Option<StoreError>>,
}

impl WatchedDisk {
    pub(super) fn new(disk: Arc<dyn StorageBackend>) -> Self {
        Self { shared: Arc::new(Shared { disk, failure: Mutex::new(None) }) }
    }

    /// Writes everything again and syncs it.
    ///
    /// After a failed sync the system may show pages that are not on the disk and that no later sync would write. Once
    /// they were written again, what is read is what is durable.
    pub(super) fn rewrite(&self) -> Result<(), StoreError> {
        self.rewrite_all().map_err(|error| {
            let failure = self.failure().take();
            failure.unwrap_or_else(|| StoreError::of_call(DiskCall::Write, error))
        })
    }

    fn rewrite_all(&self) -> io::Result<()> {
        let len = self.len()?;
        let mut piece = vec![0; REWRITE_PIECE_BYTES];
        let mut offset = 0;
        while offset < len {
            let rest = usize::try_from(len - offset).unwrap_or(usize::MAX);
            let piece = &mut piece[..rest.min(REWRITE_PIECE_BYTES)];
            self.read(offset, piece)?;
            self.write(offset, piece)?;
            offset += piece.len() as u64;
        }
        self.sync_data()
    }

    /// Forgets what failed: the database that it failed for is closed.
    pub(super) fn forget(&self) {
        self.failure().take();
    }

    /// Says what an error of the database means, and forgets what failed.
    pub(super) fn explain(&self, error: rows::Error) -> StoreError {
        match (self.failure().take(), error) {
            (_, rows::Error::TooNew { found }) => StoreError::TooNew { found, known: FORMAT },
            (_, rows::Error::TooOld { found }) => StoreError::TooOld { found, known: FORMAT },
            (Some(failure), _) => failure,
            (None, rows::Error::Damaged { what }) => StoreError::Corrupt { what },
            (None, rows::Error::Database(error)) => StoreError::Corrupt { what: error.to_string() },
        }
    }

    /// Forgets a lack of space that has been of no consequence. Other failures are: redb refuses every later call.
    pub(super) fn forgive_lack_of_space(&self) {
        self.failure().take_if(|failure| !failure.is_poisonous());
    }

    fn watch<T>(&self, call: DiskCall, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let passed_on = error.kind().into();
            let error = StoreError::of_call(call, error);
            let mut failure = self.failure();
            if failure.as_ref().is_none_or(|earlier| !earlier.is_poisonous()) {
                *failure = Some(error);
            }
            passed_on
        })
    }

    fn failure(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for WatchedDisk {
    fn len(&self) -> io::Result<u64> {
        self.watch(DiskCall::Read, self.shared.disk.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.watch(DiskCall::Read, self.shared.disk.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch(DiskCall::Resize, self.shared.disk.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch(DiskCall::Sync, self.shared.disk.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watch(DiskCall::Write, self.shared.disk.write(offset, data))
    }
}

/// Large enough for a disk to be quick, small beside the memory of a node.
const REWRITE_PIECE_BYTES: usize = 1 << 20;
