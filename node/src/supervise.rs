//! Programs that outlive the node that started them.
//!
//! A small process, the **supervisor**, runs one program (by [`process`](crate::process)), holds its pipes, spools its
//! output and keeps how it ended. A node follows it through a socket in the program's folder and reads the output from
//! files there, by number; when the node dies or is restarted, the next one goes on from any record that has not been
//! let go of. What a supervisor leaves when it is killed itself is killed by the node, which says so.
//!
//! Start at [`Supervision`], the node's side; [`run`] is the supervisor's. Knows nothing of commands, links or queues.
//! Unix only; what a killed supervisor leaves is found on Linux only.

mod client;
mod config;
mod error;
mod folder;
mod message;
mod plan;
mod remains;
mod spool;
mod supervisor;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use self::client::{ANSWER_TIMEOUT, LOOK_DELAY};
use self::folder::{Folder, SOCKET};
use self::plan::Plan;
use crate::process::ProcessSpec;

pub use self::client::{Supervised, SupervisedEvent, SupervisedStdin};
pub use self::config::SupervisionConfig;
pub use self::error::SuperviseError;
pub use self::message::Trimmed;
pub use self::supervisor::run;

/// Where supervised programs have their folders, and what supervises them.
#[derive(Clone, Debug)]
pub struct Supervision {
    folder: PathBuf,
    program: PathBuf,
    config: SupervisionConfig,
}

impl Supervision {
    /// Keeps programs in folders below `folder`. `program supervise FOLDER` must call [`run`], as the program `runnel`
    /// does.
    ///
    /// Two nodes must not share a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, program: impl Into<PathBuf>, config: SupervisionConfig) -> Self {
        Self { folder: folder.into(), program: program.into(), config }
    }

    /// Keeps what is to be run under `name`, of letters and digits. Nothing runs before [`Self::follow`].
    ///
    /// Waits for the disk, and so may block for a moment.
    ///
    /// # Errors
    ///
    /// See [`SuperviseError`].
    pub fn plan(&self, name: &str, spec: &ProcessSpec) -> Result<(), SuperviseError> {
        let folder = self.folder_of(name)?;
        let mut spec = spec.clone();
        // The supervisor works elsewhere.
        let cwd = spec.cwd.take().unwrap_or_else(|| PathBuf::from("."));
        spec.cwd = Some(std::path::absolute(&cwd).map_err(SuperviseError::io(&cwd))?);
        folder.create()?;
        folder.write_plan(&Plan::new(&spec, &self.config))
    }

    /// Follows the program of `name`, from the output on that was not let go of. Starts it unless it was started before: it is
    /// started once at most, however often this is called and by how many nodes.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Gone`] when there is no such program; what became of one that there is [`Supervised::next`] says.
    ///
    /// # Cancel safety
    ///
    /// The program may have been started if the future is dropped; it is followed by calling this again.
    pub async fn follow(&self, name: &str) -> Result<Supervised, SuperviseError> {
        let folder = self.folder_of(name)?;
        let mut supervisor = None;
        // One that is launched may find the lock in the hands of a process that is just being started and has inherited
        // it, and leave it at that.
        for _ in 0..=LAUNCHES_MAX {
            match look(&folder).await? {
                Standing::Planned => supervisor = Some(self.launch(&folder).await?),
                Standing::Supervised(stream) => return Supervised::open(folder, stream, supervisor).await,
                Standing::Dead => return Supervised::dead(folder),
            }
        }
        Err(SuperviseError::NotReady { folder: folder.path().to_owned() })
    }

    /// Lets go of the program of `name`: kills it if it still runs, and removes its folder with its result. Does nothing if
    /// there is no such program.
    ///
    /// # Errors
    ///
    /// See [`SuperviseError`].
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been let go of if the future is dropped; it can be asked for again.
    pub async fn settle(&self, name: &str) -> Result<(), SuperviseError> {
        let folder = self.folder_of(name)?;
        let supervised = match look(&folder).await {
            Ok(Standing::Supervised(stream)) => Supervised::open(folder, stream, None).await?,
            Ok(Standing::Dead | Standing::Planned) => Supervised::dead(folder)?,
            Err(SuperviseError::Gone) => return folder.remove(),
            Err(error) => return Err(error),
        };
        supervised.settle().await
    }

    /// Returns the names of all programs that are not settled.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, SuperviseError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SuperviseError::io(&self.folder)(error)),
        };
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn folder_of(&self, name: &str) -> Result<Folder, SuperviseError> {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_name { Ok(Folder::new(self.folder.join(name))) } else { Err(SuperviseError::Gone) }
    }

    /// Starts a supervisor, and waits until it can be connected to or has ended.
    async fn launch(&self, folder: &Folder) -> Result<Child, SuperviseError> {
        let path = folder.log();
        let log = File::options().create(true).append(true).mode(0o600).open(&path);
        let log = log.map_err(SuperviseError::io(&path))?;
        let mut command = Command::new(&self.program);
        command.arg("supervise").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut supervisor = command
            .spawn()
            .map_err(|source| SuperviseError::Launch { program: self.program.clone(), source })?;
        if let Some(stdout) = supervisor.stdout.take() {
            let mut word = String::new();
            let said = timeout(ANSWER_TIMEOUT, BufReader::new(stdout).read_line(&mut word)).await;
            if said.is_err() {
                return Err(SuperviseError::NotReady { folder: folder.path().to_owned() });
            }
        }
        Ok(supervisor)
    }
}

/// How a program stands, as far as its folder says.
enum Standing {
    /// A supervisor is at work.
    Supervised(UnixStream),
    /// It was started, and its supervisor is dead.
    Dead,
    /// It was not started.
    Planned,
}

/// Finds out how a program stands. A supervisor that has just been started is waited for.
async fn look(folder: &Folder) -> Result<Standing, SuperviseError> {
    let until = Instant::now() + ANSWER_TIMEOUT;
    loop {
        if let Ok(stream) = connect(folder).await {
            return Ok(Standing::Supervised(stream));
        }
        // As long as the lock is held here, no supervisor begins.
        if let Some(_lock) = folder.lock()? {
            return match (folder.started()?, folder.plan()?) {
                (Some(_), _) => Ok(Standing::Dead),
                (None, Some(_)) => Ok(Standing::Planned),
                (None, None) => Err(SuperviseError::Gone),
            };
        }
        if Instant::now() >= until {
            return Err(SuperviseError::NotReady { folder: folder.path().to_owned() });
        }
        sleep(LOOK_DELAY).await;
    }
}

async fn connect(folder: &Folder) -> io::Result<UnixStream> {
    let path = folder.socket();
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(path).await;
    }
    // What is too long for a socket's address is reached through its folder.
    let folder = File::open(folder.path())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET);
    UnixStream::connect(short).await
}

/// How often a supervisor is launched for a program that none has started.
const LAUNCHES_MAX: usize = 5;

/// Longest path of a socket that every Unix takes, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 100;
