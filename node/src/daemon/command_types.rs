//! The command types that the API understands: their arguments, updates and results in JSON. `exec` and those about folders
//! are in files of their own.
//!
//! A new type is one more variant of [`ApiArgs`] and one more `impl ApiCommand`.

mod exec;
mod folders;
mod raw;

use runnel::RawCommand;
use runnel::codec::{Command, Never};
use runnel::commands::{
    Compression, Exec, ExecArgs, FileKind, FsCopy, FsCopyArgs, FsDone, FsFound, FsGet, FsGetArgs, FsGlob,
    FsGlobArgs, FsList, FsListArgs, FsMkdir, FsMkdirArgs, FsPut, FsPutArgs, FsRemove, FsRemoveArgs, FsStat,
    FsStatArgs, Ping, SystemInfo, SystemInfoResult,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use self::exec::ExecFields;
use self::folders::{CopyFields, GlobFields, ListFields, MkdirFields, RemoveFields, StatFields};
use super::event::Event;

/// The arguments of a command, of any type that the API understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiArgs {
    Exec(ExecArgs),
    FsPut(FsPutArgs),
    FsGet(FsGetArgs),
    FsMkdir(FsMkdirArgs),
    FsRemove(FsRemoveArgs),
    FsCopy(FsCopyArgs),
    FsStat(FsStatArgs),
    FsList(FsListArgs),
    FsGlob(FsGlobArgs),
    Ping(u64),
    SystemInfo,
    Raw(RawCommand),
}

/// Why arguments are not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ArgsError {
    /// The API does not know this type.
    UnknownType,
    /// They are not those of the type.
    Wrong(String),
}

/// A command type whose updates and results the API can tell in JSON.
pub(super) trait ApiCommand: Command {
    /// Its result has a body.
    const HAS_RESULT_BODY: bool = false;

    /// Tells an update.
    fn event(update: Self::Update) -> Event;

