//! `fs.glob`: finds what has a name of a certain form.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use runnel_codec::{Command, Decode, Encode};

use super::page::Page;
use super::pattern::{PathPattern, Reached};
use super::place::{Place, PlaceError};
use super::walk::{Bounds, Left, Next, Visitor, WalkError, walk};
use super::{FsKind, Work, refused};
use crate::handler::HandlerError;

/// `fs.glob/1`: finds files, folders, links and others by a pattern, sorted by the bytes of their paths, in answers of bounded
/// length, each of which searches anew. Harmless to run again.
///
/// `*` stands for any characters of a name, `?` for one, `[a-z]` for one of a set, `[!a-z]` for one outside it, and `**`, as a
/// whole name, for any number of folders, also none. None of them stands for the dot that hides a name. What comes before
/// the first of them is a path whose links are followed within the worker's root; below it links are found, also those that
/// lead to nothing, and never followed. A pattern that ends in `/` finds folders alone. Where nothing is, nothing is found.
#[derive(Debug)]
pub enum FsGlob {}

/// What to find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsGlobArgs {
    /// The pattern; a relative one counts from the worker's root, or its working directory.
    pub pattern: String,
    /// Finds what comes after this path: [`FsFoundPaths::next`] of the answer before. From the beginning if `None`.
    pub after: Option<String>,
    /// Paths in the answer, at most; what the worker allows if `None` or more than that. At least one comes.
    pub limit: Option<u32>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsFoundPaths {
    /// Paths, sorted: absolute ones if the pattern is, else relative to where it counts from. Bytes that are not UTF-8 become
    /// U+FFFD; paths that are equal then are told once.
    pub paths: Vec<String>,
    /// Where to go on, if there are more.
    pub next: Option<String>,
    /// Folders that the worker may not read, and so did not search.
    pub unreadable: u64,
}

impl Command for FsGlob {
    const NAME: &'static str = "fs.glob/1";
    const IDEMPOTENT: bool = true;
    type Args = FsGlobArgs;
    type Update = runnel_codec::Never;
    type Result = FsFoundPaths;
}

pub(super) fn run(args: FsGlobArgs, work: &Work) -> Result<FsFoundPaths, HandlerError> {
    let pattern = PathPattern::read(&args.pattern)?;
    let mut search = Search {
        page: Page::new(args.after, work.entries_max(args.limit)),
        pattern: &pattern,
        folders: Vec::new(),
        unreadable: 0,
    };
    match Place::target(&work.confinement, pattern.base()) {
        Ok(place) => search_in(&place, &mut search, work)?,
        Err(PlaceError::Io(error)) if is_nothing(&error) => {}
        Err(error) => return Err(refused("cannot search", pattern.base(), error)),
    }
    let unreadable = search.unreadable;
    let (paths, next) = search.page.finish();
    Ok(FsFoundPaths { paths: paths.into_iter().map(|(path, ())| path).collect(), next, unreadable })
}

fn search_in(place: &Place, search: &mut Search<'_>, work: &Work) -> Result<(), HandlerError> {
    let bounds = Bounds { depth_max: work.config.depth_max.get(), stopped: &work.stopped };
    let base = search.pattern.base();
    match walk(place, &bounds, search) {
        Err(WalkError::Io { path, source }) if path.as_os_str().is_empty() && is_nothing(&source) => Ok(()),
        Err(error) => Err(error.told("cannot search", base, "stopped before all was searched")),
        Ok(()) => Ok(()),
    }
}

/// Whether nothing is there that could be searched.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A search under way.
struct Search<'a> {
    page: Page<()>,
    pattern: &'a PathPattern,
    /// The folders that it is in, the base first.
    folders: Vec<(PathBuf, Reached)>,
    unreadable: u64,
}

impl Search<'_> {
    /// Returns where a name is and how far the pattern has come with it.
    fn step(&self, name: &OsStr) -> (PathBuf, Reached) {
        match self.folders.last() {
            None => (PathBuf::new(), self.pattern.start()),
            Some((path, reached)) => (path.join(name), self.pattern.step(reached, &name.to_string_lossy())),
        }
    }
}

