//! Settings of the store.

use serde::{Deserialize, Serialize};

use crate::store::format::INLINE_BYTES_MAX;

/// How the store uses memory and disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Memory for pages of the database, in bytes. Default: 8 MiB.
    ///
    /// Too low, each batch reads again what the one before has written; too high, memory is held that the queues could
    /// use.
    pub cache_bytes: usize,
    /// Longest row that stays in the database, in bytes; longer ones get a side file. Default: 16 KiB.
    ///
    /// Too low, each command costs a file and a sync of its own; too high, long rows are copied along whenever their
    /// neighbours change, and the database does not shrink while it is open.
    pub inline_bytes_max: usize,
    /// Room that is kept for ending and deleting what is stored, in bytes: a side file that goes when the disk is full. Until
    /// it fits again, no durable command is taken. Default: 8 MiB.
    ///
    /// Too low, a store that is full to the brim has to be helped from outside; too high, it takes room from others. At 0 a
    /// full disk only shows.
    pub reserve_bytes: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { cache_bytes: 8 << 20, inline_bytes_max: INLINE_BYTES_MAX, reserve_bytes: 8 << 20 }
    }
}
