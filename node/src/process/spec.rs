//! What to run, and why it could not be started.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// One program with everything that decides how it runs. Made by [`ProcessSpec::new`], then adjusted by
/// field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program: a bare name is looked up in the `PATH` the process gets, anything with a slash is a path,
    /// and a relative path counts from `cwd`.
    pub program: String,
    /// The arguments after the program's name, passed as they are: no shell sees them.
    pub args: Vec<String>,
    /// Variables added to the environment; the last of equal names wins.
    pub env: Vec<(String, String)>,
    /// Whether the process starts without the node's own environment. Default: no.
    pub env_clear: bool,
    /// The working directory; `None` is the node's own.
    pub cwd: Option<PathBuf>,
    /// What the process reads as its standard input. Default: nothing.
    pub stdin: StdinMode,
    /// Longest time from the start to the exit, after which the process is stopped. Default: none.
    pub timeout: Option<Duration>,
    /// Longest silence on both outputs together, after which the process is stopped. Default: none.
    ///
    /// Output that waits in a pipe is not silence: a slow reader never gets its process stopped.
    pub no_output_timeout: Option<Duration>,
    /// From the request to end (SIGTERM) to the end by force (SIGKILL). Default: 5 s.
    ///
    /// Too low, programs leave locks and half-written files behind; too high, a stop that is ignored takes
    /// that long.
    pub kill_grace: Duration,
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

    /// Describes `program` without arguments, in the node's own environment and directory, without time
    /// limits.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_clear: false,
            cwd: None,
            stdin: StdinMode::default(),
            timeout: None,
            no_output_timeout: None,
            kill_grace: Self::DEFAULT_KILL_GRACE,
            drain_timeout: Duration::from_secs(2),
        }
    }

    /// Returns the command that starts this program as the leader of a process group of its own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).process_group(0);
        if self.env_clear {
            command.env_clear();
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let stdin = match self.stdin {
            StdinMode::Null => Stdio::null(),
            StdinMode::Piped => Stdio::piped(),
        };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
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