    /// Returns the fields of an outcome `done`.
    fn done(result: Self::Result) -> Map<String, Value>;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FsPutFields {
    path: String,
    kind: Kind,
    mode: Option<u32>,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    make_parents: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FsGetFields {
    path: String,
    #[serde(default)]
    compress: CompressionWord,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CompressionWord {
    #[default]
    None,
    Gzip,
    Bzip2,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Folder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PingFields {
    #[serde(default)]
    number: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl ApiArgs {
    /// Reads the arguments of a command of type `name`.
    ///
    /// # Errors
    ///
    /// See [`ArgsError`].
    pub(super) fn read(name: &str, args: Value) -> Result<Self, ArgsError> {
        match name {
            Exec::NAME => read::<ExecFields>(args).map(|fields| Self::Exec(fields.into())),
            FsPut::NAME => read::<FsPutFields>(args).map(|fields| Self::FsPut(fields.into())),
            FsGet::NAME => read::<FsGetFields>(args).map(|fields| Self::FsGet(fields.into())),
            FsMkdir::NAME => read::<MkdirFields>(args).map(|fields| Self::FsMkdir(fields.into())),
            FsRemove::NAME => read::<RemoveFields>(args).map(|fields| Self::FsRemove(fields.into())),
            FsCopy::NAME => read::<CopyFields>(args).map(|fields| Self::FsCopy(fields.into())),
            FsStat::NAME => read::<StatFields>(args).map(|fields| Self::FsStat(fields.into())),
            FsList::NAME => read::<ListFields>(args).map(|fields| Self::FsList(fields.into())),
            FsGlob::NAME => read::<GlobFields>(args).map(|fields| Self::FsGlob(fields.into())),
            Ping::NAME => read::<PingFields>(args).map(|fields| Self::Ping(fields.number)),
            SystemInfo::NAME => read::<NoFields>(args).map(|NoFields {}| Self::SystemInfo),
            _ => Err(ArgsError::UnknownType),
        }
    }

    /// Describes the command for people.
    pub(super) fn summary(&self) -> String {
        let text = match self {
            Self::Exec(args) => quote_all(std::iter::once(&args.program).chain(&args.args)),
            Self::FsPut(args) => quote(&args.path),
            Self::FsGet(args) => quote(&args.path),
            Self::FsMkdir(args) => quote_all(&args.paths),
            Self::FsRemove(args) => quote_all(&args.paths),
            Self::FsCopy(args) => quote_all([&args.from, &args.to]),
            Self::FsStat(args) => quote(&args.path),
            Self::FsList(args) => quote(&args.path),
            Self::FsGlob(args) => quote(&args.pattern),
            Self::Ping(number) => number.to_string(),
            Self::SystemInfo => String::new(),
            Self::Raw(command) => format!("{} bytes of arguments", command.args.len()),
        };
        cut(text)
    }
}

impl From<FsPutFields> for FsPutArgs {
    fn from(fields: FsPutFields) -> Self {
        let FsPutFields { path, kind, mode, replace, make_parents } = fields;
        let kind = match kind {
            Kind::File => FileKind::File,
            Kind::Folder => FileKind::Folder,
        };
        Self { path, kind, mode, replace, make_parents }
    }
}

impl From<FsGetFields> for FsGetArgs {
    fn from(fields: FsGetFields) -> Self {
        let compress = match fields.compress {
            CompressionWord::None => Compression::None,
            CompressionWord::Gzip => Compression::Gzip,
            CompressionWord::Bzip2 => Compression::Bzip2,
        };
        Self { path: fields.path, compress }
    }
}

impl ApiCommand for FsPut {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(done: FsDone) -> Map<String, Value> {
        files_done(done)
    }
}

impl ApiCommand for FsGet {
    const HAS_RESULT_BODY: bool = true;

    fn event(found: FsFound) -> Event {
        let kind = match found.kind {
            FileKind::File => "file",
            FileKind::Folder => "folder",
        };
        Event::Found(json!({
            "kind": kind,
            "bytes": found.bytes,
            "mode": found.mode,
            "accessed_ms": milliseconds(found.accessed_ns),
            "modified_ms": milliseconds(found.modified_ns),
        }))
    }

    fn done(done: FsDone) -> Map<String, Value> {
        files_done(done)
    }
}

impl ApiCommand for Ping {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(number: u64) -> Map<String, Value> {
        fields(json!({ "result": { "number": number } }))
    }
}

impl ApiCommand for SystemInfo {
    fn event(update: Never) -> Event {
        match update {}
    }

    fn done(info: SystemInfoResult) -> Map<String, Value> {
        let SystemInfoResult { version, os, arch, cpus } = info;
        fields(json!({ "result": { "version": version, "os": os, "arch": arch, "cpus": cpus } }))
    }
}

fn read<T: DeserializeOwned>(args: Value) -> Result<T, ArgsError> {
    // Left out is as good as empty.
    let args = if args.is_null() { json!({}) } else { args };
    serde_json::from_value(args).map_err(|error| ArgsError::Wrong(error.to_string()))
}

fn files_done(done: FsDone) -> Map<String, Value> {
    fields(json!({ "result": { "files": done.files, "bytes": done.bytes } }))
}

/// JSON's numbers are exact up to 2^53, which is not enough for nanoseconds.
fn milliseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000_000)
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn quote_all<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Writes a word as a shell would take it.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Cuts a summary to one line of bounded length.
pub(super) fn cut(text: String) -> String {
    let is_short = text.chars().nth(SUMMARY_CHARS_MAX).is_none();
    if is_short && !text.contains(char::is_control) {
        return text;
    }
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if is_short {
        return shown.collect();
    }
    shown.take(SUMMARY_CHARS_MAX - 1).chain(['…']).collect()
}

/// Longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_may_be_left_out_are_left_out() {
        assert_eq!(ApiArgs::read("sys.info/1", Value::Null), Ok(ApiArgs::SystemInfo));
        assert_eq!(ApiArgs::read("sys.ping/1", json!({})), Ok(ApiArgs::Ping(0)));
    }

    #[test]
    fn the_arguments_of_files_are_read() {
        let put = ApiArgs::read(
            "fs.put/1",
            json!({ "path": "a b", "kind": "folder", "mode": 420, "replace": true }),
        );
        let expected = FsPutArgs {
            path: "a b".to_owned(),
            kind: FileKind::Folder,
            mode: Some(0o644),
            replace: true,
            make_parents: false,
        };
        assert_eq!(put, Ok(ApiArgs::FsPut(expected)));
        let get = ApiArgs::read("fs.get/1", json!({ "path": "/etc" }));
        assert_eq!(get.as_ref().map(ApiArgs::summary), Ok("/etc".to_owned()));
        assert!(ApiArgs::read("fs.put/1", json!({ "path": "a", "kind": "pipe" })).is_err());
        let compressed = ApiArgs::read("fs.get/1", json!({ "path": "a", "compress": "bzip2" }));
        let expected = FsGetArgs { path: "a".to_owned(), compress: Compression::Bzip2 };
        assert_eq!(compressed, Ok(ApiArgs::FsGet(expected)));
        assert!(ApiArgs::read("fs.get/1", json!({ "path": "a", "compress": "zip" })).is_err());
    }

    #[test]
    fn wrong_arguments_are_named() {
        let wrong = |name, args| match ApiArgs::read(name, args) {
            Err(ArgsError::Wrong(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(wrong("exec/1", json!({})).contains("program"));
        assert!(wrong("exec/1", json!({ "program": "a", "argv": [] })).contains("argv"));
        assert!(wrong("sys.ping/1", json!({ "number": "1" })).contains("invalid type"));
        assert_eq!(ApiArgs::read("exec/9", json!({})), Err(ArgsError::UnknownType));
    }

    #[test]
    fn a_summary_is_one_line_that_a_shell_would_take() {
        let exec = |words: &[&str]| {
            let args = words[1..].iter().map(|&word| word.to_owned()).collect();
            ApiArgs::Exec(ExecArgs { program: words[0].to_owned(), args, ..ExecArgs::default() }).summary()
        };
        assert_eq!(exec(&["sh", "-c", "echo it's; exit 3", ""]), "sh -c 'echo it'\\''s; exit 3' ''");
        assert_eq!(exec(&["a", "x\ny"]), "a 'x y'");
        let long = exec(&["a", &"ä".repeat(500)]);
        assert_eq!((long.chars().count(), long.chars().last()), (200, Some('…')));
    }
}
