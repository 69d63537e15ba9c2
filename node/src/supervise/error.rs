//! Why a supervised program cannot be run, or followed any further.

use std::io;
use std::path::{Path, PathBuf};

use runnel_certs::FileError;
use runnel_codec::DecodeError;

/// Why a supervised program cannot be run, or followed any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// A file or folder could not be read, written or removed: look at its owner, its mode and the room on its disk.
    #[error("cannot use {}", path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A private file could not be read or written, or is open to other users.
    #[error("cannot keep what a supervisor has to know")]
    File(#[from] FileError),
    /// A file or a frame does not hold what it should: whatever wrote it is not a supervisor of this kind.
    #[error("cannot understand {what}")]
    Malformed {
        /// Which file or frame.
        what: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The program does not fit into the file that tells its supervisor of it: shorten its arguments or variables.
    #[error("the program and its arguments do not fit into {max} bytes")]
    TooLarge {
        /// Allowed, in bytes.
        max: usize,
    },
    /// The supervisor could not be started: the program named in the configuration must be there and executable.
    #[error("cannot start the supervisor {}", program.display())]
    Launch {
        /// The program that was to be the supervisor.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor was started and does not answer: its log is in the folder.
    #[error("the supervisor in {} does not answer", folder.display())]
    NotReady {
        /// The folder of the supervised program.
        folder: PathBuf,
    },
    /// The program was never started.
    #[error("the program was not started: {message}")]
    NotStarted {
        /// Why.
        message: String,
    },
    /// The supervisor has died before the program, and what was left of the program was killed: how it would have ended
    /// is not known. Output that the program had not handed to its supervisor is lost.
    #[error("the supervisor of the program died, and the program was killed")]
    Lost,
    /// Nothing is known of the program any more: it was settled, or nobody asked for it for too long.
    #[error("nothing is known of the program any more")]
    Gone,
    /// Somebody else follows the program now: leave it to them.
    #[error("the program is followed by another process now")]
    Replaced,
    /// The output that was asked for has been let go of: ask for what comes later.
    #[error("output before record {first} has been let go of")]
    Trimmed {
        /// The first record that is still there.
        first: u64,
    },
}

impl SuperviseError {
    /// Makes the error of a file or folder.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Makes the error of something that cannot be decoded.
    pub(super) fn malformed(what: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Malformed { what, source }
    }
}
