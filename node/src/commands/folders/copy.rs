//! `fs.copy`: copies a file or a folder on the worker, whole or not at all. What it does to a folder that is there already is
//! in [`merge`](super::merge).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use runnel_codec::{Command, Decode, Encode};
use runnel_queue::StopReason;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, fstat,
    fsync, futimens, mkdirat, openat, readlinkat, renameat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::merge::merge;
use super::place::{FOLDER, Place, make_folders};
use super::remove::{Removal, remove};
use super::walk::{Bounds, Left, Next, Visitor, walk};
use super::{FsKind, Work, failed, refused};
use crate::commands::files::FsDone;
use crate::handler::HandlerError;

/// `fs.copy/1`: copies a file, a link or a folder with all that is in it. Not to be run again after a crash: it may have been
/// done, and then what was to be made exists.
///
/// Links are copied as links; permission bits, the times of reading and changing and, as far as the worker may give files
/// away, owners are kept. The bits that lend an owner's rights, extended attributes and second names of a file are not;
/// sockets, pipes and devices are left out. The copy appears under its name once it is complete; until then it lies beside it
/// under a name that begins with a dot. That of a file is on the disk then, what is in a folder gets there when the system
/// writes it. Told to stop, or past its deadline, it ends and removes what it has made. Merged into a folder that is there, the
/// complete copy goes there name by name; something that is in the way of another kind ends that in the middle.
#[derive(Debug)]
pub enum FsCopy {}

/// What to copy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsCopyArgs {
    /// The file, link or folder; relative paths count from the worker's root, or its working directory.
    pub from: String,
    /// What the copy is to be called: its own path, not that of a folder to put it into.
    pub to: String,
    /// Whether something of that name is replaced; otherwise it is an error.
    pub replace: bool,
    /// Whether a folder of that name gets what is copied beside what it has, and so on in the folders in it; files and links are
    /// replaced.
    pub merge: bool,
    /// Whether missing folders above it are made.
    pub make_parents: bool,
}

impl Command for FsCopy {
    const NAME: &'static str = "fs.copy/1";
    type Args = FsCopyArgs;
    type Update = runnel_codec::Never;
    /// What was copied.
    type Result = FsDone;
}

pub(super) fn run(args: FsCopyArgs, work: &Work) -> Result<FsDone, HandlerError> {
    let (from, to) = (Path::new(&args.from), Path::new(&args.to));
    if args.replace && args.merge {
        return Err(HandlerError::new("either `replace` or `merge`: both at once make no sense"));
    }
    let source =
        Place::entry(&work.confinement, from).map_err(|error| refused("cannot copy", from, error))?;
    let target = target(&args, work)?;
    let bounds = Bounds { depth_max: work.config.depth_max.get(), stopped: &work.stopped };
    let partial = Partial::beside(&target).map_err(|error| failed("cannot make", to, &error))?;
    let mut copy = Copy::to(&partial.0, &work.stopped);
    walk(&source, &bounds, &mut copy).map_err(|error| {
        error.told("cannot copy", from, "stopped before all of it was copied; the part was removed")
    })?;
    let done = copy.done;
    if done == Copied::default() && partial.0.stat().is_err() {
        return Err(HandlerError::new(format!(
            "cannot copy {}: it is neither file, folder nor link",
            from.display()
        )));
    }
    if args.merge && target.stat().is_ok() {
        // What has begun is little work, and half of it is nothing that anybody wants.
        let bounds = Bounds { stopped: &|| None, ..bounds };
        merge(&partial.0, &target, &bounds).map_err(|error| error.told("cannot merge into", to, ""))?;
    } else {
        partial.move_to(&target).map_err(|error| failed("cannot make", to, &error))?;
    }
    Ok(FsDone { files: done.files, bytes: done.bytes })
}

