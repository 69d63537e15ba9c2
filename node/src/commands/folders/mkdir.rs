//! `fs.mkdir`: makes folders.

use std::path::Path;

use runnel_codec::{Command, Decode, Encode};

use super::place::make_folders;
use super::{Work, refused};
use crate::handler::HandlerError;

/// `fs.mkdir/1`: makes folders, and those above them that are missing. What exists is fine, so it is harmless to run again.
///
/// Ends at the first that cannot be made, with a failure that names it; those before it stay.
#[derive(Debug)]
pub enum FsMkdir {}

/// Which folders to make.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsMkdirArgs {
    /// The folders; relative paths count from the worker's root, or its working directory.
    pub paths: Vec<String>,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsMade {
    /// Folders that were not there before, those above the named ones too.
    pub folders: u64,
}

impl Command for FsMkdir {
    const NAME: &'static str = "fs.mkdir/1";
    const IDEMPOTENT: bool = true;
    type Args = FsMkdirArgs;
    type Update = runnel_codec::Never;
    type Result = FsMade;
}

pub(super) fn run(args: FsMkdirArgs, work: &Work) -> Result<FsMade, HandlerError> {
    work.check_paths(&args.paths)?;
    let mut folders = 0;
    for path in &args.paths {
        work.go_on()?;
        let path = Path::new(path);
        folders += make_folders(&work.confinement, path)
            .map_err(|error| refused("cannot make the folder", path, error))?;
    }
    Ok(FsMade { folders })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::commands::folders::os_error;
    use crate::commands::folders::testing::{Yard, message};

    fn make(yard: &Yard, paths: &[&str]) -> Result<FsMade, HandlerError> {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        run(FsMkdirArgs { paths }, &yard.work())
    }

    #[test]
    fn folders_and_those_above_are_made_once() {
        let yard = Yard::new();
        assert_eq!(make(&yard, &["a/b/c", "a/d", "."]), Ok(FsMade { folders: 4 }));
        assert!(yard.inside("a/b/c").is_dir() && yard.inside("a/d").is_dir());
        assert_eq!(make(&yard, &["a/b/c", "a/d"]), Ok(FsMade { folders: 0 }));
    }

    #[test]
    fn a_file_in_the_way_is_named_and_ends_it() {
        let yard = Yard::new();
        fs::write(yard.inside("file"), "").unwrap();
        let failure = message(make(&yard, &["before", "file", "after"]));
        assert!(failure.contains("file: ") && os_error(&failure) == Some(20), "{failure}");
        assert_eq!(os_error(&message(make(&yard, &["file/below"]))), Some(20));
        assert!(yard.inside("before").is_dir() && !yard.inside("after").exists());
    }

    #[test]
    fn nothing_is_made_outside() {
        let yard = Yard::new();
        symlink(yard.outside(""), yard.inside("out")).unwrap();
        symlink(yard.outside("later"), yard.inside("dangling")).unwrap();
        for path in ["../outside/x", "out/x", "dangling/x", "/x"] {
            message(make(&yard, &[path]));
        }
        assert_eq!(fs::read_dir(yard.outside("")).unwrap().count(), 0);
    }

    #[test]
    fn more_paths_than_allowed_are_refused() {
        let yard = Yard::new();
        let failure = message(make(&yard, &["a"; 1001]));
        assert!(failure.contains("1001 paths") && !yard.inside("a").exists(), "{failure}");
    }
}
