//! What survives a crash: rows, and where they are kept.
//!
//! A queue never calls a store. It yields batches of changes (`poll_store`) and is told when one is durable
//! (`handle_stored`); until then it says nothing that depends on it. Whoever drives the queue gives each batch to a
//! [`Store`], on a thread that may wait for a disk. `FORMAT.md` specifies what is written.

mod blobs;
mod error;
#[cfg(any(test, feature = "sim"))]
mod faulty_disk;
mod format;
mod memory;
mod redb;
mod reserve;
mod row;

pub use self::blobs::{BlobName, Blobs};
pub use self::error::{DiskCall, StoreError};
pub use self::memory::MemoryStore;
pub use self::redb::{RedbStore, StoreConfig};
pub use self::reserve::StoreSpace;
pub use self::row::{
    AcceptedRow, Change, CommandRow, Idempotency, OutcomeRow, ProgressRow, ReceiverRow, Row, RowKey, RunRow,
    SenderRow, StoreRow, StoredDeadline,
};
#[cfg(any(test, feature = "sim"))]
pub use self::{
    faulty_disk::{DiskBlobs, DiskFile, DiskImage, FaultyDisk},
    format::{read_row, write_row},
};
/// The disk below a database: what a [`RedbStore`] is given. A node gives a [`FileBackend`], made of a file that it has
/// opened and locked.
pub use ::redb::{StorageBackend, backends::FileBackend};

/// Keeps rows. One owner calls it, and may wait in each call.
pub trait Store: std::fmt::Debug + Send {
    /// Opens the store if it is not open, and returns all rows, ordered by key. A poisoned store is usable again once
    /// this has returned `Ok`: what it returned then is durable and is all there is.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. The store stays as it was; loading may be tried again.
    fn load(&mut self) -> Result<Vec<Row>, StoreError>;

    /// Makes all changes of a batch, in order; they are durable when this returns `Ok`. To apply a batch again does no
    /// harm.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. After an error all or none of the changes may turn up later, never some of them; nothing may be
    /// said that depends on them.
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Returns how much room there is, as far as the last calls have shown.
    fn space(&self) -> StoreSpace {
        StoreSpace::Enough
    }

    /// Looks whether there is [enough](StoreSpace::Enough) room again.
    fn look_for_space(&mut self) {}
}