/// Opens the place of the copy.
fn target(args: &FsCopyArgs, work: &Work) -> Result<Place, HandlerError> {
    let to = Path::new(&args.to);
    let cannot_make =
        |error: &dyn std::fmt::Display| HandlerError::new(format!("cannot make {}: {error}", to.display()));
    if to.file_name().is_none() {
        return Err(cannot_make(&"it has no name"));
    }
    if args.make_parents
        && let Some(parent) = to.parent()
    {
        make_folders(&work.confinement, parent).map_err(|error| refused("cannot make", to, error))?;
    }
    let target = Place::entry(&work.confinement, to).map_err(|error| refused("cannot make", to, error))?;
    if target.is_root() {
        return Err(cannot_make(&"it is the root"));
    }
    match target.stat() {
        Ok(_) if !(args.replace || args.merge) => {
            Err(cannot_make(&"it exists; ask to replace it or to merge, or choose another name"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_make(&error)),
        _ => Ok(target),
    }
}

/// A copy that is not complete, beside where it is to be. It is removed unless it is moved.
#[derive(Debug)]
struct Partial(Place);

impl Partial {
    fn beside(target: &Place) -> io::Result<Self> {
        // Without the name of what is made, which may be as long as a name can be.
        let name = format!(".{:016x}.partial", rand::random::<u64>());
        Ok(Self(Place { folder: target.folder.try_clone()?, name: name.into() }))
    }

    /// Gives it its name, in place of what has it, and has the folder know it for good.
    fn move_to(self, target: &Place) -> io::Result<()> {
        let folder = &target.folder;
        let old = if self.needs_room(target) { Some(self.make_room(target)?) } else { None };
        if let Err(error) = renameat(folder, &self.0.name, folder, &target.name) {
            if let Some(old) = old {
                // Else it stays under a name that shows what it is.
                renameat(folder, &old.name, folder, &target.name).ok();
            }
            return Err(error.into());
        }
        drop(old.map(Self));
        Ok(fsync(openat(folder, ".", FOLDER, Mode::empty())?)?)
    }

    /// Returns whether what has the name has to go first: a file takes the place of a file at once.
    fn needs_room(&self, target: &Place) -> bool {
        let is_folder = |stat: Stat| FileType::from_raw_mode(stat.st_mode).is_dir();
        target.stat().is_ok_and(|stat| is_folder(stat) || self.0.stat().is_ok_and(is_folder))
    }

    /// Moves what has the name aside.
    fn make_room(&self, target: &Place) -> io::Result<Place> {
        let mut name = self.0.name.clone();
        name.push(".old");
        renameat(&target.folder, &target.name, &target.folder, &name)?;
        Ok(Place { folder: target.folder.try_clone()?, name })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // What cannot be removed stays under a name that shows what it is.
        let bounds = Bounds { depth_max: usize::MAX, stopped: &|| None };
        remove(&self.0, &bounds, &mut Removal::forced()).ok();
    }
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Copied {
    files: u64,
    bytes: u64,
}

/// A copy that is being made.
struct Copy<'a> {
    to: &'a Place,
    /// The folders of the copy that are open, each with what its original was.
    folders: Vec<(OwnedFd, Stat)>,
    /// The first of them.
    top: Option<(u64, u64)>,
    done: Copied,
    stopped: &'a dyn Fn() -> Option<StopReason>,
}

impl<'a> Copy<'a> {
    fn to(to: &'a Place, stopped: &'a dyn Fn() -> Option<StopReason>) -> Self {
        Self { to, folders: Vec::new(), top: None, done: Copied::default(), stopped }
    }

    /// Returns where the copy of a name is to be.
    fn place(&self, name: &OsStr) -> (BorrowedFd<'_>, OsString) {
        match self.folders.last() {
            Some((folder, _)) => (folder.as_fd(), name.to_owned()),
            None => (self.to.folder.as_fd(), self.to.name.clone()),
        }
    }

    fn copy_file(&mut self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        // What was a file may be a pipe by then: opening it must not wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = File::from(openat(folder, name, flags, Mode::empty())?);
        let stat = fstat(&source)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::Error::other("it is no file any more"));
        }
        let (to, to_name) = self.place(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = File::from(openat(to, &to_name, flags, Mode::RUSR | Mode::WUSR)?);
        let bytes = self.copy_content(&source, &target)?;
        keep(target.as_fd(), &stat)?;
        if self.folders.is_empty() {
            target.sync_all()?;
        }
        self.done.files += 1;
        self.done.bytes += bytes;
        Ok(())
    }

    /// Copies as much as there is, and looks now and then whether it is to stop.
    fn copy_content(&self, source: &File, mut target: &File) -> io::Result<u64> {
        let mut bytes = 0;
        loop {
            if (self.stopped)().is_some() {
                return Err(io::Error::other("stopped"));
            }
            let copied = io::copy(&mut source.take(PIECE_BYTES), &mut target)?;
            if copied == 0 {
                return Ok(bytes);
            }
            bytes += copied;
        }
    }

    fn copy_link(&self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let leads = readlinkat(folder, name, Vec::new())?;
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let (to, to_name) = self.place(name);
        symlinkat(leads.as_c_str(), to, &to_name)?;
        let (user, group) = owner(&stat);
        allowed(chownat(to, &to_name, user, group, AtFlags::SYMLINK_NOFOLLOW))?;
        Ok(utimensat(to, &to_name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl Visitor for Copy<'_> {
    fn meet(&mut self, folder: BorrowedFd<'_>, name: &OsStr, kind: FsKind) -> io::Result<Next> {
        match kind {
            FsKind::Folder => return Ok(Next::Into),
            FsKind::File => self.copy_file(folder, name)?,
            FsKind::Link => self.copy_link(folder, name)?,
            FsKind::Other => {}
        }
        Ok(Next::Past)
    }

    fn enter(&mut self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let stat = fstat(folder)?;
        if self.top.is_some_and(|top| top == identity(&stat)) {
            return Err(io::Error::other("a folder cannot be copied into itself"));
        }
        let (to, to_name) = self.place(name);
        // Its own permissions come when all is in it.
        mkdirat(to, &to_name, Mode::RWXU)?;
        let copy = openat(to, &to_name, FOLDER, Mode::empty())?;
        if self.top.is_none() {
            self.top = Some(identity(&fstat(&copy)?));
        }
        self.folders.push((copy, stat));
        Ok(())
    }

    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &OsStr) -> io::Result<Left> {
        if let Some((copy, stat)) = self.folders.pop() {
            keep(copy.as_fd(), &stat)?;
        }
        Ok(Left::Done)
    }
}

/// Gives a copy the owner, permissions and times of its original.
pub(super) fn keep(copy: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    let (user, group) = owner(stat);
    allowed(fchown(copy, user, group))?;
    fchmod(copy, Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO))?;
    futimens(copy, &times(stat))
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// Takes it that only some may give files away: a copy belongs to the worker's user then.
fn allowed(given: Result<(), Errno>) -> Result<(), Errno> {
    match given {
        Err(Errno::PERM) => Ok(()),
        given => given,
    }
}

// The types of these numbers differ between systems.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

#[allow(clippy::unnecessary_cast)]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Bytes that are copied between two looks whether to stop.
const PIECE_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::commands::folders::testing::{Yard, message};

    fn args(from: &str, to: &str) -> FsCopyArgs {
        FsCopyArgs {
            from: from.to_owned(),
            to: to.to_owned(),
            replace: false,
            merge: false,
            make_parents: true,
        }
    }

    fn names(path: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_copied_with_links_modes_and_times() {
        let yard = Yard::with_tree();
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = yard.inside("tree/sub/deep/file");
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(yard.inside("tree/sub/deep"), fs::Permissions::from_mode(0o555)).unwrap();
        if rustix::process::geteuid().is_root() {
            lchown(&file, Some(7), Some(8)).unwrap();
            lchown(yard.inside("tree/link"), Some(7), None).unwrap();
        }
        File::open(yard.inside("tree/sub")).unwrap().set_modified(time).unwrap();

        let done = run(args("tree", "new/copy"), &yard.work()).unwrap();
        assert_eq!(done, FsDone { files: 2, bytes: 8 });
        let copy = |name: &str| yard.inside("new/copy").join(name);
        assert_eq!(fs::read(copy("sub/deep/file")).unwrap(), b"deep");
        assert_eq!(fs::read_link(copy("link")).unwrap(), Path::new("sub/deep/file"));
        assert_eq!(fs::read_link(copy("sub/way")).unwrap(), yard.outside(""));
        for name in ["file", "sub", "sub/deep", "sub/deep/file", "link"] {
            let of = |path: &Path| {
                let metadata = fs::symlink_metadata(path).unwrap();
                let owner = (metadata.uid(), metadata.gid());
                (metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), owner)
            };
            assert_eq!(of(&copy(name)), of(&yard.inside("tree").join(name)), "{name}");
        }
        assert_eq!(names(&yard.inside("new")), ["copy"], "nothing partial is left");
        let longest = "x".repeat(255);
        assert!(run(args("tree/file", &longest), &yard.work()).is_ok());
    }

    #[test]
    fn what_exists_is_replaced_if_asked() {
        let yard = Yard::with_tree();
        fs::create_dir(yard.inside("copy")).unwrap();
        fs::write(yard.inside("copy/old"), "").unwrap();
        let failure = message(run(args("tree", "copy"), &yard.work()));
        assert!(failure.contains("exists"), "{failure}");
        for (from, expected) in [("tree", true), ("tree/file", false), ("tree/link", false), ("tree", true)] {
            run(FsCopyArgs { replace: true, ..args(from, "copy") }, &yard.work()).unwrap();
            let copy = fs::symlink_metadata(yard.inside("copy")).unwrap();
            assert_eq!(copy.is_dir(), expected, "{from}");
            assert_eq!(names(&yard.inside("")), ["copy", "tree"]);
        }
        assert!(!yard.inside("copy/old").exists());
    }

    #[test]
    fn a_folder_is_not_copied_into_itself() {
        let yard = Yard::with_tree();
        let failure = message(run(args("tree", "tree/sub/copy"), &yard.work()));
        assert!(failure.contains("into itself"), "{failure}");
        assert_eq!(names(&yard.inside("tree/sub")), ["deep", "way"]);
    }

    #[test]
    fn nothing_comes_from_or_gets_outside() {
        let yard = Yard::with_tree();
        fs::write(yard.outside("secret"), "").unwrap();
        symlink(yard.outside("secret"), yard.inside("secret")).unwrap();
        for (from, to) in [
            ("../outside/secret", "a"),
            ("tree/sub/way/secret", "a"),
            ("tree", "tree/sub/way/a"),
            ("tree", "/a"),
            ("tree", ".."),
        ] {
            message(run(args(from, to), &yard.work()));
        }
        assert_eq!(run(args("secret", "a"), &yard.work()), Ok(FsDone { files: 0, bytes: 0 }));
        assert!(yard.inside("a").is_symlink());
        assert_eq!(names(&yard.outside("")), ["secret"]);
    }

    #[test]
    fn stopped_it_leaves_nothing() {
        let yard = Yard::with_tree();
        let looks = |max: u32| {
            let left = Cell::new(max);
            move || {
                left.set(left.get().saturating_sub(1));
                (left.get() == 0).then_some(StopReason::DeadlineExceeded)
            }
        };
        for max in 1..8 {
            let work = Work { stopped: Box::new(looks(max)), ..yard.work() };
            assert!(run(args("tree", "copy"), &work).is_err(), "after {max} looks");
            assert_eq!(names(&yard.inside("")), ["tree"], "after {max} looks");
        }
    }

    #[test]
    fn what_is_neither_file_folder_nor_link_is_said() {
        let yard = Yard::new();
        let _socket = std::os::unix::net::UnixListener::bind(yard.inside("socket")).unwrap();
        let failure = message(run(args("socket", "copy"), &yard.work()));
        assert!(failure.contains("neither"), "{failure}");
        assert_eq!(names(&yard.inside("")), ["socket"]);
    }
}
