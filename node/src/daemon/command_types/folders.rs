//! The commands about folders in JSON.

use runnel::codec::Never;
use runnel::commands::{
    FsCopy, FsCopyArgs, FsDone, FsEntries, FsFoundPaths, FsGlob, FsGlobArgs, FsKind, FsList, FsListArgs,
    FsMade, FsMkdir, FsMkdirArgs, FsRemove, FsRemoveArgs, FsRemoved, FsStat, FsStatArgs, FsStatResult,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiCommand, fields, files_done, milliseconds};
use crate::daemon::event::Event;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MkdirFields {
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveFields {
    paths: Vec<String>,
    #[serde(default)]
    folders: bool,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyFields {
    from: String,
    to: String,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    merge: bool,
    #[serde(default)]
    make_parents: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatFields {
    path: String,
    #[serde(default)]
    follow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFields {
    path: String,
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GlobFields {
    pattern: String,
    after: Option<String>,
    limit: Option<u32>,
}

impl From<MkdirFields> for FsMkdirArgs {
    fn from(fields: MkdirFields) -> Self {
        Self { paths: fields.paths }
    }
}

impl From<RemoveFields> for FsRemoveArgs {
    fn from(RemoveFields { paths, folders, force }: RemoveFields) -> Self {
        Self { paths, folders, force }
    }
}

impl From<CopyFields> for FsCopyArgs {
    fn from(CopyFields { from, to, replace, merge, make_parents }: CopyFields) -> Self {
        Self { from, to, replace, merge, make_parents }
    }
}

impl From<StatFields> for FsStatArgs {
    fn from(StatFields { path, follow }: StatFields) -> Self {
        Self { path, follow }
    }
}

impl From<ListFields> for FsListArgs {
    fn from(ListFields { path, after, limit }: ListFields) -> Self {
        Self { path, after, limit }
    }
}

impl From<GlobFields> for FsGlobArgs {
    fn from(GlobFields { pattern, after, limit }: GlobFields) -> Self {
        Self { pattern, after, limit }
    }
}

impl ApiCommand for FsMkdir {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(made: FsMade) -> Map<String, Value> {
        fields(json!({ "result": { "folders": made.folders } }))
    }
}

impl ApiCommand for FsRemove {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(removed: FsRemoved) -> Map<String, Value> {
        fields(json!({ "result": { "paths": removed.paths, "entries": removed.entries } }))
    }
}

impl ApiCommand for FsCopy {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(done: FsDone) -> Map<String, Value> {
        files_done(done)
    }
}

impl ApiCommand for FsStat {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(found: Option<FsStatResult>) -> Map<String, Value> {
        fields(json!({ "result": found.map(stat) }))
    }
}

impl ApiCommand for FsList {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(FsEntries { entries, next }: FsEntries) -> Map<String, Value> {
        let entries: Vec<_> = entries
            .into_iter()
            .map(|entry| json!({ "name": entry.name, "kind": kind(entry.kind) }))
            .collect();
        fields(json!({ "result": { "entries": entries, "next": next } }))
    }
}

impl ApiCommand for FsGlob {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(FsFoundPaths { paths, next, unreadable }: FsFoundPaths) -> Map<String, Value> {
        fields(json!({ "result": { "paths": paths, "next": next, "unreadable": unreadable } }))
    }
}

fn stat(found: FsStatResult) -> Value {
    json!({
        "kind": kind(found.kind),
        "bytes": found.bytes,
        "mode": found.mode,
        "accessed_ms": milliseconds(found.accessed_ns),
        "modified_ms": milliseconds(found.modified_ns),
        "changed_ms": milliseconds(found.changed_ns),
        "device": found.device,
        "inode": found.inode,
        "names": found.names,
        "user": found.user,
        "group": found.group,
        "link_target": found.link_target,
    })
}

fn kind(kind: FsKind) -> &'static str {
    match kind {
        FsKind::File => "file",
        FsKind::Folder => "folder",
        FsKind::Link => "link",
        FsKind::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ApiArgs, ArgsError};
    use super::*;

    #[test]
    fn arguments_are_read_and_may_be_left_out() {
        let remove = ApiArgs::read("fs.remove/1", json!({ "paths": ["a b", "c"], "folders": true }));
        let expected =
            FsRemoveArgs { paths: vec!["a b".to_owned(), "c".to_owned()], folders: true, force: false };
        assert_eq!(remove.as_ref().map(ApiArgs::summary), Ok("'a b' c".to_owned()));
        assert_eq!(remove, Ok(ApiArgs::FsRemove(expected)));
        let copy = ApiArgs::read("fs.copy/1", json!({ "from": "a", "to": "b" }));
        assert_eq!(copy.as_ref().map(ApiArgs::summary), Ok("a b".to_owned()));
        let glob = ApiArgs::read("fs.glob/1", json!({ "pattern": "*.c", "limit": 3, "after": "a.c" }));
        let expected =
            FsGlobArgs { pattern: "*.c".to_owned(), after: Some("a.c".to_owned()), limit: Some(3) };
        assert_eq!(glob, Ok(ApiArgs::FsGlob(expected)));
        for (name, args) in [
            ("fs.mkdir/1", json!({ "path": "a" })),
            ("fs.remove/1", json!({ "paths": "a" })),
            ("fs.copy/1", json!({ "from": "a" })),
            ("fs.stat/1", json!({})),
            ("fs.list/1", json!({ "path": "a", "limit": -1 })),
            ("fs.glob/1", json!({ "path": "a" })),
        ] {
            assert!(matches!(ApiArgs::read(name, args), Err(ArgsError::Wrong(_))), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_null() {
        assert_eq!(Value::Object(FsStat::done(None)), json!({ "result": null }));
    }

    #[test]
    fn times_before_1970_are_rounded_down_like_all() {
        assert_eq!((milliseconds(1_999_999), milliseconds(-1)), (1, -1));
    }
}
