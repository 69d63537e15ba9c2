//! Goes through a tree by open folders, entry by entry, and never through a link. It can be stopped between entries.
//!
//! Holds one descriptor and one buffer for each folder on the way down, whatever is in them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use runnel_queue::StopReason;
use rustix::fs::{AtFlags, Dir, FileType, Mode, openat, statat};

use super::FsKind;
use super::place::{FOLDER, Place};
use crate::handler::HandlerError;

/// What is done with the entries of a tree. Errors end the walk.
pub(super) trait Visitor {
    /// Comes upon a name in a folder. The first one is where the walk begins.
    fn meet(&mut self, folder: BorrowedFd<'_>, name: &OsStr, kind: FsKind) -> io::Result<Next>;

    /// Has opened a folder that it goes into.
    fn enter(&mut self, _folder: BorrowedFd<'_>, _name: &OsStr) -> io::Result<()> {
        Ok(())
    }

    /// Has seen all that is in a folder; `parent` is the one that it lies in.
    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &OsStr) -> io::Result<Left> {
        Ok(Left::Done)
    }

    /// Says whether a folder that cannot be opened is passed over.
    fn passes_over(&mut self, _error: &io::Error) -> bool {
        false
    }
}

/// Where to go from a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Into it; it is a folder.
    Into,
    /// To the next one.
    Past,
}

/// Whether a folder is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It is.
    Done,
    /// It is read again from its beginning.
    Again,
}

/// How far a walk goes.
pub(super) struct Bounds<'a> {
    /// Folders in folders.
    pub(super) depth_max: usize,
    /// Why it is to stop, if it is.
    pub(super) stopped: &'a dyn Fn() -> Option<StopReason>,
}

/// Why a walk did not come to its end. Paths count from where it began.
#[derive(Debug)]
pub(super) enum WalkError {
    /// It was told to stop.
    Stopped(StopReason),
    /// The folder lies too deep.
    TooDeep { path: PathBuf, max: usize },
    /// What the system said of a name.
    Io { path: PathBuf, source: io::Error },
}

/// Goes through what stands at `place` and all below it.
pub(super) fn walk(place: &Place, bounds: &Bounds<'_>, visitor: &mut impl Visitor) -> Result<(), WalkError> {
    let kind = place.stat().map_err(|source| WalkError::Io { path: PathBuf::new(), source })?;
    let kind = FileType::from_raw_mode(kind.st_mode).into();
    Walk { place, bounds, levels: Vec::new() }.run(kind, visitor)
}

struct Walk<'a> {
    place: &'a Place,
    bounds: &'a Bounds<'a>,
    levels: Vec<Level>,
}

/// A folder that the walk is in.
struct Level {
    name: OsString,
    entries: Dir,
}

impl Walk<'_> {
    fn run(mut self, kind: FsKind, visitor: &mut impl Visitor) -> Result<(), WalkError> {
        let mut met = Some((self.place.name.clone(), kind));
        loop {
            self.go_on()?;
            if let Some((name, kind)) = met.take() {
                self.visit(&name, kind, visitor)?;
            }
            if self.levels.is_empty() {
                return Ok(());
            }
            met = self.read()?;
            if met.is_none() {
                self.leave(visitor)?;
            }
            if self.levels.is_empty() {
                return Ok(());
            }
        }
    }

    fn go_on(&self) -> Result<(), WalkError> {
        (self.bounds.stopped)().map_or(Ok(()), |reason| Err(WalkError::Stopped(reason)))
    }

    /// Returns the next name in the folder that the walk is in.
    fn read(&mut self) -> Result<Option<(OsString, FsKind)>, WalkError> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        loop {
            let next = next_entry(&mut level.entries);
            match next {
                Ok(Some((name, _))) if name == "." || name == ".." => {}
                Ok(next) => return Ok(next),
                Err(error) => return Err(self.error(OsStr::new(""), error)),
            }
        }
    }

    fn visit(&mut self, name: &OsStr, kind: FsKind, visitor: &mut impl Visitor) -> Result<(), WalkError> {
        let next = self.folder(self.levels.len()).and_then(|folder| visitor.meet(folder, name, kind));
        match next {
            Ok(Next::Into) => self.enter(name, visitor),
            Ok(Next::Past) => Ok(()),
            Err(error) => Err(self.error(name, error)),
        }
    }

    fn enter(&mut self, name: &OsStr, visitor: &mut impl Visitor) -> Result<(), WalkError> {
        let max = self.bounds.depth_max;
        if self.levels.len() > max {
            return Err(WalkError::TooDeep { path: self.path(name), max });
        }
        let opened = self
            .folder(self.levels.len())
            .and_then(|folder| Ok(openat(folder, name, FOLDER, Mode::empty())?))
            .and_then(|folder| Ok(Dir::new(folder)?));
        let entries = match opened {
            Ok(entries) => entries,
            Err(error) if visitor.passes_over(&error) => return Ok(()),
            Err(error) => return Err(self.error(name, error)),
        };
        let entered = entries.fd().map_err(io::Error::from).and_then(|folder| visitor.enter(folder, name));
        entered.map_err(|error| self.error(name, error))?;
        self.levels.push(Level { name: name.to_owned(), entries });
        Ok(())
    }

    fn leave(&mut self, visitor: &mut impl Visitor) -> Result<(), WalkError> {
        let Some(mut level) = self.levels.pop() else { return Ok(()) };
        let left = self.folder(self.levels.len()).and_then(|parent| visitor.leave(parent, &level.name));
        if left.map_err(|error| self.error(&level.name, error))? == Left::Again {
            level.entries.rewind();
            self.levels.push(level);
        }
        Ok(())
    }

    /// Returns the folder that those of this depth lie in.
    fn folder(&self, depth: usize) -> io::Result<BorrowedFd<'_>> {
        match depth.checked_sub(1).and_then(|above| self.levels.get(above)) {
            Some(level) => Ok(level.entries.fd()?),
            None => Ok(self.place.folder.as_fd()),
        }
    }

    /// Makes an error of what was said of a name in the folder that the walk is in. Told to stop, it stops for that.
    fn error(&self, name: &OsStr, source: io::Error) -> WalkError {
        let path = self.path(name);
        self.go_on().err().unwrap_or(WalkError::Io { path, source })
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        let names = self.levels.iter().map(|level| level.name.as_os_str());
        names.chain([name]).skip(1).collect()
    }
}

