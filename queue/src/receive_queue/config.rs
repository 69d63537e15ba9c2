//! Bounds of the receive queue.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of the receive queue and of what runs at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveQueueConfig {
    /// Commands of all senders that are accepted and have not ended. Default: 10,000.
    ///
    /// Too low, senders wait; too high, a node holds more memory.
    pub commands_max: usize,
    /// Of these, how many only urgent commands may use. Default: 32.
    pub urgent_reserve: usize,
    /// Commands of one sender that are accepted and have not ended. Default: 5,000.
    ///
    /// Too low, a busy controller waits; too high, one controller takes the place of others.
    pub sender_commands_max: usize,
    /// Bytes of arguments and payloads of all senders that wait to be started. Default: 64 MiB.
    pub bytes_max: u64,
    /// Commands of one sender that are remembered until it has settled them. Default: 100,000.
    ///
    /// Too low, a sender that settles late waits; too high, each sender may make this node remember as much.
    pub journal_max: usize,
    /// Handlers that run at once. Default: 4,096.
    pub running_max: usize,
    /// Handlers that run at once for one command type. Default: none named.
    pub running_max_by_name: BTreeMap<String, usize>,
    /// When a sender that was answered `Busy` may try again. Default: 500 ms.
    ///
    /// Too low, retries cost streams; too high, places stay empty.
    #[serde(with = "humantime_serde")]
    pub busy_retry_after: Duration,
    /// How long a handler that was told to stop may take before its outcome is a failure. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub stop_grace: Duration,
    /// Stream places that a sender may use ahead of what is accepted. Default: 256.
    ///
    /// Too low, the rate of commands on long paths falls; too high, each link costs memory (some 70 bytes a place).
    pub free_places: NonZeroUsize,
}

impl Default for ReceiveQueueConfig {
    fn default() -> Self {
        Self {
            commands_max: 10_000,
            urgent_reserve: 32,
            sender_commands_max: 5_000,
            bytes_max: 64 << 20,
            journal_max: 100_000,
            running_max: 4_096,
            running_max_by_name: BTreeMap::new(),
            busy_retry_after: Duration::from_millis(500),
            stop_grace: Duration::from_secs(10),
            free_places: NonZeroUsize::new(256).expect("256 is not 0"),
        }
    }
}