impl Visitor for Search<'_> {
    fn meet(&mut self, _folder: BorrowedFd<'_>, name: &OsStr, kind: FsKind) -> io::Result<Next> {
        let is_folder = kind == FsKind::Folder;
        let (path, reached) = self.step(name);
        let is_base = self.folders.is_empty();
        if !is_base && self.pattern.is_found(&reached) && (is_folder || !self.pattern.folders_only()) {
            self.page.offer(self.pattern.path(&path), ());
        }
        let goes_in = is_folder && self.pattern.goes_on(&reached);
        Ok(if goes_in { Next::Into } else { Next::Past })
    }

    fn enter(&mut self, _folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let entered = self.step(name);
        self.folders.push(entered);
        Ok(())
    }

    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &OsStr) -> io::Result<Left> {
        self.folders.pop();
        Ok(Left::Done)
    }

    fn passes_over(&mut self, error: &io::Error) -> bool {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        self.unreadable += u64::from(is_forbidden);
        // What is no folder any more was changed meanwhile.
        is_forbidden || is_nothing(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::commands::folders::testing::{Yard, message};

    fn glob(yard: &Yard, pattern: &str) -> Result<Vec<String>, HandlerError> {
        let found = run(FsGlobArgs { pattern: pattern.to_owned(), ..FsGlobArgs::default() }, &yard.work())?;
        assert_eq!((found.next, found.unreadable), (None, 0));
        Ok(found.paths)
    }

    #[test]
    fn names_are_found_at_any_depth_and_sorted() {
        let yard = Yard::with_tree();
        fs::write(yard.inside("tree/.hidden"), "").unwrap();
        symlink("nowhere", yard.inside("tree/broken")).unwrap();
        let found = |pattern| glob(&yard, pattern).unwrap();
        assert_eq!(found("tree/*"), ["tree/broken", "tree/file", "tree/link", "tree/sub"]);
        assert_eq!(found("**/file"), ["tree/file", "tree/sub/deep/file"]);
        assert_eq!(found("tree/**/"), ["tree/sub", "tree/sub/deep"]);
        assert_eq!(found("tree/sub"), ["tree/sub"]);
        assert_eq!(found("tree/.*"), ["tree/.hidden"]);
        let absolute = yard.inside("tree/[f]ile").to_str().unwrap().to_owned();
        assert_eq!(glob(&yard, &absolute).unwrap(), [yard.inside("tree/file").to_str().unwrap()]);
        for nothing in ["*.c", "none/*", "tree/file/*"] {
            assert_eq!(found(nothing), Vec::<String>::new(), "{nothing}");
        }
    }

    #[test]
    fn links_are_found_and_not_followed() {
        let yard = Yard::with_tree();
        fs::write(yard.outside("secret"), "").unwrap();
        symlink("tree", yard.inside("inner")).unwrap();
        assert_eq!(glob(&yard, "tree/sub/*").unwrap(), ["tree/sub/deep", "tree/sub/way"]);
        assert_eq!(glob(&yard, "**/secret").unwrap(), Vec::<String>::new());
        assert_eq!(glob(&yard, "*/file").unwrap(), ["tree/file"]);
        // Before the first wildcard they are followed, and not outside.
        assert_eq!(glob(&yard, "inner/f*").unwrap(), ["inner/file"]);
        for pattern in ["tree/sub/way/*", "../outside/*", "/*", "*/../*"] {
            message(glob(&yard, pattern));
        }
    }

    #[test]
    fn what_does_not_fit_comes_in_the_next_answer() {
        let yard = Yard::new();
        for number in 0..25 {
            fs::create_dir(yard.inside(&format!("{number:02}"))).unwrap();
            fs::write(yard.inside(&format!("{number:02}/x")), "").unwrap();
        }
        let (mut paths, mut after) = (Vec::new(), None);
        loop {
            let args = FsGlobArgs { pattern: "**/x".to_owned(), after, limit: Some(10) };
            let found = run(args, &yard.work()).unwrap();
            assert!(found.paths.len() <= 10);
            paths.extend(found.paths);
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paths, (0..25).map(|number| format!("{number:02}/x")).collect::<Vec<_>>());
    }

    #[test]
    fn paths_go_by_their_bytes_and_not_by_their_names() {
        let yard = Yard::new();
        fs::create_dir(yard.inside("a")).unwrap();
        for path in ["a/x", "a-x", "a.x"] {
            fs::write(yard.inside(path), "").unwrap();
        }
        assert_eq!(glob(&yard, "**").unwrap(), ["a", "a-x", "a.x", "a/x"]);
    }
}
