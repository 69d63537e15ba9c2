//! The names of arguments in the protocol `msgpack_experimental_v7`, where they are others.

/// Returns the name over Perspective Broker of a command's argument, if it is another one.
pub(super) fn pb_name(command: &str, argument: &str) -> Option<&'static str> {
    let command = command_of(command);
    RENAMED.iter().find(|renamed| (renamed.0, renamed.1) == (command, argument)).map(|renamed| renamed.2)
}

/// Returns the name there of a command's argument.
pub(super) fn msgpack_name(command: &str, argument: &'static str) -> &'static str {
    let command = command_of(command);
    let renamed = RENAMED.iter().find(|renamed| (renamed.0, renamed.2) == (command, argument));
    renamed.map_or(argument, |renamed| renamed.1)
}

fn command_of(name: &str) -> &str {
    match name {
        "upload_file" => "uploadFile",
        "upload_directory" => "uploadDirectory",
        "download_file" => "downloadFile",
        name => name,
    }
}

/// A command, the name of its argument there, and that over Perspective Broker.
const RENAMED: [(&str, &str, &str); 9] = [
    ("uploadFile", "path", "workersrc"),
    ("uploadDirectory", "path", "workersrc"),
    ("downloadFile", "path", "workerdest"),
    ("mkdir", "paths", "dir"),
    ("rmdir", "paths", "dir"),
    ("cpdir", "from_path", "fromdir"),
    ("cpdir", "to_path", "todir"),
    ("stat", "path", "file"),
    ("listdir", "path", "dir"),
];