impl WalkError {
    /// Tells of a walk that began at `path`. `stopped` says what was done if it was told to stop.
    pub(super) fn told(&self, what: &str, path: &Path, stopped: &str) -> HandlerError {
        let at = |below: &Path| path.components().chain(below.components()).collect::<PathBuf>();
        match self {
            Self::Stopped(reason) => HandlerError::stopped(*reason, stopped),
            Self::TooDeep { path, max } => HandlerError::new(format!(
                "{what} {}: more than {max} folders deep, which is as far as this worker goes",
                at(path).display()
            )),
            Self::Io { path, source } => super::failed(what, &at(path), source),
        }
    }
}

/// Returns the next name in a folder, and what it stands for; also `.` and `..`.
pub(super) fn next_entry(entries: &mut Dir) -> io::Result<Option<(OsString, FsKind)>> {
    let Some(entry) = entries.read() else { return Ok(None) };
    let entry = entry?;
    let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
    let kind = match entry.file_type() {
        FileType::Unknown => match statat(entries.fd()?, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            // It went away in between: whoever wants it will see.
            Err(rustix::io::Errno::NOENT) => FileType::Unknown,
            Err(error) => return Err(error.into()),
        },
        kind => kind,
    };
    Ok(Some((name, kind.into())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::commands::folders::testing::Yard;

    /// Notes what it meets, and changes the disk when it meets a certain name.
    struct Notes<'a> {
        met: Vec<String>,
        at: &'a str,
        change: &'a dyn Fn(),
        passes_over: bool,
    }

    impl Visitor for Notes<'_> {
        fn meet(&mut self, _folder: BorrowedFd<'_>, name: &OsStr, kind: FsKind) -> io::Result<Next> {
            let name = name.to_string_lossy().into_owned();
            if name == self.at {
                (self.change)();
            }
            self.met.push(name);
            Ok(if kind == FsKind::Folder { Next::Into } else { Next::Past })
        }

        fn passes_over(&mut self, _error: &io::Error) -> bool {
            self.passes_over
        }
    }

    fn go(yard: &Yard, notes: &mut Notes<'_>) -> Result<(), WalkError> {
        let place = Place::entry(&yard.confinement, Path::new("tree")).unwrap();
        walk(&place, &Bounds { depth_max: 9, stopped: &|| None }, notes)
    }

    #[test]
    fn a_folder_that_becomes_a_link_is_not_gone_into() {
        for passes_over in [false, true] {
            let yard = Yard::new();
            fs::create_dir_all(yard.inside("tree/sub")).unwrap();
            fs::write(yard.outside("secret"), "").unwrap();
            let change = || {
                fs::remove_dir(yard.inside("tree/sub")).unwrap();
                symlink(yard.outside(""), yard.inside("tree/sub")).unwrap();
            };
            let mut notes = Notes { met: Vec::new(), at: "sub", change: &change, passes_over };
            let ended = go(&yard, &mut notes);
            assert_eq!(notes.met, ["tree", "sub"]);
            match ended {
                Ok(()) => assert!(passes_over),
                Err(WalkError::Io { path, source }) => {
                    assert_eq!((path, passes_over), (PathBuf::from("sub"), false), "{source}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_folder_that_is_moved_away_is_still_the_one_that_was_opened() {
        let yard = Yard::new();
        fs::create_dir_all(yard.inside("tree/sub/deep")).unwrap();
        fs::create_dir(yard.outside("deep")).unwrap();
        fs::write(yard.outside("deep/secret"), "").unwrap();
        // Once `sub` is open, what has its name leads elsewhere.
        let change = || {
            fs::rename(yard.inside("tree/sub"), yard.inside("moved")).unwrap();
            symlink(yard.outside(""), yard.inside("tree/sub")).unwrap();
        };
        let mut notes = Notes { met: Vec::new(), at: "deep", change: &change, passes_over: false };
        go(&yard, &mut notes).unwrap();
        // The new name may be met or not, as systems like; it is a link, and nobody goes into it.
        notes.met.dedup();
        assert!(!notes.met.contains(&"secret".to_owned()), "{:?}", notes.met);
        assert_eq!(notes.met[..3], ["tree", "sub", "deep"]);
    }
}
