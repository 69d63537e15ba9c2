//! `fs.mkdir`, `fs.remove`, `fs.copy`, `fs.stat`, `fs.list` and `fs.glob`: folders and what is in them, by name.
//!
//! All of it asks the disk on threads that may block. A path is resolved as the worker's confinement says and then opened
//! folder by folder without following links, so that nobody who changes names meanwhile leads a command out of the root.
//!
//! Paths are text. A name on the disk that is not UTF-8 is told with U+FFFD in place of its wrong bytes, and cannot be
//! given back as an argument; what is around it can.

mod config;
mod copy;
mod glob;
mod list;
mod merge;
mod mkdir;
mod page;
mod pattern;
mod place;
mod remove;
mod stat;
mod walk;

use std::io;
use std::path::Path;
use std::sync::Arc;

use runnel_codec::{Command, Decode, Encode};
use runnel_queue::StopReason;
use rustix::fs::FileType;

use self::place::PlaceError;
use crate::handler::{Context, HandlerError, Handlers};
use crate::process::Confinement;

pub use self::config::FoldersConfig;
pub use self::copy::{FsCopy, FsCopyArgs};
pub use self::glob::{FsFoundPaths, FsGlob, FsGlobArgs};
pub use self::list::{FsEntries, FsEntry, FsList, FsListArgs};
pub use self::mkdir::{FsMade, FsMkdir, FsMkdirArgs};
pub use self::remove::{FsRemove, FsRemoveArgs, FsRemoved};
pub use self::stat::{FsStat, FsStatArgs, FsStatResult};

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum FsKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Link,
    /// A socket, a pipe or a device.
    Other,
}

impl From<FileType> for FsKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

/// What a command works within.
struct Work {
    confinement: Arc<Confinement>,
    config: Arc<FoldersConfig>,
    /// Why it is to stop, if it is.
    stopped: Box<dyn Fn() -> Option<StopReason> + Send>,
}

impl Work {
    /// Checks how many paths a command names.
    fn check_paths(&self, paths: &[String]) -> Result<(), HandlerError> {
        let max = self.config.paths_max.get();
        if paths.len() > max {
            return Err(HandlerError::new(format!(
                "{} paths are more than the {max} that this worker takes at once",
                paths.len()
            )));
        }
        Ok(())
    }

    /// Returns how many entries an answer may have.
    fn entries_max(&self, limit: Option<u32>) -> usize {
        let asked = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        asked.clamp(1, self.config.entries_max.get())
    }

    /// Returns an error if the command is to stop.
    fn go_on(&self) -> Result<(), HandlerError> {
        match (self.stopped)() {
            None => Ok(()),
            Some(reason) => Err(HandlerError::stopped(reason, "stopped before it was done")),
        }
    }
}

/// Returns the number that the worker's system gave to what went wrong, such as 2 for "no such file or directory", if the
/// message of a failed file command names one.
///
/// ```
/// assert_eq!(runnel::commands::os_error("cannot remove a: Is a directory (os error 21)"), Some(21));
/// ```
pub fn os_error(message: &str) -> Option<i32> {
    let (_, rest) = message.rsplit_once("(os error ")?;
    rest.split_once(')')?.0.parse().ok()
}

pub(super) fn register(handlers: &mut Handlers, confinement: &Arc<Confinement>, config: FoldersConfig) {
    let mut registry = Registry { handlers, confinement, config: &Arc::new(config) };
    registry.on::<FsMkdir>(mkdir::run);
    registry.on::<FsRemove>(remove::run);
    registry.on::<FsCopy>(copy::run);
    registry.on::<FsStat>(stat::run);
    registry.on::<FsList>(list::run);
    registry.on::<FsGlob>(glob::run);
}

struct Registry<'a> {
    handlers: &'a mut Handlers,
    confinement: &'a Arc<Confinement>,
    config: &'a Arc<FoldersConfig>,
}

impl Registry<'_> {
    /// Has a command done by a function that blocks. It is told to stop, and its handler waits until it has: what it does to
    /// the disk is over when the command is.
    fn on<C: Command>(&mut self, run: fn(C::Args, &Work) -> Result<C::Result, HandlerError>) {
        let (confinement, config) = (self.confinement.clone(), self.config.clone());
        self.handlers.on::<C, _, _>(move |context: Context<C>, args| {
            let stop = context.stop_signal();
            let work = Work {
                confinement: confinement.clone(),
                config: config.clone(),
                stopped: Box::new(move || stop.reason()),
            };
            async move {
                let done = tokio::task::spawn_blocking(move || run(args, &work)).await;
                done.map_err(|_| HandlerError::new("the work on the disk was broken off"))?
            }
        });
    }
}

/// Says what could not be done to which path.
fn failed(what: &str, path: &Path, error: &io::Error) -> HandlerError {
    HandlerError::new(format!("{what} {}: {error}", path.display()))
}

/// Says what could not be done to a path that cannot be opened.
fn refused(what: &str, path: &Path, error: PlaceError) -> HandlerError {
    HandlerError::from(error).within(&format!("{what} {}", path.display()))
}

#[cfg(test)]
mod testing;
