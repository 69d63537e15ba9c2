//! A complete copy goes into a folder that is there: name by name, without copying again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, Stat, fchmod, fstat, fsync, openat, renameat, statat};
use rustix::io::Errno;

use super::FsKind;
use super::copy::keep;
use super::place::{FOLDER, Place};
use super::walk::{Bounds, Left, Next, Visitor, WalkError, walk};

/// Moves what stands at `copy`, or what is in it, to `target`, which lies on the same disk. Folders that are there keep what
/// they have and get owner, permissions and times of those that are moved into them; files and links are replaced.
pub(super) fn merge(copy: &Place, target: &Place, bounds: &Bounds<'_>) -> Result<(), WalkError> {
    walk(copy, bounds, &mut Merge { target, folders: Vec::new() })
}

struct Merge<'a> {
    target: &'a Place,
    /// The folders of the target that are open, each with what the folder was that goes into it.
    folders: Vec<(OwnedFd, Stat)>,
}

impl Merge<'_> {
    /// Returns where a name goes.
    fn place(&self, name: &OsStr) -> (BorrowedFd<'_>, OsString) {
        match self.folders.last() {
            Some((folder, _)) => (folder.as_fd(), name.to_owned()),
            None => (self.target.folder.as_fd(), self.target.name.clone()),
        }
    }
}

impl Visitor for Merge<'_> {
    fn meet(&mut self, folder: BorrowedFd<'_>, name: &OsStr, kind: FsKind) -> io::Result<Next> {
        let (to, to_name) = self.place(name);
        let there = match statat(to, &to_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FsKind::from(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        match (kind, there) {
            (FsKind::Folder, Some(FsKind::Folder)) => return Ok(Next::Into),
            (FsKind::Folder, Some(_)) => return Err(Errno::NOTDIR.into()),
            (FsKind::Folder, None) => move_folder(folder, name, to, &to_name)?,
            // A file in the place of a folder is refused by the system.
            _ => renameat(folder, name, to, &to_name)?,
        }
        Ok(Next::Past)
    }

    fn enter(&mut self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let stat = fstat(folder)?;
        // Names leave it, which its own permissions may forbid.
        fchmod(folder, Mode::RWXU)?;
        let (to, to_name) = self.place(name);
        let target = openat(to, &to_name, FOLDER, Mode::empty())?;
        self.folders.push((target, stat));
        Ok(())
    }

    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &OsStr) -> io::Result<Left> {
        if let Some((target, stat)) = self.folders.pop() {
            keep(target.as_fd(), &stat)?;
            fsync(target)?;
        }
        Ok(Left::Done)
    }
}

/// Moves a folder to another one, which takes the right to write to it.
fn move_folder(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    to_name: &OsStr,
) -> Result<(), Errno> {
    let moved = openat(folder, name, FOLDER, Mode::empty())?;
    let stat = fstat(&moved)?;
    fchmod(&moved, Mode::RWXU)?;
    renameat(folder, name, to, to_name)?;
    keep(moved.as_fd(), &stat)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use crate::commands::files::FsDone;
    use crate::commands::folders::copy::{FsCopyArgs, run};
    use crate::commands::folders::os_error;
    use crate::commands::folders::testing::{Yard, message};

    fn args(from: &str, to: &str) -> FsCopyArgs {
        FsCopyArgs {
            from: from.to_owned(),
            to: to.to_owned(),
            replace: false,
            merge: true,
            make_parents: false,
        }
    }

    #[test]
    fn a_folder_that_is_there_keeps_what_it_has_and_gets_the_rest() {
        let yard = Yard::with_tree();
        fs::create_dir_all(yard.inside("to/sub/own")).unwrap();
        fs::write(yard.inside("to/file"), "older and longer").unwrap();
        symlink("nowhere", yard.inside("to/link")).unwrap();
        for closed in ["tree/sub/deep", "tree/sub"] {
            fs::set_permissions(yard.inside(closed), fs::Permissions::from_mode(0o555)).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(run(args("tree", "to"), &yard.work()), Ok(FsDone { files: 2, bytes: 8 }));
            assert_eq!(fs::read(yard.inside("to/file")).unwrap(), b"file");
            assert_eq!(fs::read(yard.inside("to/sub/deep/file")).unwrap(), b"deep");
            assert_eq!(fs::read(yard.inside("to/link")).unwrap(), b"deep");
            assert!(yard.inside("to/sub/own").is_dir());
            for closed in ["to/sub/deep", "to/sub"] {
                let mode = fs::metadata(yard.inside(closed)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o555, "{closed}");
            }
            assert_eq!(fs::read_dir(yard.inside("")).unwrap().count(), 2, "nothing partial is left");
            // Who is not root could not write to them.
            for closed in ["to/sub/deep", "to/sub"] {
                fs::set_permissions(yard.inside(closed), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    #[test]
    fn a_file_and_what_is_not_there_are_made_as_ever() {
        let yard = Yard::with_tree();
        assert_eq!(run(args("tree/file", "copy"), &yard.work()), Ok(FsDone { files: 1, bytes: 4 }));
        assert_eq!(run(args("tree/sub/deep/file", "copy"), &yard.work()), Ok(FsDone { files: 1, bytes: 4 }));
        assert_eq!(fs::read(yard.inside("copy")).unwrap(), b"deep");
        assert_eq!(run(args("tree", "other"), &yard.work()), Ok(FsDone { files: 2, bytes: 8 }));
        let both = FsCopyArgs { replace: true, ..args("tree", "other") };
        assert!(message(run(both, &yard.work())).contains("either"));
    }

    #[test]
    fn what_is_of_another_kind_is_in_the_way() {
        let yard = Yard::with_tree();
        fs::create_dir_all(yard.inside("to/file")).unwrap();
        let failure = message(run(args("tree", "to"), &yard.work()));
        assert!(failure.contains("to/file") && os_error(&failure) == Some(21), "{failure}");
        fs::write(yard.inside("plain"), "").unwrap();
        assert_eq!(os_error(&message(run(args("tree", "plain"), &yard.work()))), Some(20));
        assert_eq!(fs::read(yard.inside("plain")).unwrap(), b"");
        let left = fs::read_dir(yard.inside("")).unwrap().count();
        assert_eq!(left, 3, "nothing partial is left");
    }

    #[test]
    fn a_link_to_a_folder_is_replaced_and_not_followed() {
        let yard = Yard::with_tree();
        fs::create_dir(yard.inside("to")).unwrap();
        symlink(yard.outside(""), yard.inside("to/link")).unwrap();
        symlink(yard.outside(""), yard.inside("to/sub")).unwrap();
        assert_eq!(os_error(&message(run(args("tree", "to"), &yard.work()))), Some(20));
        assert_eq!(fs::read_dir(yard.outside("")).unwrap().count(), 0);
    }
}
