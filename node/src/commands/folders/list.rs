//! `fs.list`: what is in a folder?

use std::path::Path;

use runnel_codec::{Command, Decode, Encode};
use rustix::fs::Dir;

use super::page::Page;
use super::place::Place;
use super::walk::next_entry;
use super::{FsKind, Work, failed, refused};
use crate::handler::HandlerError;

/// `fs.list/1`: says what is in a folder, sorted by the bytes of the names, in answers of bounded length. Harmless to run
/// again.
#[derive(Debug)]
pub enum FsList {}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsListArgs {
    /// The folder; relative paths count from the worker's root, or its working directory. Links are followed within the
    /// root.
    pub path: String,
    /// Lists what comes after this name: [`FsEntries::next`] of the answer before. From the beginning if `None`.
    pub after: Option<String>,
    /// Entries in the answer, at most; what the worker allows if `None` or more than that. At least one comes.
    pub limit: Option<u32>,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsEntry {
    /// The name, with U+FFFD in place of bytes that are not UTF-8; names that are equal then are told once.
    pub name: String,
    /// What it stands for.
    pub kind: FsKind,
}

/// Entries of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsEntries {
    /// Sorted; without `.` and `..`.
    pub entries: Vec<FsEntry>,
    /// Where to go on, if there are more.
    pub next: Option<String>,
}

impl Command for FsList {
    const NAME: &'static str = "fs.list/1";
    const IDEMPOTENT: bool = true;
    type Args = FsListArgs;
    type Update = runnel_codec::Never;
    type Result = FsEntries;
}

pub(super) fn run(args: FsListArgs, work: &Work) -> Result<FsEntries, HandlerError> {
    let path = Path::new(&args.path);
    let place =
        Place::target(&work.confinement, path).map_err(|error| refused("cannot list", path, error))?;
    let cannot_list = |error| failed("cannot list", path, &error);
    let folder = place.open_folder().map_err(cannot_list)?;
    let mut entries = Dir::new(folder).map_err(|error| cannot_list(error.into()))?;
    let mut page = Page::new(args.after, work.entries_max(args.limit));
    while let Some((name, kind)) = next_entry(&mut entries).map_err(cannot_list)? {
        work.go_on()?;
        if name != "." && name != ".." {
            page.offer(name.to_string_lossy().into_owned(), kind);
        }
    }
    let (entries, next) = page.finish();
    let entries = entries.into_iter().map(|(name, kind)| FsEntry { name, kind }).collect();
    Ok(FsEntries { entries, next })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::commands::folders::os_error;
    use crate::commands::folders::testing::{Yard, message};

    fn list(yard: &Yard, path: &str) -> Result<FsEntries, HandlerError> {
        run(FsListArgs { path: path.to_owned(), ..FsListArgs::default() }, &yard.work())
    }

    #[test]
    fn entries_are_sorted_and_told_by_kind() {
        let yard = Yard::with_tree();
        symlink("tree", yard.inside("way")).unwrap();
        let found = list(&yard, "way").unwrap();
        let expected = [("file", FsKind::File), ("link", FsKind::Link), ("sub", FsKind::Folder)];
        let entries: Vec<_> = found.entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
        assert_eq!((entries, found.next), (expected.to_vec(), None));
    }

    #[test]
    fn a_long_folder_comes_in_answers_that_join() {
        let yard = Yard::new();
        let names: Vec<_> = (0..2500).map(|number| format!("{number:04}")).collect();
        for name in &names {
            fs::write(yard.inside(name), "").unwrap();
        }
        let (mut found, mut after, mut lengths) = (Vec::new(), None, Vec::new());
        loop {
            let args = FsListArgs { path: ".".to_owned(), after, limit: Some(10_000) };
            let answer = run(args, &yard.work()).unwrap();
            lengths.push(answer.entries.len());
            found.extend(answer.entries.into_iter().map(|entry| entry.name));
            after = answer.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((found, lengths), (names, vec![1000, 1000, 500]));
    }

    #[test]
    fn a_name_that_is_not_text_is_told() {
        let yard = Yard::new();
        fs::write(yard.inside("").join(OsStr::from_bytes(b"a\xffb")), "").unwrap();
        assert_eq!(list(&yard, ".").unwrap().entries[0].name, "a\u{fffd}b");
    }

    #[test]
    fn what_is_no_folder_or_outside_is_a_failure() {
        let yard = Yard::with_tree();
        assert_eq!(os_error(&message(list(&yard, "missing"))), Some(2));
        assert_eq!(os_error(&message(list(&yard, "tree/file"))), Some(20));
        assert!(message(list(&yard, "tree/sub/way")).contains("outside"));
        assert!(message(list(&yard, "..")).contains(".."));
    }
}
