//! What a supervisor has to know before it starts its program.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use runnel_codec::{Decode, Encode};

use super::config::SupervisionConfig;
use crate::process::{ProcessSpec, StdinMode};

/// The program, and how it is supervised. Written by the node, read once by the supervisor.
///
/// A node and the supervisor that it starts may be of two versions: a change of shape takes a new file name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) struct Plan {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    env_clear: bool,
    cwd: Option<Vec<u8>>,
    has_stdin: bool,
    timeout: Option<Duration>,
    no_output_timeout: Option<Duration>,
    kill_grace: Duration,
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
            cwd: spec.cwd.as_ref().map(|cwd| cwd.as_os_str().as_bytes().to_owned()),
            has_stdin: spec.stdin == StdinMode::Piped,
            timeout: spec.timeout,
            no_output_timeout: spec.no_output_timeout,
            kill_grace: spec.kill_grace,
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
            cwd: self.cwd.clone().map(|cwd| PathBuf::from(OsString::from_vec(cwd))),
            stdin: if self.has_stdin { StdinMode::Piped } else { StdinMode::Null },
            timeout: self.timeout,
            no_output_timeout: self.no_output_timeout,
            kill_grace: self.kill_grace,
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
            env: vec![("A".into(), "b".into())],
            env_clear: true,
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
