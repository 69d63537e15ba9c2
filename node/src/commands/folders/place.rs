//! Where a path leads, opened: a folder, and a name in it that no link stands behind.
//!
//! The confinement resolves a path by names; here it is gone down again from the root, folder by folder, and a link on the
//! way, which can only have come in between, is an error.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, mkdirat, openat, statat};

use crate::process::{Confinement, ConfinementError, resolve_existing};

/// A folder that is open, and a name in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    /// Without a separator; `.` for the root itself.
    pub(super) name: OsString,
}

/// Why a path cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// It is not to be.
    #[error(transparent)]
    Confined(#[from] ConfinementError),
    /// What the system said.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Place {
    /// Opens what `path` names: a link at its end is what is meant, not where it leads.
    pub(super) fn entry(confinement: &Confinement, path: &Path) -> Result<Self, PlaceError> {
        let Some(name) = path.file_name() else { return Self::target(confinement, path) };
        match Resolved::of(confinement, path.parent().unwrap_or(Path::new(""))) {
            Ok(parent) => Ok(Self { folder: parent.open()?, name: name.to_owned() }),
            // The root may be named although what it lies in may not.
            Err(PlaceError::Confined(refusal @ ConfinementError::OutsideRoot { .. })) => {
                let place = Self::target(confinement, path)?;
                if place.is_root() { Ok(place) } else { Err(refusal.into()) }
            }
            Err(error) => Err(error),
        }
    }

    /// Opens where `path` leads, through links at its end too.
    pub(super) fn target(confinement: &Confinement, path: &Path) -> Result<Self, PlaceError> {
        let Resolved { root, mut rest } = Resolved::of(confinement, path)?;
        let name = rest.file_name().map_or_else(|| OsString::from("."), OsStr::to_owned);
        rest.pop();
        Ok(Self { folder: Resolved { root, rest }.open()?, name })
    }

    /// Returns whether it is the root of all that may be named.
    pub(super) fn is_root(&self) -> bool {
        self.name == "."
    }

    /// Returns what stands there.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens the folder that stands there, to read it.
    pub(super) fn open_folder(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.folder, &self.name, FOLDER, Mode::empty())?)
    }
}

impl PlaceError {
    /// Returns whether nothing is there.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::NotFound,
            Self::Confined(refusal) => matches!(refusal, ConfinementError::DanglingLink { .. }),
        }
    }
}

/// Makes a folder and those above it that are missing. Returns how many it made.
pub(super) fn make_folders(confinement: &Confinement, path: &Path) -> Result<u64, PlaceError> {
    let Resolved { root, rest } = Resolved::of(confinement, path)?;
    let mut folder = open_root(&root)?;
    let mut made = 0;
    for name in &rest {
        let opened = match descend(&folder, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
                    Ok(()) => made += 1,
                    // Somebody else made it in between.
                    Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(io::Error::from(error).into()),
                }
                descend(&folder, name)?
            }
            opened => opened?,
        };
        folder = opened;
    }
    Ok(made)
}

/// A path without links in it, below a root.
#[derive(Debug)]
struct Resolved {
    root: PathBuf,
    rest: PathBuf,
}

impl Resolved {
    /// Follows links as far as the path exists; the rest need not exist.
    fn of(confinement: &Confinement, path: &Path) -> Result<Self, PlaceError> {
        let (root, resolved) = match &confinement.root {
            Some(root) => {
                let resolved = confinement.resolve(path)?;
                (root.canonicalize()?, resolved)
            }
            None => (PathBuf::from("/"), resolve_existing(&std::env::current_dir()?.join(path))?),
        };
        match resolved.strip_prefix(&root) {
            Ok(rest) => Ok(Self { rest: rest.to_owned(), root }),
            Err(_) => Err(ConfinementError::OutsideRoot { path: path.to_owned(), root }.into()),
        }
    }

    /// Opens the folder, to find names in it.
    fn open(&self) -> io::Result<OwnedFd> {
        let mut folder = open_root(&self.root)?;
        for name in &self.rest {
            folder = descend(&folder, name)?;
        }
        Ok(folder)
    }
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, root, WAY, Mode::empty())?)
}

fn descend(folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(folder, name, WAY.union(OFlags::NOFOLLOW), Mode::empty())?)
}

/// How a folder is opened whose entries are read.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// How a folder on the way is opened: where the system can, without the right to list what is in it.
#[cfg(target_os = "linux")]
const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const WAY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::commands::folders::testing::Yard;

    #[test]
    fn a_link_that_comes_in_between_is_not_followed() {
        let yard = Yard::new();
        fs::create_dir(yard.inside("a")).unwrap();
        fs::create_dir(yard.outside("b")).unwrap();
        let resolved = Resolved::of(&yard.confinement, Path::new("a/b")).unwrap();
        fs::remove_dir(yard.inside("a")).unwrap();
        symlink(yard.outside(""), yard.inside("a")).unwrap();
        assert_eq!(resolved.open().unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn an_entry_is_the_link_and_a_target_what_is_behind_it() {
        let yard = Yard::new();
        fs::create_dir_all(yard.inside("a/b")).unwrap();
        symlink("a/b", yard.inside("link")).unwrap();
        let entry = Place::entry(&yard.confinement, Path::new("link")).unwrap();
        assert_eq!(entry.name, "link");
        let target = Place::target(&yard.confinement, Path::new("link")).unwrap();
        assert_eq!(target.name, "b");
        assert!(target.open_folder().is_ok() && entry.open_folder().is_err());
    }

    #[test]
    fn the_root_may_be_named_and_nothing_beside_it() {
        let yard = Yard::new();
        for path in [Path::new("."), Path::new(""), &yard.inside("")] {
            assert!(Place::entry(&yard.confinement, path).unwrap().is_root(), "{}", path.display());
        }
        fs::create_dir(yard.inside("a")).unwrap();
        symlink(yard.inside("a"), yard.outside("way")).unwrap();
        let refusal = Place::entry(&yard.confinement, &yard.outside("way")).unwrap_err();
        assert!(matches!(refusal, PlaceError::Confined(ConfinementError::OutsideRoot { .. })), "{refusal}");
    }

    #[test]
    fn without_a_root_any_path_is_found() {
        let yard = Yard::new();
        fs::create_dir(yard.outside("a")).unwrap();
        let nowhere = Confinement::default();
        assert_eq!(Place::entry(&nowhere, &yard.outside("a/..")).unwrap().name, "outside");
        assert!(make_folders(&nowhere, &yard.outside("a/b/c")).is_ok_and(|made| made == 2));
        assert!(Place::entry(&nowhere, &yard.outside("none/x")).unwrap_err().is_missing());
    }
}
