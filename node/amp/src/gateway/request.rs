//! What a Twisted program asks: the commands of `AMP.md`, read strictly. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::arguments::{Arguments, needed};
use super::builtin::Builtin;
use super::refusal::Refusal;
use crate::amp_box::AmpBox;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Request {
    /// Submit a command to a node.
    Submit {
        /// What the node's API is asked.
        content: Value,
        then: Then,
    },
    /// Follow a command from behind this update.
    Follow {
        id: String,
        after_update: u64,
        wanted: Wanted,
    },
    /// Begin a body that is left at the node.
    Open,
    /// A piece of a body.
    Write {
        id: String,
        data: Bytes,
    },
    /// The end of a body.
    Close {
        id: String,
    },
    Cancel {
        id: String,
    },
    Abandon {
        id: String,
    },
    Describe {
        id: String,
    },
    /// A page of the nodes, behind this name.
    Nodes {
        after: String,
    },
}

/// What is done after a command is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Its id is answered.
    Answer,
    /// Its id is answered, and it is followed.
    Follow(Wanted),
    /// It is followed without a word, and its result is answered.
    Wait,
}

/// What a program wants to hear of a command that it follows, beside its output and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// How far it has come.
    pub(super) steps: bool,
    /// The body of its result.
    pub(super) body: bool,
}

impl Then {
    pub(super) const FOLLOW: Self = Self::Follow(Wanted { steps: false, body: false });
    pub(super) const FOLLOW_WITH_BODY: Self = Self::Follow(Wanted { steps: false, body: true });
}

impl Request {
    /// Reads a command and its arguments.
    ///
    /// # Errors
    ///
    /// What the program is answered.
    pub(super) fn read(command: &[u8], arguments: AmpBox) -> Result<Self, Refusal> {
        let mut arguments = Arguments::new(arguments);
        let request = match Builtin::find(command) {
            Some(builtin) => read_builtin(builtin, &mut arguments)?,
            None => read_other(command, &mut arguments)?,
        };
        arguments.finish()?;
        Ok(request)
    }
}

fn read_other(command: &[u8], arguments: &mut Arguments) -> Result<Request, Refusal> {
    Ok(match command {
        b"Submit" => read_submit(arguments)?,
        b"Follow" => Request::Follow {
            id: arguments.id()?,
            after_update: arguments.number("after_update")?.unwrap_or_default(),
            wanted: read_wanted(arguments)?,
        },
        b"Open" => Request::Open,
        b"Write" => Request::Write { id: arguments.id()?, data: needed("data", arguments.bytes("data"))? },
        b"Close" => Request::Close { id: arguments.id()? },
        b"Cancel" => Request::Cancel { id: arguments.id()? },
        b"Abandon" => Request::Abandon { id: arguments.id()? },
        b"Describe" => Request::Describe { id: arguments.id()? },
        b"Nodes" => Request::Nodes { after: arguments.text("after")?.unwrap_or_default() },
        other => return Err(Refusal::unhandled(other)),
    })
}

fn read_submit(arguments: &mut Arguments) -> Result<Request, Refusal> {
    let mut content = read_options(arguments)?;
    content.insert("command".to_owned(), json!(needed("command", arguments.text("command")?)?));
    if let Some(args) = arguments.text("args")? {
        let args: Value = serde_json::from_str(&args)
            .map_err(|error| Refusal::bad_arguments(format!("`args` is not JSON: {error}")))?;
        content.insert("args".to_owned(), args);
    }
    if let Some(args) = arguments.bytes("args_raw") {
        content.insert("args_base64".to_owned(), json!(STANDARD.encode(args)));
    }
    content.insert("has_body".to_owned(), json!(arguments.flag("has_body")?));
    let wanted = read_wanted(arguments)?;
    let then = if arguments.flag("follow")? { Then::Follow(wanted) } else { Then::Answer };
    Ok(Request::Submit { content: Value::Object(content), then })
}

fn read_builtin(builtin: &Builtin, arguments: &mut Arguments) -> Result<Request, Refusal> {
    let mut content = read_options(arguments)?;
    content.insert("command".to_owned(), json!(builtin.command));
    content.insert("args".to_owned(), builtin.read(arguments)?);
    let has_body = match builtin.name {
        "Exec" => arguments.flag("has_body")?,
        // What is not left at the node comes next.
        "Put" => !content.contains_key("body"),
        _ => false,
    };
    content.insert("has_body".to_owned(), json!(has_body));
    Ok(Request::Submit { content: Value::Object(content), then: builtin.then })
}

/// Reads what can be said of every command.
fn read_options(arguments: &mut Arguments) -> Result<Map<String, Value>, Refusal> {
    let mut content = Map::new();
    content.insert("to".to_owned(), json!(needed("node", arguments.text("node")?)?));
    for option in ["class", "key", "delivery", "updates", "body", "summary"] {
        if let Some(value) = arguments.text(option)? {
            content.insert(option.to_owned(), json!(value));
        }
    }
    if let Some(deadline) = arguments.number("deadline_ms")? {
        content.insert("deadline_ms".to_owned(), json!(deadline));
    }
    Ok(content)
}

