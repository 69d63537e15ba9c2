//! Bounds of the send queue.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scheduler::SchedulerConfig;

/// Bounds of the send queue and how it sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SendQueueConfig {
    /// Commands of all peers, until their outcome is taken. Default: 100,000.
    ///
    /// Too low, callers are refused; too high, a node holds more memory.
    pub commands_max: usize,
    /// Bytes of arguments and payloads of all peers. Default: 256 MiB.
    pub bytes_max: u64,
    /// Commands of one peer. Default: 20,000.
    ///
    /// Too low, bursts to one peer are refused; too high, one peer takes the place of others.
    pub peer_commands_max: usize,
    /// Bytes of one peer. Default: 64 MiB.
    pub peer_bytes_max: u64,
    /// Commands of one class. Default: 100,000.
    ///
    /// Too low, callers of that class are refused although there is room; too high, one class takes the place of others.
    pub class_commands_max: usize,
    /// Bytes of one class. Default: 256 MiB.
    ///
    /// Too low, callers of that class are refused although there is room; too high, one class takes the place of others.
    pub class_bytes_max: u64,
    /// Commands that every peer may have however full the queue is, half of them for Urgent. They count in no bound on
    /// all peers, only in the peer's own. Default: 64.
    ///
    /// Too low, a full queue shuts out live peers; too high, the bounds are exceeded by that much for each peer.
    pub peer_commands_min: usize,
    /// Bytes that every peer may have however full the queue is, half of them for Urgent. Default: 256 KiB.
    ///
    /// Too low, a full queue shuts out live peers; too high, the bounds are exceeded by that much for each peer.
    pub peer_bytes_min: u64,
    /// Share of the bounds on all peers and on each class that peers without a link may have together, in percent.
    /// Default: 50.
    ///
    /// Too low, short outages refuse callers; at 100 dead peers take the place of live ones.
    pub unreachable_percent_max: u8,
    /// When a caller who was refused may try again. Default: 1 s.
    #[serde(with = "humantime_serde")]
    pub retry_after: Duration,
    /// How far a receiver may write the updates of a command ahead of its caller, in bytes. Default: 3 MiB.
    ///
    /// Too low, output waits for round trips; too high, a caller who does not read holds as much for each command.
    pub updates_window_bytes: u64,
    /// The same for a command whose caller takes little of it, in bytes; it grows to twice what is taken. Default: 256 KiB.
    ///
    /// Too low, a caller waits when it begins to read; too high, few callers who do not read use `credits_bytes_max` up.
    pub updates_window_bytes_untaken: u64,
    /// The same for a command that has hardly written; it grows to twice what has come. Default: 16 KiB.
    ///
    /// Too low, the first output waits for round trips; too high, commands that write nothing use `credits_bytes_max` up.
    pub updates_window_bytes_first: NonZeroU64,
    /// The same when `credits_bytes_max` is used up, in bytes: one update a round trip, however long. Default: 64 B.
    ///
    /// Too high, `credits_bytes_max` is exceeded by that much for each command.
    pub updates_window_bytes_min: NonZeroU64,
    /// How many bytes of updates are kept for each command whose caller comes later ([`UpdatePolicy::Store`]); what is
    /// beyond waits at its receiver. Default: 1 MiB. While a caller takes them it is as with `updates_window_bytes`.
    ///
    /// Too low, handlers wait for a caller who is away; too high, a node holds as much for each such command.
    ///
    /// [`UpdatePolicy::Store`]: runnel_codec::UpdatePolicy::Store
    pub updates_kept_bytes_max: u64,
    /// How far a receiver may write a result body ahead of its caller, in bytes. Default: 3 MiB.
    ///
    /// Too low, long paths are not filled; too high, a caller who does not read holds as much for each command.
    pub result_body_window_bytes: u64,
    /// The same when `credits_bytes_max` is used up, in bytes. Default: 16 KiB.
    ///
    /// Too low, many result bodies at once hardly get on; too high, the bound is exceeded by that much for each of them.
    pub result_body_window_bytes_min: NonZeroU64,
    /// How far one receiver may write updates and result bodies ahead of their callers together, in bytes; each command
    /// gets at most a quarter of what is left, and half for `updates_window_bytes_untaken`. Default: 12 MiB.
    ///
    /// Too low, many chatty commands go slowly; too high, callers who do not read hold as much for each receiver. Together
    /// with the smallest windows it belongs 2 MiB below the link's `receive_window`: beyond that, more is granted than may
    /// arrive unread.
    pub credits_bytes_max: u64,
    /// Pause before a command whose stream was lost is sent again; it doubles with each loss until the receiver answers.
    /// Default: 100 ms.
    ///
    /// Too low, a receiver that resets streams is stormed; too high, a single loss costs that long.
    #[serde(with = "humantime_serde")]
    pub resend_pause: Duration,
    /// Longest such pause. Default: 5 s.
    ///
    /// Too low, a receiver that cannot take a command is asked often; too high, it waits long after it could.
    #[serde(with = "humantime_serde")]
    pub resend_pause_max: Duration,
    /// How often an idempotent command is run when its receivers lose their memory of it. Default: 3.
    ///
    /// Too low, it is unknown after a harmless restart; too high, one that takes its receivers down does so as often.
    pub idempotent_runs_max: NonZeroU32,
    /// After how many links that died without an answer to its head a command is held back. Default: 5.
    ///
    /// Too low, a bad network holds commands back; too high, a head that kills links does so as often.
    pub links_died_max: NonZeroU32,
    /// Longest encoded arguments of a message that shares a stream with others, in bytes; 0: each has a stream of its own.
    /// Never more than 7936. Default: 2 KiB.
    ///
    /// Too low, many messages cost a stream each; too high, a long one holds up those behind it in its batch.
    pub batched_bytes_max: usize,
    /// How classes share the sending.
    pub scheduler: SchedulerConfig,
    /// Free stream places that only urgent commands may use. Default: 32.
    ///
    /// Too low, urgent commands wait for a place; too high, the others' rate falls.
    pub urgent_places: usize,
}

impl Default for SendQueueConfig {
    fn default() -> Self {
        Self {
            commands_max: 100_000,
            bytes_max: 256 << 20,
            peer_commands_max: 20_000,
            peer_bytes_max: 64 << 20,
            class_commands_max: 100_000,
            class_bytes_max: 256 << 20,
            peer_commands_min: 64,
            peer_bytes_min: 256 << 10,
            unreachable_percent_max: 50,
            retry_after: Duration::from_secs(1),
            updates_window_bytes: 3 << 20,
            updates_window_bytes_untaken: 256 << 10,
            updates_window_bytes_first: NonZeroU64::new(16 << 10).expect("16 KiB is not 0"),
            updates_window_bytes_min: NonZeroU64::new(64).expect("64 is not 0"),
            updates_kept_bytes_max: 1 << 20,
            result_body_window_bytes: 3 << 20,
            result_body_window_bytes_min: NonZeroU64::new(16 << 10).expect("16 KiB is not 0"),
            credits_bytes_max: 12 << 20,
            resend_pause: Duration::from_millis(100),
            resend_pause_max: Duration::from_secs(5),
            idempotent_runs_max: NonZeroU32::new(3).expect("3 is not 0"),
            links_died_max: NonZeroU32::new(5).expect("5 is not 0"),
            batched_bytes_max: 2 << 10,
            scheduler: SchedulerConfig::default(),
            urgent_places: 32,
        }
    }
}
