//! What to run, and why it could not be started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::environment;
use super::log_files::LogFile;
use super::signal::EndSignal;

/// One program with everything that decides how it runs. Made by [`ProcessSpec::new`], then adjusted by
/// field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program: a bare name is looked up in the `PATH` the process gets, anything with a slash is a path,
    /// and a relative path counts from `cwd`.
    pub program: String,
    /// The arguments after the program's name, passed as they are: no shell sees them.
    pub args: Vec<String>,
    /// Variables set in the environment, or removed from it where there is no value; the last of equal names wins.
    pub env: Vec<(String, Option<String>)>,
    /// Whether the process starts without the node's own environment. Default: no.
    pub env_clear: bool,
    /// Whether the first pieces of output tell the environment that the process gets. Default: no.
    pub report_env: bool,
    /// The working directory, which `PWD` names too; `None` is the node's own.
    pub cwd: Option<PathBuf>,
    /// Whether a missing `cwd` is made, with the directories above it. Default: no.
    pub make_cwd: bool,
    /// What the process reads as its standard input. Default: nothing.
    pub stdin: StdinMode,
    /// Whether the process has a terminal, as its three streams and to control it, and a session of its own. Default: no.
    ///
    /// All output is then that of the terminal, told as standard output. Input is not echoed; the terminal cuts its lines
    /// after 4095 bytes, and gives its end to one reader, once.
    pub has_terminal: bool,
    /// Files that are followed while the process runs, and once more at its end. Default: none.
    pub log_files: Vec<LogFile>,
    /// From one look at these files to the next. Default: 100 ms.
    ///
    /// Too low, a waiting process costs the machine as many looks; too high, what is logged comes late.
    pub log_poll_interval: Duration,
    /// Longest time from the start to the exit, after which the process is stopped. Default: none.
    pub timeout: Option<Duration>,
    /// Longest silence on both outputs and in the followed files together, after which the process is stopped. Default:
    /// none.
    ///
    /// Output that waits in a pipe or a file is not silence: a slow reader never gets its process stopped.
    pub no_output_timeout: Option<Duration>,
    /// Most lines on both outputs together, ended by LF, CR or both; beyond it the process is stopped. Default: any
    /// number.
    pub lines_max: Option<u64>,
    /// From the request to end (`stop_signal`) to the end by `kill_signal`; without any, `kill_signal` comes at once and
    /// there is no request. Default: 5 s.
    ///
    /// Too low, programs leave locks and half-written files behind; too high, a stop that is ignored takes
    /// that long.
    pub kill_grace: Duration,
    /// What asks the process and its group to end. Default: SIGTERM.
    pub stop_signal: EndSignal,
    /// What ends those who did not heed the request. Default: SIGKILL.
    pub kill_signal: EndSignal,
    /// From a `kill_signal` other than SIGKILL to SIGKILL. Default: 5 s.
    ///
    /// Too low, a signal that lets programs clean up is none; too high, one that is ignored takes that long.
    pub kill_timeout: Duration,
    /// How long the output pipes may stay open after the exit, held by processes left behind. Default: 2 s.
    ///
    /// Too low, the last words of a pipeline are cut off; too high, a forgotten background process delays the
    /// result.
    pub drain_timeout: Duration,
}

/// What a process reads as its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StdinMode {
    /// End of file at once.
    #[default]
    Null,
    /// What is written to the handle that [`Process::take_stdin`](super::Process::take_stdin) returns.
    Piped,
}

impl ProcessSpec {
    /// From the request to end to the end by force, where nothing else is said.
    pub const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(5);
    /// From a signal that need not end a program to one that does, where nothing else is said.
    pub const DEFAULT_KILL_TIMEOUT: Duration = Duration::from_secs(5);
    /// From one look at followed files to the next, where nothing else is said.
    pub const DEFAULT_LOG_POLL_INTERVAL: Duration = Duration::from_millis(100);

    /// Describes `program` without arguments, in the node's own environment and directory, without time
    /// limits.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_clear: false,
            report_env: false,
            cwd: None,
            make_cwd: false,
            stdin: StdinMode::default(),
            has_terminal: false,
            log_files: Vec::new(),
            log_poll_interval: Self::DEFAULT_LOG_POLL_INTERVAL,
            timeout: None,
            no_output_timeout: None,
            lines_max: None,
            kill_grace: Self::DEFAULT_KILL_GRACE,
            stop_signal: EndSignal::TERM,
            kill_signal: EndSignal::KILL,
            kill_timeout: Self::DEFAULT_KILL_TIMEOUT,
            drain_timeout: Duration::from_secs(2),
        }
    }

    /// Returns how long the process may take to end once it is stopped: then SIGKILL has come.
    #[must_use]
    pub fn stop_time(&self) -> Duration {
        match self.kill_signal {
            EndSignal::KILL => self.kill_grace,
            _ => self.kill_grace.saturating_add(self.kill_timeout),
        }
    }

    /// Makes the working directory if that is asked for.
    pub(super) fn make_cwd(&self) -> Result<(), SpawnError> {
        match &self.cwd {
            Some(cwd) if self.make_cwd => {
                fs::create_dir_all(cwd).map_err(|source| SpawnError::CwdNotMade { cwd: cwd.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Returns the command that starts this program, without its streams and its group.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(environment::of(self));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    /// Lets a command lead a process group of its own, with pipes as its streams.
    pub(super) fn set_pipes(&self, command: &mut Command) {
        let stdin = match self.stdin {
            StdinMode::Null => Stdio::null(),
            StdinMode::Piped => Stdio::piped(),
        };
        command.process_group(0).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
}

/// Why a process could not be started. Nothing runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no such program, or the interpreter that its first line names is missing: correct the name or
    /// `PATH`.
    #[error("program {program} not found")]
    NotFound {
        /// The program as it was asked for.
        program: String,
    },
    /// The program is not executable, or a directory on the way may not be entered: correct the file modes.
    #[error("no permission to run {program}")]
    PermissionDenied {
        /// The program as it was asked for.
        program: String,
    },
    /// The working directory does not exist or is not a directory: create it first.
    #[error("working directory {} is missing", cwd.display())]
    CwdMissing {
        /// The directory as it was asked for.
        cwd: PathBuf,
    },
    /// The working directory could not be made: something else has its name, or a directory above it may not be written.
    #[error("working directory {} cannot be made", cwd.display())]
    CwdNotMade {
        /// The directory as it was asked for.
        cwd: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no terminal to be had: too many are open, or the system has none.
    #[error("cannot get a terminal for {program}")]
    Terminal {
        /// The program as it was asked for.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused for another reason. Out of processes, memory or files: later attempts may succeed.
    /// Arguments too long or with a zero byte in them: they will not.
    #[error("cannot start {program}")]
    Io {
        /// The program as it was asked for.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SpawnError {
    /// Sorts the system's answer: it says "not found" of the program and of the directory alike.
    pub(super) fn new(spec: &ProcessSpec, source: io::Error) -> Self {
        let program = spec.program.clone();
        match (source.kind(), spec.cwd.as_deref()) {
            (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, Some(cwd)) if is_missing(cwd) => {
                Self::CwdMissing { cwd: cwd.to_owned() }
            }
            (io::ErrorKind::NotFound, _) => Self::NotFound { program },
            (io::ErrorKind::PermissionDenied, _) => Self::PermissionDenied { program },
            _ => Self::Io { program, source },
        }
    }
}

fn is_missing(directory: &Path) -> bool {
    !directory.is_dir()
}
