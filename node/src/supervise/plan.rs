//! What a supervisor has to know before it starts its program.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use runnel_codec::{Decode, Encode};

use super::config::SupervisionConfig;
use crate::process::{EndSignal, LogFile, ProcessSpec, StdinMode};

/// The program, and how it is supervised. Written by the node, read once by the supervisor.
///
/// A node and the supervisor that it starts may be of two versions: a change of shape takes a new file name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) struct Plan {
    program: String,
    args: Vec<String>,
    env: Vec<(String, Option<String>)>,
    env_clear: bool,
    report_env: bool,
    cwd: Option<Vec<u8>>,
    make_cwd: bool,
    has_stdin: bool,
    has_terminal: bool,
    log_files: Vec<LogFile>,
    log_poll_interval: Duration,
    timeout: Option<Duration>,
    no_output_timeout: Option<Duration>,
    lines_max: Option<u64>,
    kill_grace: Duration,
    /// By their names.
    stop_signal: String,
    kill_signal: String,
    kill_timeout: Duration,
    drain_timeout: Duration,
    spool_bytes_max: NonZeroU64,
    absence_timeout: Duration,
    folder_check_interval: Duration,
}

impl Plan {
    pub(super) fn new(spec: &ProcessSpec, config: &SupervisionConfig) -> Self {
        Self {
            program: spec.program.clone(),
            args: spec.args.clone(),
            env: spec.env.clone(),
            env_clear: spec.env_clear,
            report_env: spec.report_env,
            cwd: spec.cwd.as_ref().map(|cwd| cwd.as_os_str().as_bytes().to_owned()),
            make_cwd: spec.make_cwd,
            has_stdin: spec.stdin == StdinMode::Piped,
            has_terminal: spec.has_terminal,
            log_files: spec.log_files.clone(),
            log_poll_interval: spec.log_poll_interval,
            timeout: spec.timeout,
            no_output_timeout: spec.no_output_timeout,
            lines_max: spec.lines_max,
            kill_grace: spec.kill_grace,
            stop_signal: spec.stop_signal.name().to_owned(),
            kill_signal: spec.kill_signal.name().to_owned(),
            kill_timeout: spec.kill_timeout,
            drain_timeout: spec.drain_timeout,
            spool_bytes_max: config.spool_bytes_max,
            absence_timeout: config.absence_timeout,
            folder_check_interval: config.folder_check_interval,
        }
    }

    /// Returns what to run.
    pub(super) fn spec(&self) -> ProcessSpec {
        ProcessSpec {
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            env_clear: self.env_clear,
            report_env: self.report_env,
            cwd: self.cwd.clone().map(|cwd| PathBuf::from(OsString::from_vec(cwd))),
            make_cwd: self.make_cwd,
            stdin: if self.has_stdin { StdinMode::Piped } else { StdinMode::Null },
            has_terminal: self.has_terminal,
            log_files: self.log_files.clone(),
            log_poll_interval: self.log_poll_interval,
            timeout: self.timeout,
            no_output_timeout: self.no_output_timeout,
            lines_max: self.lines_max,
            kill_grace: self.kill_grace,
            // A name that is not known here was written by another version: it gets what ends a program for certain.
            stop_signal: self.stop_signal.parse().unwrap_or(EndSignal::TERM),
            kill_signal: self.kill_signal.parse().unwrap_or(EndSignal::KILL),
            kill_timeout: self.kill_timeout,
            drain_timeout: self.drain_timeout,
        }
    }

    /// Returns how much output may lie on the disk, in bytes.
    pub(super) fn spool_bytes_max(&self) -> NonZeroU64 {
        self.spool_bytes_max
    }

    /// Returns how long the supervisor goes on alone.
    pub(super) fn absence_timeout(&self) -> Duration {
        self.absence_timeout
    }

    /// Returns how often the supervisor looks whether its folder is there.
    pub(super) fn folder_check_interval(&self) -> Duration {
        self.folder_check_interval
    }
}

#[cfg(test)]
mod tests {
    use runnel_codec::{SMALL_BODY_BYTES_MAX, decode_body, encode_body};

    use super::*;

    #[test]
    fn a_plan_brings_all_of_a_program_across() {
        let spec = ProcessSpec {
            args: vec!["-c".into(), "true".into()],
            env: vec![("A".into(), Some("b".into())), ("C".into(), None)],
            env_clear: true,
            report_env: true,
            make_cwd: true,
            has_terminal: true,
            log_files: vec![LogFile { name: "a".into(), path: "b/c".into(), follow: true }],
            log_poll_interval: Duration::from_millis(7),
            lines_max: Some(3),
            stop_signal: "INT".parse().unwrap(),
            kill_signal: "USR1".parse().unwrap(),
            kill_timeout: Duration::from_secs(9),
            cwd: Some(OsString::from_vec(vec![b'/', 0xff]).into()),
            stdin: StdinMode::Piped,
            timeout: Some(Duration::from_millis(1500)),
            no_output_timeout: Some(Duration::from_secs(1)),
            kill_grace: Duration::from_secs(2),
            drain_timeout: Duration::MAX,
            ..ProcessSpec::new("sh")
        };
        let plan = Plan::new(&spec, &SupervisionConfig::default());
        let bytes = encode_body(&plan, SMALL_BODY_BYTES_MAX).unwrap();
        let read: Plan = decode_body(&bytes, SMALL_BODY_BYTES_MAX).unwrap();
        assert_eq!(read, plan);
        assert_eq!(read.spec(), spec);
    }
}
