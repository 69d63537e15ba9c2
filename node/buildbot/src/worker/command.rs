//! The commands of a worker, by name.

use super::arguments::Arguments;
use super::msgpack_names::{msgpack_name, pb_name};
use super::{CopyFolder, Download, Refusal, RemoveFolders, Shell, Upload, UploadFolder};
use crate::ids::RemoteId;
use crate::jelly::Value;

/// A command of a worker, as masters from 3.0 on say it.
///
/// Each ends with an update of its return code and then with its end, whatever happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `shell`: runs a program.
    Shell(Box<Shell>),
    /// `uploadFile`: sends a file to the master.
    Upload(Upload),
    /// `uploadDirectory`: sends a folder to the master, as a tar archive.
    UploadFolder(UploadFolder),
    /// `downloadFile`: writes a file with what the master has.
    Download(Download),
    /// `mkdir`: makes folders with all above them. It is no error if they are there.
    MakeFolders {
        /// The folders.
        paths: Vec<String>,
    },
    /// `rmdir`: removes folders and files with all below them. It is no error if they are not there.
    RemoveFolders(RemoveFolders),
    /// `cpdir`: copies a folder.
    CopyFolder(CopyFolder),
    /// `stat`: tells what a file is. The answer is an update with its status.
    Stat {
        /// The folder that the path counts from; may be empty.
        folder: String,
        /// The file.
        path: String,
    },
    /// `glob`: finds files by a pattern with `*`, `?`, `[...]` and `**`. The answer is an update with absolute paths.
    Glob {
        /// The pattern.
        pattern: String,
    },
    /// `listdir`: tells what a folder has. The answer is an update with names.
    List {
        /// The folder.
        path: String,
    },
    /// `rmfile`: removes a file.
    RemoveFile {
        /// The file. May begin with `~`.
        path: String,
    },
}

/// The name of each command with its version, as the master wants to know them. The version says which arguments it
/// understands.
pub(super) const COMMANDS: [(&str, &str); 11] = [
    ("shell", "3.3"),
    ("uploadFile", "3.3"),
    ("uploadDirectory", "3.3"),
    ("downloadFile", "3.3"),
    ("mkdir", "3.3"),
    ("rmdir", "3.3"),
    ("cpdir", "3.3"),
    ("stat", "3.3"),
    ("glob", "3.3"),
    ("listdir", "3.3"),
    ("rmfile", "3.3"),
];

impl Command {
    /// Reads a command. The underscored names are those of the other protocol; the reference worker knows them here
    /// too.
    pub(super) fn of(name: &str, args: Arguments<'_>) -> Result<Self, Refusal> {
        match name {
            "shell" => Ok(Self::Shell(Box::new(Shell::of(args)?))),
            "uploadFile" | "upload_file" => Ok(Self::Upload(Upload::of(args)?)),
            "uploadDirectory" | "upload_directory" => Ok(Self::UploadFolder(UploadFolder::of(args)?)),
            "downloadFile" | "download_file" => Ok(Self::Download(Download::of(args)?)),
            "mkdir" => Ok(Self::MakeFolders { paths: super::files::paths_of(args, "dir")? }),
            "rmdir" => Ok(Self::RemoveFolders(RemoveFolders::of(args)?)),
            "cpdir" => Ok(Self::CopyFolder(CopyFolder::of(args)?)),
            "stat" => Ok(Self::Stat { folder: args.path_or_empty("workdir")?, path: args.path("file")? }),
            "glob" => Ok(Self::Glob { pattern: args.path("path")? }),
            "listdir" => Ok(Self::List { path: args.path("dir")? }),
            "rmfile" => Ok(Self::RemoveFile { path: args.path("path")? }),
            name => Err(Refusal::no_such_command(name)),
        }
    }

    /// Returns whether it ends by itself in a moment: a question, or a change that moves no content.
    pub fn is_brief(&self) -> bool {
        match self {
            Self::MakeFolders { .. }
            | Self::Stat { .. }
            | Self::Glob { .. }
            | Self::List { .. }
            | Self::RemoveFile { .. } => true,
            Self::Shell(_)
            | Self::Upload(_)
            | Self::UploadFolder(_)
            | Self::Download(_)
            | Self::RemoveFolders(_)
            | Self::CopyFolder(_) => false,
        }
    }

