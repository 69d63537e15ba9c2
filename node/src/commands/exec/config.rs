//! How `exec` looks after the programs that it runs.

use std::time::Duration;

use crate::process::ProcessSpec;

/// How `exec` looks after the programs that it runs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecConfig {
    /// What the variables of one command may take together once they are expanded, in bytes; a command with more fails.
    /// Default: 2 MiB, as much as Linux lets a program have of arguments and variables.
    ///
    /// Too low, commands are refused; too high, a few bytes that stand for many take the worker's memory.
    pub expanded_env_bytes_max: usize,
    /// Log files of one program that may be followed; a command with more fails. Default: 32.
    ///
    /// Too low, commands are refused; too high, one command has the worker look at as many files again and again.
    pub log_files_max: usize,
    /// From one look at a program's log files to the next; at the program's end they are looked at once more. Default:
    /// 100 ms.
    ///
    /// Too low, the machine has as many looks for each program; too high, callers see late what is logged.
    #[serde(with = "humantime_serde")]
    pub log_poll_interval: Duration,
    /// From a `kill_signal` other than SIGKILL to SIGKILL. Default: 5 s.
    ///
    /// Too low, programs are killed while they clean up; too high, one that ignores the signal runs on that long.
    #[serde(with = "humantime_serde")]
    pub kill_timeout: Duration,
}

impl Default for ExecConfig {
    fn default() -> Self {
        Self {
            expanded_env_bytes_max: 2 << 20,
            log_files_max: 32,
            log_poll_interval: ProcessSpec::DEFAULT_LOG_POLL_INTERVAL,
            kill_timeout: ProcessSpec::DEFAULT_KILL_TIMEOUT,
        }
    }
}
