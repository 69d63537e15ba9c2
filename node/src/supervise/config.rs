//! How supervisors hold what their programs write, and for how long.

use std::num::NonZeroU64;
use std::time::Duration;

/// How supervisors hold what their programs write, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisionConfig {
    /// Output of one program that may lie on the disk, in bytes; beyond it the program has to wait with writing.
    /// Default: 64 MiB. One more piece of output, and what the pipes of an ending program hold, may come on top.
    ///
    /// Too low, programs wait for the network; too high, many programs that nobody reads from fill the disk.
    pub spool_bytes_max: NonZeroU64,
    /// How long a program and its result are kept while no node asks for them. Default: 7 days.
    ///
    /// Too low, a build does not outlive a weekend without its node; too high, programs of a node that never comes back
    /// run on.
    #[serde(with = "humantime_serde")]
    pub absence_timeout: Duration,
    /// How often a supervisor looks whether its folder is still there; without it, it kills the program and ends.
    /// Default: 5 s.
    ///
    /// Too low, idle machines wake up for it; too high, programs of a node whose folder was removed run on that long.
    #[serde(with = "humantime_serde")]
    pub folder_check_interval: Duration,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            spool_bytes_max: NonZeroU64::new(64 << 20).expect("64 MiB are not 0"),
            absence_timeout: Duration::from_secs(7 * 24 * 3600),
            folder_check_interval: Duration::from_secs(5),
        }
    }
}
