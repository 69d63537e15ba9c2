//! `fs.remove`: removes files and folders.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use runnel_codec::{Command, Decode, Encode};
use rustix::fs::{AtFlags, FileType, Mode, fchmod, unlinkat};
use rustix::io::Errno;

use super::place::{Place, PlaceError};
use super::walk::{Bounds, Left, Next, Visitor, WalkError, walk};
use super::{FsKind, Work, failed, refused};
use crate::handler::HandlerError;

/// `fs.remove/1`: removes files, links and folders with all that is in them. What is not there is fine, so it is harmless to
/// run again; what is told then is what the last run removed.
///
/// A link is removed, and never followed. A path that fails does not keep the others from being removed; then the command
/// fails in the end, names the first, and says how much was removed. Told to stop, or past its deadline, it stops between two entries.
#[derive(Debug)]
pub enum FsRemove {}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsRemoveArgs {
    /// Files, links and folders; relative paths count from the worker's root, or its working directory.
    pub paths: Vec<String>,
    /// Whether folders are removed, with all that is in them; otherwise a folder is a failure.
    pub folders: bool,
    /// Whether folders that may be read and not changed are made writable for their owner first.
    pub force: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsRemoved {
    /// The paths at which something was, as they were asked for, in that order.
    pub paths: Vec<String>,
    /// Files, links and folders in all, those in folders too.
    pub entries: u64,
}

impl Command for FsRemove {
    const NAME: &'static str = "fs.remove/1";
    const IDEMPOTENT: bool = true;
    type Args = FsRemoveArgs;
    type Update = runnel_codec::Never;
    type Result = FsRemoved;
}

pub(super) fn run(args: FsRemoveArgs, work: &Work) -> Result<FsRemoved, HandlerError> {
    work.check_paths(&args.paths)?;
    let mut removal = if args.force { Removal::forced() } else { Removal::default() };
    let (mut paths, mut failures) = (Vec::new(), Vec::new());
    for path in &args.paths {
        match remove_path(path, args.folders, work, &mut removal) {
            Ok(true) => paths.push(path.clone()),
            Ok(false) => {}
            Err(error) if (work.stopped)().is_some() => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    let failed = failures.len();
    match failures.into_iter().next() {
        None => Ok(FsRemoved { paths, entries: removal.entries }),
        Some(first) => Err(first.and(&format!(
            "{failed} of {} paths failed, {} entries were removed",
            args.paths.len(),
            removal.entries
        ))),
    }
}

/// Removes what is at a path. Returns whether anything was.
fn remove_path(path: &str, folders: bool, work: &Work, removal: &mut Removal) -> Result<bool, HandlerError> {
    work.go_on()?;
    let path = Path::new(path);
    let place = match Place::entry(&work.confinement, path) {
        Ok(place) if path.file_name().is_none() || place.is_root() => {
            return Err(HandlerError::new(format!("cannot remove {:?}: it is no name in a folder", path)));
        }
        Ok(place) => place,
        Err(PlaceError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(refused("cannot remove", path, error)),
    };
    match place.stat() {
        Ok(stat) if !folders && FileType::from_raw_mode(stat.st_mode).is_dir() => {
            return Err(failed("cannot remove", path, &Errno::ISDIR.into()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("cannot remove", path, &error)),
    }
    let bounds = Bounds { depth_max: work.config.depth_max.get(), stopped: &work.stopped };
    remove(&place, &bounds, removal).map_err(|error| {
        let stopped = format!("stopped after {} entries were removed", removal.entries);
        error.told("cannot remove", path, &stopped)
    })?;
    Ok(true)
}

/// Removes what stands at a place, with all that is in it.
pub(super) fn remove(place: &Place, bounds: &Bounds<'_>, removal: &mut Removal) -> Result<(), WalkError> {
    removal.marks.clear();
    match walk(place, bounds, removal) {
        // Somebody else was faster.
        Err(WalkError::Io { path, source })
            if path.as_os_str().is_empty() && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        walked => walked,
    }
}

/// How far a removal has come.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// What was removed.
    entries: u64,
    /// For each folder that it is in, what was removed when its reading began.
    marks: Vec<u64>,
    /// Folders are made writable first.
    is_forced: bool,
}

impl Removal {
    /// Makes one that lets no permissions of folders keep it from removing what is in them, as far as they can be read.
    pub(super) fn forced() -> Self {
        Self { is_forced: true, ..Self::default() }
    }

    fn unlink(&mut self, folder: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
        match unlinkat(folder, name, flags) {
            Ok(()) => self.entries += 1,
            // Somebody else was faster.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Visitor for Removal {
    fn meet(&mut self, folder: BorrowedFd<'_>, name: &OsStr, kind: FsKind) -> io::Result<Next> {
        if kind == FsKind::Folder {
            return Ok(Next::Into);
        }
        self.unlink(folder, name, AtFlags::empty())?;
        Ok(Next::Past)
    }

    fn enter(&mut self, folder: BorrowedFd<'_>, _name: &OsStr) -> io::Result<()> {
        if self.is_forced {
            // Where it is not allowed, what follows says so.
            fchmod(folder, Mode::RWXU).ok();
        }
        self.marks.push(self.entries);
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<Left> {
        let mark = self.marks.pop().unwrap_or(self.entries);
        match self.unlink(parent, name, AtFlags::REMOVEDIR) {
            // Systems may pass over names when others are removed while they are read.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.entries > mark => {
                self.marks.push(self.entries);
                Ok(Left::Again)
            }
            removed => removed.map(|()| Left::Done).map_err(io::Error::from),
        }
    }

    fn passes_over(&mut self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::NotFound
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use runnel_queue::StopReason;

    use super::*;
    use crate::commands::folders::os_error;
    use crate::commands::folders::testing::{Yard, message};

    fn args(paths: &[&str]) -> FsRemoveArgs {
        FsRemoveArgs {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            folders: true,
            force: false,
        }
    }

    #[test]
    fn files_links_and_folders_are_removed_and_what_is_missing_is_fine() {
        let yard = Yard::with_tree();
        let removed =
            run(args(&["tree/sub", "missing", "none/x", "tree/link", "tree/file"]), &yard.work()).unwrap();
        assert_eq!(removed.paths, ["tree/sub", "tree/link", "tree/file"]);
        // sub, sub/deep, sub/deep/file, sub/way; link; file.
        assert_eq!(removed.entries, 6);
        assert_eq!(fs::read_dir(yard.inside("tree")).unwrap().count(), 0);
        let again = run(args(&["tree/sub"]), &yard.work()).unwrap();
        assert_eq!((again.paths.len(), again.entries), (0, 0));
    }

    #[test]
    fn links_are_not_followed_out() {
        let yard = Yard::with_tree();
        fs::write(yard.outside("kept"), "").unwrap();
        // `tree/sub/way` leads outside.
        run(args(&["tree"]), &yard.work()).unwrap();
        symlink(yard.outside(""), yard.inside("out")).unwrap();
        message(run(args(&["out/kept"]), &yard.work()));
        message(run(args(&["../outside/kept"]), &yard.work()));
        run(args(&["out"]), &yard.work()).unwrap();
        assert!(yard.outside("kept").exists() && fs::read_dir(yard.inside("")).unwrap().count() == 0);
    }

    #[test]
    fn the_root_and_nameless_paths_stay() {
        let yard = Yard::with_tree();
        for path in [".", "", yard.inside("").to_str().unwrap()] {
            let failure = message(run(args(&[path]), &yard.work()));
            assert!(failure.contains("no name"), "{failure}");
        }
        assert!(yard.inside("tree/file").exists());
    }

    #[test]
    fn a_folder_stays_unless_folders_are_meant_and_the_others_go() {
        let yard = Yard::with_tree();
        let only_files = FsRemoveArgs { folders: false, ..args(&["tree/sub", "tree/file"]) };
        let failure = message(run(only_files, &yard.work()));
        assert_eq!(os_error(&failure), Some(21), "{failure}");
        assert!(failure.ends_with("; 1 of 2 paths failed, 1 entries were removed"), "{failure}");
        assert!(yard.inside("tree/sub").exists() && !yard.inside("tree/file").exists());
    }

    #[test]
    fn forced_it_makes_folders_writable_first() {
        let yard = Yard::with_tree();
        fs::set_permissions(yard.inside("tree"), fs::Permissions::from_mode(0o500)).unwrap();
        let place = Place::entry(&yard.confinement, Path::new("tree")).unwrap();
        let in_tree = || fs::metadata(yard.inside("tree")).unwrap().permissions().mode() & 0o777;
        let stopped = || (in_tree() == 0o700).then_some(StopReason::Cancelled);
        let bounds = Bounds { depth_max: 9, stopped: &stopped };
        assert!(remove(&place, &bounds, &mut Removal::forced()).is_err(), "stopped once it is writable");
        assert!(run(FsRemoveArgs { force: true, ..args(&["tree"]) }, &yard.work()).is_ok());
    }

    #[test]
    fn it_stops_between_entries() {
        let yard = Yard::new();
        for number in 0..10 {
            fs::write(yard.inside(&format!("{number}")), "").unwrap();
        }
        let asked = Cell::new(0);
        let stopped = || {
            asked.set(asked.get() + 1);
            (asked.get() > 5).then_some(StopReason::Cancelled)
        };
        let place = Place::target(&yard.confinement, Path::new(".")).unwrap();
        let mut removal = Removal::default();
        let ended = remove(&place, &Bounds { depth_max: 9, stopped: &stopped }, &mut removal);
        assert!(matches!(ended, Err(WalkError::Stopped(StopReason::Cancelled))), "{ended:?}");
        assert_eq!((removal.entries, fs::read_dir(yard.inside("")).unwrap().count()), (4, 6));
    }

    #[test]
    fn too_deep_is_said() {
        let yard = Yard::new();
        fs::create_dir_all(yard.inside("a/b/c/d")).unwrap();
        let place = Place::entry(&yard.confinement, Path::new("a")).unwrap();
        let bounds = Bounds { depth_max: 2, stopped: &|| None };
        let ended = remove(&place, &bounds, &mut Removal::default()).unwrap_err();
        let failure = message(Err::<(), _>(ended.told("cannot remove", Path::new("a"), "")));
        assert!(failure.contains("a/b/c/d: more than 2 folders deep"), "{failure}");
    }
}
