//! The built-in commands, one AMP command each: a table of names and arguments.
//!
//! A new built-in, or a new argument, is one more row here and in `AMP.md`.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::request::Then;
use crate::limits::Limits;
use crate::value::{ValueError, read_boolean, read_boxes, read_list, read_number, read_text};

/// A built-in command of nodes.
#[derive(Debug)]
pub(super) struct Builtin {
    /// Its name in AMP.
    pub(super) name: &'static str,
    /// Its type in the node's API.
    pub(super) command: &'static str,
    /// What is done after it is submitted.
    pub(super) then: Then,
    arguments: &'static [Argument],
}

/// An argument: its name in AMP, in the API, and its type.
type Argument = (&'static str, &'static str, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `amp.Unicode`
    Text,
    /// `amp.Integer`
    Number,
    /// `amp.Boolean`
    Flag,
    /// `amp.ListOf(amp.Unicode)`
    Texts,
    /// `amp.AmpList` of `name` and, unless the variable is to be removed, `value`, both `amp.Unicode`
    Variables,
    /// `amp.AmpList` of `name` and `path`, both `amp.Unicode`, and `follow`, an `amp.Boolean` that may be left out
    LogFiles,
}

use Kind::{Flag, LogFiles, Number, Text, Texts, Variables};

const BUILTINS: [Builtin; 11] = [
    Builtin {
        name: "Exec",
        command: "exec/1",
        then: Then::FOLLOW,
        arguments: &[
            ("program", "program", Text),
            ("args", "args", Texts),
            ("env", "env", Variables),
            ("expand_env", "expand_env", Flag),
            ("report_env", "report_env", Flag),
            ("cwd", "cwd", Text),
            ("make_cwd", "make_cwd", Flag),
            ("terminal", "terminal", Flag),
            ("log_files", "log_files", LogFiles),
            ("timeout_ms", "timeout_ms", Number),
            ("no_output_timeout_ms", "no_output_timeout_ms", Number),
            ("lines_max", "lines_max", Number),
            ("stop_signal", "stop_signal", Text),
            ("kill_grace_ms", "kill_grace_ms", Number),
            ("kill_signal", "kill_signal", Text),
        ],
    },
    Builtin {
        name: "Put",
        command: "fs.put/1",
        then: Then::FOLLOW,
        arguments: &[
            ("path", "path", Text),
            ("kind", "kind", Text),
            ("mode", "mode", Number),
            ("replace", "replace", Flag),
            ("make_parents", "make_parents", Flag),
        ],
    },
    Builtin {
        name: "Get",
        command: "fs.get/1",
        then: Then::FOLLOW_WITH_BODY,
        arguments: &[("path", "path", Text), ("compress", "compress", Text)],
    },
    Builtin {
        name: "Mkdir",
        command: "fs.mkdir/1",
        then: Then::Wait,
        arguments: &[("paths", "paths", Texts)],
    },
    Builtin {
        name: "Remove",
        command: "fs.remove/1",
        then: Then::Wait,
        arguments: &[("paths", "paths", Texts), ("folders", "folders", Flag), ("force", "force", Flag)],
    },
    Builtin {
        name: "Copy",
        command: "fs.copy/1",
        then: Then::Wait,
        // `from` is a word of Python.
        arguments: &[
            ("source", "from", Text),
            ("target", "to", Text),
            ("replace", "replace", Flag),
            ("make_parents", "make_parents", Flag),
        ],
    },
    Builtin {
        name: "Stat",
        command: "fs.stat/1",
        then: Then::Wait,
        arguments: &[("path", "path", Text), ("follow_link", "follow", Flag)],
    },
    Builtin {
        name: "List",
        command: "fs.list/1",
        then: Then::Wait,
        arguments: &[("path", "path", Text), ("after", "after", Text), ("limit", "limit", Number)],
    },
    Builtin {
        name: "Glob",
        command: "fs.glob/1",
        then: Then::Wait,
        arguments: &[("pattern", "pattern", Text), ("after", "after", Text), ("limit", "limit", Number)],
    },
    Builtin {
        name: "Ping",
        command: "sys.ping/1",
        then: Then::Wait,
        arguments: &[("number", "number", Number)],
    },
    Builtin { name: "Info", command: "sys.info/1", then: Then::Wait, arguments: &[] },
];

impl Builtin {
    /// Finds a built-in by its name in AMP.
    pub(super) fn find(name: &[u8]) -> Option<&'static Self> {
        BUILTINS.iter().find(|builtin| builtin.name.as_bytes() == name)
    }

    /// Reads its arguments into those of the API, which says what is missing.
    pub(super) fn read(&self, arguments: &mut Arguments) -> Result<Value, Refusal> {
        let mut fields = Map::new();
        for (key, field, kind) in self.arguments {
            if let Some(value) = arguments.read(key, |value| kind.read(value))? {
                fields.insert((*field).to_owned(), value);
            }
        }
        if self.name == "Put" {
            fields.entry("kind").or_insert_with(|| json!("file"));
        }
        Ok(Value::Object(fields))
    }
}

impl Kind {
    fn read(self, value: &[u8]) -> Result<Value, ValueError> {
        Ok(match self {
            Text => json!(read_text(value)?),
            Number => json!(read_number(value)?),
            Flag => json!(read_boolean(value)?),
            Texts => json!(read_list(value)?.into_iter().map(read_text).collect::<Result<Vec<_>, _>>()?),
            Variables => Value::Object(read_variables(value)?),
            LogFiles => Value::Array(read_log_files(value)?),
        })
    }
}

fn read_variables(value: &[u8]) -> Result<Map<String, Value>, ValueError> {
    let boxes = read_boxes(value, &Limits::default())?;
    let variables = boxes.into_iter().map(|mut variable| {
        let name = variable.take("name").ok_or(ValueError { expected: "a list of boxes with `name`" })?;
        let value = variable.take("value").map(|value| read_text(&value)).transpose()?;
        Ok((read_text(&name)?, json!(value)))
    });
    variables.collect()
}

fn read_log_files(value: &[u8]) -> Result<Vec<Value>, ValueError> {
    let boxes = read_boxes(value, &Limits::default())?;
    let files = boxes.into_iter().map(|mut file| {
        let (Some(name), Some(path)) = (file.take("name"), file.take("path")) else {
            return Err(ValueError { expected: "a list of boxes with `name` and `path`" });
        };
        let follow = file.take("follow").map(|follow| read_boolean(&follow)).transpose()?;
        Ok(json!({ "name": read_text(&name)?, "path": read_text(&path)?, "follow": follow.unwrap_or_default() }))
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_described_and_there_for_twisted() {
        let (text, module) =
            (include_str!("../../AMP.md"), include_str!("../../../../examples/runnel_amp.py"));
        for builtin in &BUILTINS {
            let name = builtin.name;
            let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).expect(name);
            let class = module.split(&format!("class {name}(amp.Command):\n")).nth(1).expect(name);
            let class = class.split("\n\n\n").next().expect(name);
            for (key, _, _) in builtin.arguments {
                assert!(row.contains(&format!("`{key}`")), "{name} {key} is not in AMP.md");
                assert!(class.contains(&format!("(b\"{key}\", ")), "{name} {key} is not in runnel_amp.py");
            }
        }
    }
}
