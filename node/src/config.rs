//! A node's settings: one struct per concern, each in the crate that obeys it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use runnel_queue::{BudgetConfig, ReceiveQueueConfig, SendQueueConfig};
use runnel_transport::{LivenessConfig, PathConfig, ReconnectConfig, TransportConfig};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::room::{HELD_BYTES_MIN, RoomBounds};
use crate::updates::SpillFolder;

/// All settings of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The engine itself.
    pub node: NodeConfig,
    /// QUIC endpoints and links.
    pub transport: TransportConfig,
    /// When a link counts as dead.
    pub liveness: LivenessConfig,
    /// When and how often a lost peer is dialled.
    pub reconnect: ReconnectConfig,
    /// When the dialling sockets move, after a change of routes or sleep.
    pub path: PathConfig,
    /// The send queue.
    pub send_queue: SendQueueConfig,
    /// Bytes in flight on a link.
    pub budget: BudgetConfig,
    /// The receive queue.
    pub receive_queue: ReceiveQueueConfig,
}

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Requests from callers and handlers that wait for the engine. Default: 1024.
    ///
    /// Too low, callers and handlers wait for each other's turn; too high, a burst holds more memory.
    pub inbox_capacity: NonZeroUsize,
    /// Updates of one running command that wait in memory for the caller's node, in bytes, however many commands run; at
    /// least 256 KiB. Default: 1 MiB.
    ///
    /// Too low, a chatty handler waits for every round trip; too high, each running command may hold as much.
    pub updates_held_bytes_min: NonZeroUsize,
    /// The same for one whose updates are taken as fast as they come. Default: 3 MiB, as much as its caller's window.
    ///
    /// Too low, updates do not fill long paths; too high, few commands share `updates_held_total_bytes_max`.
    pub updates_held_bytes_max: NonZeroUsize,
    /// What all running commands together may hold beyond `updates_held_bytes_min` each; none gets more than half of what the
    /// others leave. Default: 64 MiB.
    ///
    /// Too low, many chatty handlers wait for round trips; too high, they may fill the memory.
    pub updates_held_total_bytes_max: usize,
    /// Updates of one running command that wait on the disk once memory is full, in bytes; 0: none. Without a folder for
    /// them, none. Then their handler waits. Default: 16 MiB.
    ///
    /// Too low, a handler waits for a caller that is away; too high, so much more of the disk is written, and read into
    /// memory if the command is stopped once its handler has ended.
    pub updates_spilled_bytes_max: u64,
    /// The same for all commands together. Default: 256 MiB.
    ///
    /// Too low, handlers wait for each other's callers; too high, the disk fills up.
    pub updates_spilled_total_bytes_max: u64,
    /// Bytes of one body that were produced here and not taken by its reader, at least 256 KiB. Default: 3 MiB, as much as
    /// its reader's window.
    ///
    /// Too low, long paths are not filled, the less so if they lose packets; too high, few bodies share what they may hold.
    pub body_held_bytes_max: NonZeroUsize,
    /// What all bodies together may hold beyond 256 KiB each; none gets more than half of what the others leave. Default: 64
    /// MiB.
    ///
    /// Too low, many bodies at once go slowly; too high, they may fill the memory.
    pub body_held_total_bytes_max: usize,
    /// Changes of links that wait for a slow listener before it misses the oldest. Default: 256.
    ///
    /// Too low, a burst of changes is missed; too high, a forgotten listener holds more memory.
    pub link_changes_kept: NonZeroUsize,
    /// How long a shutdown waits for handlers to stop and peers to take their outcomes, and then as long again for tasks to
    /// end. Default: 3 s.
    ///
    /// Too low, outcomes are lost; too high, a handler that does not stop or a dead peer holds up the shutdown.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// How long a node that stops asks its peers to wait before they dial it again, on top of the usual jitter. Default:
    /// 0 s.
    ///
    /// Too low, a node that restarts is dialled in vain meanwhile; too high, its peers come back late.
    #[serde(with = "humantime_serde")]
    pub retry_after: Duration,
    /// How often the status is made anew while somebody watches it. Default: 250 ms.
    ///
    /// Too low, it costs time on the engine's thread; too high, what is shown is old.
    #[serde(with = "humantime_serde")]
    pub status_interval: Duration,
}

impl NodeConfig {
    /// Returns how much of a command's updates is held in memory. Most say little, so it begins small.
    pub(crate) fn updates_room(&self) -> RoomBounds {
        let min = self.updates_held_bytes_min.get().max(HELD_BYTES_MIN);
        let max = self.updates_held_bytes_max.get();
        RoomBounds { min, first: min, max, shared: self.updates_held_total_bytes_max }
    }

    /// Returns how much is held of a body.
    pub(crate) fn body_room(&self) -> RoomBounds {
        let max = self.body_held_bytes_max.get();
        RoomBounds { min: HELD_BYTES_MIN, first: max, max, shared: self.body_held_total_bytes_max }
    }

    /// Makes the folder for updates that memory cannot hold. A node can do without.
    pub(crate) fn spill(&self, folder: PathBuf) -> Option<SpillFolder> {
        if self.updates_spilled_bytes_max == 0 {
            return None;
        }
        SpillFolder::open(folder, self.updates_spilled_bytes_max, self.updates_spilled_total_bytes_max)
            .inspect_err(|error| warn!(%error, "updates are not spilled to the disk: their handlers wait"))
            .ok()
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            inbox_capacity: NonZeroUsize::new(1024).expect("1024 is not 0"),
            updates_held_bytes_min: NonZeroUsize::new(1 << 20).expect("1 MiB is not 0"),
            updates_held_bytes_max: NonZeroUsize::new(3 << 20).expect("3 MiB is not 0"),
            updates_held_total_bytes_max: 64 << 20,
            updates_spilled_bytes_max: 16 << 20,
            updates_spilled_total_bytes_max: 256 << 20,
            body_held_bytes_max: NonZeroUsize::new(3 << 20).expect("3 MiB is not 0"),
            body_held_total_bytes_max: 64 << 20,
            link_changes_kept: NonZeroUsize::new(256).expect("256 is not 0"),
            drain_timeout: Duration::from_secs(3),
            retry_after: Duration::ZERO,
            status_interval: Duration::from_millis(250),
        }
    }
}
