//! `fs.stat`: what is at a path?

use std::io;
use std::path::Path;

use runnel_codec::{Command, Decode, Encode};
use rustix::fs::{FileType, Stat, readlinkat};

use super::place::{Place, PlaceError};
use super::{FsKind, Work, refused};
use crate::commands::nanoseconds;
use crate::handler::HandlerError;

/// `fs.stat/1`: says what is at a path. Harmless to run again.
#[derive(Debug)]
pub enum FsStat {}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsStatArgs {
    /// A file, a folder or anything else; relative paths count from the worker's root, or its working directory.
    pub path: String,
    /// Whether a link at the end of the path is followed; one that leads out of the worker's root is a failure then.
    pub follow: bool,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsStatResult {
    /// What it is.
    pub kind: FsKind,
    /// Length of a file's content in bytes; what it means for others is the system's affair.
    pub bytes: u64,
    /// Type and permission bits, as the system counts them.
    pub mode: u32,
    /// When it was last read, in nanoseconds since 1970; before that, negative.
    pub accessed_ns: i64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// When anything of it last changed, in nanoseconds since 1970.
    pub changed_ns: i64,
    /// Number of the device it is on.
    pub device: u64,
    /// Its number on the device.
    pub inode: u64,
    /// Names that it has.
    pub names: u64,
    /// Number of the user who owns it.
    pub user: u32,
    /// Number of the group that owns it.
    pub group: u32,
    /// Where a link leads, as it is written in it; `None` for all others.
    pub link_target: Option<String>,
}

impl Command for FsStat {
    const NAME: &'static str = "fs.stat/1";
    const IDEMPOTENT: bool = true;
    type Args = FsStatArgs;
    type Update = runnel_codec::Never;
    /// `None` if nothing is there.
    type Result = Option<FsStatResult>;
}

pub(super) fn run(args: FsStatArgs, work: &Work) -> Result<Option<FsStatResult>, HandlerError> {
    let path = Path::new(&args.path);
    match look(path, args.follow, work) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(refused("cannot look at", path, error)),
    }
}

fn look(path: &Path, follow: bool, work: &Work) -> Result<FsStatResult, PlaceError> {
    let open = if follow { Place::target } else { Place::entry };
    let place = open(&work.confinement, path)?;
    let stat = place.stat()?;
    let mut found = found(&stat);
    if found.kind == FsKind::Link {
        let target = readlinkat(&place.folder, &place.name, Vec::new()).map_err(io::Error::from)?;
        found.link_target = Some(target.to_string_lossy().into_owned());
    }
    Ok(found)
}

// The types of these numbers differ between systems.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
fn found(stat: &Stat) -> FsStatResult {
    FsStatResult {
        kind: FileType::from_raw_mode(stat.st_mode).into(),
        bytes: stat.st_size as u64,
        mode: stat.st_mode as u32,
        accessed_ns: nanoseconds(stat.st_atime as i64, stat.st_atime_nsec as i64),
        modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        names: stat.st_nlink as u64,
        user: stat.st_uid as u32,
        group: stat.st_gid as u32,
        link_target: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::commands::folders::testing::{Yard, message};

    fn stat(yard: &Yard, path: &str, follow: bool) -> Result<Option<FsStatResult>, HandlerError> {
        run(FsStatArgs { path: path.to_owned(), follow }, &yard.work())
    }

    #[test]
    fn a_file_is_told_as_the_system_knows_it() {
        let yard = Yard::new();
        let path = yard.inside("file");
        fs::write(&path, "four").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let time = UNIX_EPOCH + Duration::new(1_000_000_000, 5);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let found = stat(&yard, "file", false).unwrap().unwrap();
        assert_eq!((found.kind, found.bytes, found.mode & 0o7777), (FsKind::File, 4, 0o640));
        assert_eq!(found.modified_ns, 1_000_000_000_000_000_005);
        assert_eq!((found.inode, found.names, found.user), (metadata.ino(), 1, metadata.uid()));
        assert_eq!(found.link_target, None);
    }

    #[test]
    fn a_link_is_told_or_what_is_behind_it() {
        let yard = Yard::new();
        fs::create_dir(yard.inside("folder")).unwrap();
        symlink("folder", yard.inside("link")).unwrap();
        let link = stat(&yard, "link", false).unwrap().unwrap();
        assert_eq!((link.kind, link.link_target.as_deref()), (FsKind::Link, Some("folder")));
        assert_eq!(stat(&yard, "link", true).unwrap().unwrap().kind, FsKind::Folder);
        assert_eq!(stat(&yard, ".", true).unwrap().unwrap().kind, FsKind::Folder);
    }

    #[test]
    fn what_is_missing_is_none_and_what_is_outside_a_failure() {
        let yard = Yard::new();
        symlink("nothing", yard.inside("dangling")).unwrap();
        symlink(yard.outside(""), yard.inside("out")).unwrap();
        fs::write(yard.inside("file"), "").unwrap();
        for (path, follow) in [("nothing", false), ("nothing/below", true), ("dangling", true)] {
            assert_eq!(stat(&yard, path, follow), Ok(None), "{path}");
        }
        assert!(stat(&yard, "out", false).unwrap().is_some());
        for (path, follow) in
            [("out", true), ("out/x", false), ("..", true), ("/etc", false), ("file/x", false)]
        {
            message(stat(&yard, path, follow));
        }
    }
}