fn read_wanted(arguments: &mut Arguments) -> Result<Wanted, Refusal> {
    Ok(Wanted { steps: arguments.flag("steps")?, body: arguments.flag("result_body")? })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::value::{amp_list, boolean, integer, list_of};

    fn submit(content: Value, then: Then) -> Result<Request, Refusal> {
        Ok(Request::Submit { content, then })
    }

    #[track_caller]
    fn check_refused(command: &str, arguments: AmpBox, code: &str, said: &str) {
        let refusal = Request::read(command.as_bytes(), arguments).expect_err("it is wrong");
        assert_eq!(refusal.code, code, "{refusal:?}");
        assert!(refusal.description.contains(said), "{refusal:?}");
    }

    #[test]
    fn a_program_is_read_argument_by_argument() {
        let env = [AmpBox::new().with("name", "A").with("value", "1"), AmpBox::new().with("name", "B")];
        let files = [AmpBox::new().with("name", "l").with("path", "a.log")];
        let arguments = AmpBox::new()
            .with("node", "w1")
            .with("program", "make")
            .with("args", list_of([&b"all"[..]]).unwrap())
            .with("env", amp_list(&env).unwrap())
            .with("log_files", amp_list(&files).unwrap())
            .with("timeout_ms", integer(5))
            .with("class", "high")
            .with("has_body", boolean(true));
        let args = json!({ "program": "make", "args": ["all"], "env": { "A": "1", "B": null }, "timeout_ms": 5,
                           "log_files": [{ "name": "l", "path": "a.log", "follow": false }] });
        let content =
            json!({ "to": "w1", "command": "exec/1", "class": "high", "has_body": true, "args": args });
        assert_eq!(Request::read(b"Exec", arguments), submit(content, Then::FOLLOW));
    }

    #[test]
    fn files_take_their_bodies_from_where_they_are() {
        let put = || AmpBox::new().with("node", "w1").with("path", "a");
        let args = json!({ "path": "a", "kind": "file" });
        let content = json!({ "to": "w1", "command": "fs.put/1", "args": args, "has_body": true });
        assert_eq!(Request::read(b"Put", put()), submit(content, Then::FOLLOW));
        let content =
            json!({ "to": "w1", "command": "fs.put/1", "args": args, "has_body": false, "body": "b" });
        assert_eq!(Request::read(b"Put", put().with("body", "b")), submit(content, Then::FOLLOW));
        let content =
            json!({ "to": "w1", "command": "fs.get/1", "args": { "path": "a" }, "has_body": false });
        assert_eq!(Request::read(b"Get", put()), submit(content, Then::FOLLOW_WITH_BODY));
    }

    #[test]
    fn any_command_can_be_submitted() {
        let typed =
            AmpBox::new().with("node", "w1").with("command", "sys.ping/1").with("args", "{\"number\":7}");
        let content =
            json!({ "to": "w1", "command": "sys.ping/1", "args": { "number": 7 }, "has_body": false });
        assert_eq!(Request::read(b"Submit", typed), submit(content, Then::Answer));
        let raw = AmpBox::new().with("node", "w1").with("command", "mine/1").with("args_raw", vec![0, 255]);
        let content = json!({ "to": "w1", "command": "mine/1", "args_base64": "AP8=", "has_body": false });
        let followed = raw.with("follow", boolean(true)).with("steps", boolean(true));
        let then = Then::Follow(Wanted { steps: true, body: false });
        assert_eq!(Request::read(b"Submit", followed), submit(content, then));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check_refused("Missing", AmpBox::new(), "UNHANDLED", "\"Missing\"");
        check_refused("Exec", AmpBox::new().with("program", "true"), "bad-arguments", "`node` is missing");
        let exec = || AmpBox::new().with("node", "w1").with("program", "true");
        check_refused(
            "Exec",
            exec().with("timeout_ms", "soon"),
            "bad-arguments",
            "`timeout_ms`: it is not a number",
        );
        check_refused("Exec", exec().with("env", "x"), "bad-arguments", "`env`");
        check_refused("Exec", exec().with("follow", "True"), "bad-arguments", "`follow` is no argument");
        let submit = AmpBox::new().with("node", "w1").with("command", "a/1").with("args", "{");
        check_refused("Submit", submit, "bad-arguments", "not JSON");
        check_refused("Cancel", AmpBox::new().with("id", "a/../b"), "bad-id", "is no id");
        check_refused("Write", AmpBox::new().with("id", "a.b.1.2"), "bad-arguments", "`data` is missing");
    }

    const COMMANDS: [&str; 14] = [
        "Submit", "Exec", "Put", "Get", "Remove", "Copy", "List", "Follow", "Open", "Write", "Close",
        "Cancel", "Nodes", "Missing",
    ];

    const KEYS: [&str; 14] = [
        "node",
        "command",
        "args",
        "args_raw",
        "program",
        "env",
        "log_files",
        "path",
        "paths",
        "limit",
        "replace",
        "id",
        "data",
        "after_update",
    ];

    proptest! {
        #[test]
        fn arbitrary_arguments_are_read_or_refused(
            command in 0..COMMANDS.len(),
            pairs in vec((0..KEYS.len(), vec(any::<u8>(), 0..20)), 0..6),
        ) {
            let with = |said: AmpBox, (key, value): (usize, Vec<u8>)| said.with(KEYS[key], value);
            let arguments = pairs.into_iter().fold(AmpBox::new(), with);
            if let Err(refusal) = Request::read(COMMANDS[command].as_bytes(), arguments) {
                prop_assert!(!refusal.code.is_empty() && !refusal.description.is_empty());
            }
        }
    }
}
