//! Bounds of the receive queue.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scheduler::SchedulerConfig;

/// Bounds of the receive queue and of what runs at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveQueueConfig {
    /// Commands of all senders that are accepted and have not ended. Default: 10,000.
    ///
    /// Too low, senders wait; too high, a node holds more memory.
    pub commands_max: usize,
    /// Of these, and of those of each sender, how many only urgent commands may use; at most half of the bound.
    /// Default: 32.
    ///
    /// Too low, a stop button finds the queue full of bulk; too high, the others are refused early.
    pub urgent_reserve: usize,
    /// Commands of one sender that are accepted and have not ended. Default: 5,000.
    ///
    /// Too low, a busy controller waits; too high, one controller takes the place of others.
    pub sender_commands_max: usize,
    /// Commands that every sender may have however full the queue is, half of them for Urgent. Default: 64.
    ///
    /// Too low, a full queue shuts out other senders; too high, the bounds are exceeded by that much for each sender.
    pub sender_commands_min: usize,
    /// Bytes of arguments and payloads of all senders that wait to be started. Default: 64 MiB.
    ///
    /// Too low, large payloads wait at their senders; too high, a node holds more memory.
    pub bytes_max: u64,
    /// Of these bytes, and of those of each sender, how many only urgent commands may use; at most half of the bound.
    /// Default: 2 MiB, as much as 32 heads with the longest arguments.
    ///
    /// Too low, an urgent command finds the queue full of payloads; too high, the others are refused early.
    pub urgent_reserve_bytes: u64,
    /// Bytes of arguments and payloads of one sender that wait to be started. Default: 32 MiB.
    ///
    /// Too low, a busy controller waits; too high, one controller takes the place of others.
    pub sender_bytes_max: u64,
    /// Bytes that every sender may have however full the queue is, half of them for Urgent. Default: 256 KiB.
    ///
    /// Too low, a full queue shuts out other senders; too high, the bounds are exceeded by that much for each sender.
    pub sender_bytes_min: u64,
    /// Commands of one sender that are remembered until it has settled them. Default: 100,000.
    ///
    /// Too low, a sender that settles late waits; too high, each sender may make this node remember as much.
    pub journal_max: usize,
    /// Bytes of outcomes and unacknowledged updates of one sender that are kept until it has settled them; above it,
    /// nothing new of it is accepted. What runs already may exceed it. Default: 64 MiB.
    ///
    /// Too low, a sender that settles late waits; too high, each sender may make this node hold as much.
    pub journal_bytes_max: u64,
    /// Handlers that run at once. Default: 4,096.
    ///
    /// Too low, commands wait behind slow ones; too high, they share the machine with too many others.
    pub running_max: usize,
    /// Of these, how many only urgent commands may use; at most half of the bound. Default: 32.
    ///
    /// Too low, a stop button waits until one of many sleeps has ended; too high, the others run fewer at once.
    pub urgent_running_reserve: usize,
    /// Handlers that run at once for one command type. Default: none named.
    ///
    /// A type at its limit holds up only itself. At 0 its commands are accepted and never start.
    pub running_max_by_name: BTreeMap<String, usize>,
    /// How far a body may be written ahead of its handler, in bytes. Default: 3 MiB.
    ///
    /// Too low, long paths are not filled; too high, a handler that does not read holds as much.
    pub body_window_bytes: u64,
    /// What the bodies of one sender may be written ahead of their handlers together, in bytes; each gets at most a
    /// quarter of what is left. Default: 14 MiB, the transport's receive window less 2 MiB.
    ///
    /// Too low, many bodies at once go slowly; too high, a sender can make this node hold as much.
    pub body_windows_bytes_max: u64,
    /// How far a body may be written ahead of its handler however many there are, in bytes. Default: 16 KiB.
    ///
    /// Too low, many bodies at once hardly get on; too high, as many as run at once may hold that much each.
    pub body_window_bytes_min: NonZeroU64,
    /// How classes share the writing of updates and result bodies.
    pub scheduler: SchedulerConfig,
    /// When a sender that was answered `Busy` may try again. Default: 500 ms.
    ///
    /// Too low, retries cost streams; too high, places stay empty.
    #[serde(with = "humantime_serde")]
    pub busy_retry_after: Duration,
    /// How long a handler that was told to stop may take before its outcome is a failure. Default: 10 s.
    ///
    /// Too low, handlers are given up before they could clean up; too high, a caller waits for one that is stuck.
    #[serde(with = "humantime_serde")]
    pub stop_grace: Duration,
    /// How long a handler that asks for more time to stop may take at most. Default: 10 min.
    ///
    /// Too low, what a program may take to end is cut short; too high, a caller waits as long for a handler that is stuck.
    #[serde(with = "humantime_serde")]
    pub stop_grace_max: Duration,
    /// How often an idempotent command is run when this node's processes end while it runs. Default: 3.
    ///
    /// Too low, it is unknown after a harmless restart; too high, one that takes this node down does so as often.
    pub idempotent_runs_max: NonZeroU32,
    /// Stream places that a sender may use ahead of what is accepted. Default: 256.
    ///
    /// Too low, the rate of commands on long paths falls; too high, each link costs memory (some 70 bytes a place).
    pub free_places: NonZeroUsize,
    /// Those of a new link, until its peer has opened half as many streams; no more than `free_places`. Default: 96.
    ///
    /// Too low, the first commands of a crowd wait a round trip longer; too high, links that carry few commands cost memory.
    pub free_places_at_first: NonZeroUsize,
}

impl Default for ReceiveQueueConfig {
    fn default() -> Self {
        Self {
            commands_max: 10_000,
            urgent_reserve: 32,
            sender_commands_max: 5_000,
            sender_commands_min: 64,
            bytes_max: 64 << 20,
            urgent_reserve_bytes: 2 << 20,
            sender_bytes_max: 32 << 20,
            sender_bytes_min: 256 << 10,
            journal_max: 100_000,
            journal_bytes_max: 64 << 20,
            running_max: 4_096,
            urgent_running_reserve: 32,
            running_max_by_name: BTreeMap::new(),
            body_window_bytes: 3 << 20,
            body_windows_bytes_max: 14 << 20,
            body_window_bytes_min: NonZeroU64::new(16 << 10).expect("16 KiB is not 0"),
            scheduler: SchedulerConfig::default(),
            busy_retry_after: Duration::from_millis(500),
            stop_grace: Duration::from_secs(10),
            stop_grace_max: Duration::from_secs(600),
            idempotent_runs_max: NonZeroU32::new(3).expect("3 is not 0"),
            free_places: NonZeroUsize::new(256).expect("256 is not 0"),
            free_places_at_first: NonZeroUsize::new(96).expect("96 is not 0"),
        }
    }
}
