//! How much one command about folders may ask and answer.

use std::num::NonZeroUsize;

/// How much one command about folders may ask and answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FoldersConfig {
    /// Paths that one `fs.mkdir` or `fs.remove` may name. Default: 1000.
    ///
    /// Too low, callers need several commands for one thought; too high, one command holds a thread for long.
    pub paths_max: NonZeroUsize,
    /// Entries in one answer of `fs.list` or `fs.glob`; whoever wants more asks again for what comes after. An answer has
    /// fewer if their names do not fit into 48 KiB. Default: 1000.
    ///
    /// Too low, a large folder takes many round trips, each of which reads it anew; too high, those 48 KiB decide alone.
    pub entries_max: NonZeroUsize,
    /// Folders in folders that `fs.remove`, `fs.copy` and `fs.glob` go down; deeper is a failure. Default: 256.
    ///
    /// Too low, deep trees cannot be handled; too high, a command may take as many of the worker's file descriptors, and
    /// `fs.copy` twice as many.
    pub depth_max: NonZeroUsize,
}

impl Default for FoldersConfig {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("these are not 0");
        Self { paths_max: count(1000), entries_max: count(1000), depth_max: count(256) }
    }
}