    /// Reads a command as the other protocol has it, where all paths are absolute and named alike, and where the master's
    /// objects go without saying: `object` stands for them.
    pub(crate) fn of_msgpack(name: &str, args: Value, object: RemoteId) -> Result<Self, Refusal> {
        let Value::Dict(mut args) = args else {
            return Err(Refusal::Wrong { argument: "args", expected: "a dictionary" });
        };
        for (key, _) in &mut args {
            if let Some(renamed) = key.as_text().and_then(|key| pb_name(name, key)) {
                *key = renamed.into();
            }
        }
        let object = ["writer", "reader"].map(|name| (name.into(), Value::Remote(object)));
        let args = Value::Dict(args.into_iter().chain(object).collect());
        Self::of(name, Arguments(&args))
            .map_err(|refusal| refusal.renamed(|argument| msgpack_name(name, argument)))
    }

    /// Returns the names and versions that a worker tells its master.
    pub(super) fn versions() -> Value {
        Value::Dict(COMMANDS.iter().map(|&(name, version)| (name.into(), version.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(pairs: &[(&str, &str)]) -> Value {
        Value::Dict(pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect())
    }

    #[track_caller]
    fn check(name: &str, args: &Value, expected: Command) {
        assert_eq!(Command::of(name, Arguments(args)), Ok(expected));
    }

    #[test]
    fn commands_about_files_are_read() {
        let text = |text: &str| text.to_owned();
        let (folder, path) = (text("build"), text("a/b"));
        let args = dict(&[("file", "a/b"), ("workdir", "build"), ("later", "ignored")]);
        check("stat", &args, Command::Stat { folder, path: path.clone() });
        check("stat", &dict(&[("file", "a/b")]), Command::Stat { folder: text(""), path: path.clone() });
        check("glob", &dict(&[("path", "a/**/*.o")]), Command::Glob { pattern: text("a/**/*.o") });
        check("listdir", &dict(&[("dir", "a/b")]), Command::List { path: path.clone() });
        check("rmfile", &dict(&[("path", "a/b")]), Command::RemoveFile { path: path.clone() });
        check("mkdir", &dict(&[("dir", "a/b")]), Command::MakeFolders { paths: vec![path] });
    }

    #[test]
    fn the_other_protocol_names_paths_alike() {
        let object = RemoteId::from_wire(5);
        let read = |name: &str, args: &Value| Command::of_msgpack(name, args.clone(), object);
        let path = dict(&[("path", "/a")]);
        let (folder, file) = (String::new(), "/a".to_owned());
        assert_eq!(read("stat", &path), Ok(Command::Stat { folder, path: file.clone() }));
        assert_eq!(read("listdir", &path), Ok(Command::List { path: file.clone() }));
        assert_eq!(read("glob", &path), Ok(Command::Glob { pattern: file.clone() }));
        assert_eq!(read("rmfile", &path), Ok(Command::RemoveFile { path: file.clone() }));
        let paths = Value::Dict(vec![("paths".into(), Value::List(vec!["/a".into()]))]);
        assert_eq!(read("mkdir", &paths), Ok(Command::MakeFolders { paths: vec![file] }));
        assert!(matches!(read("rmdir", &paths), Ok(Command::RemoveFolders(_))));
        let copy = dict(&[("from_path", "/a"), ("to_path", "/b")]);
        assert!(matches!(read("cpdir", &copy), Ok(Command::CopyFolder(_))));
        let transfer = Value::Dict(vec![("path".into(), "/a".into()), ("blocksize".into(), Value::Int(9))]);
        for name in ["upload_file", "uploadFile", "upload_directory", "uploadDirectory"] {
            let Ok(
                Command::Upload(Upload { writer, .. }) | Command::UploadFolder(UploadFolder { writer, .. }),
            ) = read(name, &transfer)
            else {
                panic!("{name}");
            };
            assert_eq!(writer, object);
        }
        for name in ["download_file", "downloadFile"] {
            assert!(
                matches!(read(name, &transfer), Ok(Command::Download(Download { reader, .. })) if reader == object)
            );
        }
        assert_eq!(read("stat", &dict(&[])), Err(Refusal::Missing { argument: "path" }));
        assert_eq!(read("cpdir", &dict(&[])), Err(Refusal::Missing { argument: "from_path" }));
        assert!(matches!(read("mkdir", &Value::None), Err(Refusal::Wrong { argument: "args", .. })));
    }

    #[test]
    fn every_command_that_is_told_is_known() {
        for (name, _) in COMMANDS {
            let refused = Command::of(name, Arguments(&Value::None));
            assert!(matches!(refused, Err(Refusal::Missing { .. })), "{name}: {refused:?}");
        }
        let refused = Command::of("svn", Arguments(&Value::None));
        assert_eq!(refused, Err(Refusal::no_such_command("svn")));
    }
}
