//! The folder of one supervised program: what its node and its supervisor leave there for each other.
//!
//! What stands in it decides what may still happen. Whoever holds the lock is the supervisor, or knows that there is
//! none. Once `started` is there the program has been started, and never is again.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use runnel_certs::{FileError, read_private, write_private};
use runnel_codec::{Decode, Encode, LARGE_BODY_BYTES_MAX, decode_body, encode_body};

use super::error::SuperviseError;
use super::message::{State, Trimmed};
use super::plan::Plan;
use super::remains::Session;

/// The folder of one supervised program.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// Nobody else is the supervisor as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Folder {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the folder, for its owner alone, unless it is there.
    pub(super) fn create(&self) -> Result<(), SuperviseError> {
        let path = self.0.join(LOCK);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(SuperviseError::io(&self.0))?;
        File::options().create(true).append(true).open(&path).map(drop).map_err(SuperviseError::io(&path))
    }

    /// Removes the folder. What allows a start goes first, so that no half of it can be started.
    pub(super) fn remove(&self) -> Result<(), SuperviseError> {
        ignore_missing(fs::remove_file(self.0.join(PLAN))).map_err(SuperviseError::io(&self.0))?;
        ignore_missing(fs::remove_dir_all(&self.0)).map_err(SuperviseError::io(&self.0))
    }

    /// Becomes the only one that may supervise; `None` if somebody is. [`SuperviseError::Gone`] means that there is no such
    /// folder, or half of one that is being removed.
    pub(super) fn lock(&self) -> Result<Option<Lock>, SuperviseError> {
        let path = self.0.join(LOCK);
        let file = match File::options().append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SuperviseError::Gone),
            Err(error) => return Err(SuperviseError::io(&path)(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(SuperviseError::io(&path)(error)),
        }
    }

    /// Returns whether the folder is there no more, for a process that works in it: it has not gone if it was moved.
    pub(super) fn is_gone_from_here() -> bool {
        matches!(Path::new(LOCK).try_exists(), Ok(false))
    }

    /// Keeps what is to be run.
    pub(super) fn write_plan(&self, plan: &Plan) -> Result<(), SuperviseError> {
        self.write(PLAN, plan)
    }

    /// Returns what is to be run; `None` if that was never said, or is settled.
    pub(super) fn plan(&self) -> Result<Option<Plan>, SuperviseError> {
        self.read(PLAN)
    }

    /// Keeps that the program is about to be started, durably.
    pub(super) fn write_started(&self, session: &Session) -> Result<(), SuperviseError> {
        self.write(STARTED, session)
    }

    /// Returns the session of the supervisor that has started the program; `None` before the start.
    pub(super) fn started(&self) -> Result<Option<Session>, SuperviseError> {
        self.read(STARTED)
    }

    /// Keeps which session the program leads, if that is not its supervisor's.
    pub(super) fn write_session(&self, session: &Session) -> Result<(), SuperviseError> {
        self.write(SESSION, session)
    }

    /// Returns which session the program leads; `None` if it is in its supervisor's.
    pub(super) fn session(&self) -> Result<Option<Session>, SuperviseError> {
        self.read(SESSION)
    }

    /// Keeps how the program ended, durably.
    pub(super) fn write_end(&self, state: &State) -> Result<(), SuperviseError> {
        self.write(END, state)
    }

    /// Returns how far everything was when the program had ended; `None` before that.
    pub(super) fn end(&self) -> Result<Option<State>, SuperviseError> {
        self.read(END)
    }

    /// Keeps what is let go of, durably. To be called before a file of the spool is removed.
    pub(super) fn write_trimmed(&self, trimmed: &Trimmed) -> Result<(), SuperviseError> {
        self.write(TRIMMED, trimmed)
    }

    /// Returns how much was let go of, as far as it is not there any more.
    pub(super) fn trimmed(&self) -> Result<Trimmed, SuperviseError> {
        Ok(self.read(TRIMMED)?.unwrap_or_default())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of the supervisor's log.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join(LOG)
    }

    /// Returns the path of the supervisor's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    fn write<T: Encode>(&self, name: &str, value: &T) -> Result<(), SuperviseError> {
        let max = LARGE_BODY_BYTES_MAX;
        let bytes = encode_body(value, max).map_err(|_| SuperviseError::TooLarge { max })?;
        Ok(write_private(&self.0.join(name), &bytes)?)
    }

    fn read<T: Decode<()>>(&self, name: &'static str) -> Result<Option<T>, SuperviseError> {
        match read_private(&self.0.join(name)) {
            Ok(bytes) => {
                decode_body(&bytes, LARGE_BODY_BYTES_MAX).map(Some).map_err(SuperviseError::malformed(name))
            }
            Err(FileError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What is to be run. The number is that of the file's shape.
const PLAN: &str = "plan.1";
/// Which session has started it.
const STARTED: &str = "started.1";
/// Which session it leads.
const SESSION: &str = "session.1";
/// How it ended.
const END: &str = "end.1";
/// How much of the output was let go of.
const TRIMMED: &str = "trimmed.1";
const LOCK: &str = "lock";
const LOG: &str = "log";
/// The name of the supervisor's socket, in its folder.
pub(super) const SOCKET: &str = "control";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_for_its_owner_alone_and_has_one_supervisor() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("exec/a"));
        let missing = folder.lock();
        assert!(matches!(missing, Err(SuperviseError::Gone)), "{missing:?}");
        folder.create().unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let lock = folder.lock().unwrap();
        assert!(lock.is_some());
        assert!(folder.lock().unwrap().is_none(), "somebody is the supervisor");
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn what_is_kept_is_found_until_the_folder_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("a"));
        folder.create().unwrap();
        assert_eq!(folder.end().unwrap(), None);
        let state = State { written: 3, ..State::default() };
        folder.write_end(&state).unwrap();
        assert_eq!(folder.end().unwrap(), Some(state));
        folder.remove().unwrap();
        assert!(!folder.path().exists());
        folder.remove().unwrap();
        assert_eq!(folder.end().unwrap(), None);
    }
}
