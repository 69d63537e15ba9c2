//! What a master asks of its worker.

use super::commands::Commands;
use crate::jelly::Value;
use crate::worker::{MasterCommandId, Refusal, Start};

/// Something that a master asks. Every one is answered; with nothing, where nothing is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// `print`: says something for the log, and is how a master learns whether the worker lives.
    Print {
        /// The text.
        message: String,
    },
    /// `get_worker_info`: [`WorkerInfo`](crate::worker::WorkerInfo) is the answer.
    WorkerInfo,
    /// `set_worker_settings`: how text is to be cut and gathered.
    Settings {
        /// What ends a line: a regular expression of Python.
        newline_re: String,
    },
    /// `start_command`: the answer comes as soon as it is started.
    Start {
        /// The builder, if the command is for one and none of the master's own.
        builder: Option<String>,
        /// The command, which is open in [`Commands`] until it is closed there.
        start: Box<Start>,
    },
    /// `interrupt_command`: the command should end soon. The answer is the same when there is no such command; the master
    /// then waits for the command's end without any limit.
    Interrupt {
        /// The command.
        command: MasterCommandId,
        /// Why, for people.
        why: String,
    },
    /// `keepalive`: nothing but a sign of life.
    KeepAlive,
    /// `shutdown`: the worker should end.
    Shutdown,
}

impl Ask {
    /// Reads what is asked. A command that is to be started is opened in `commands`.
    ///
    /// # Errors
    ///
    /// When there is no such operation or command, or its arguments are not what they have to be.
    pub fn of(op: &str, fields: Value, commands: &mut Commands) -> Result<Self, Refusal> {
        match op {
            "print" => Ok(Self::Print { message: text_of(&fields, "message")? }),
            "get_worker_info" => Ok(Self::WorkerInfo),
            "set_worker_settings" => {
                let args = fields.get("args").ok_or(Refusal::Missing { argument: "args" })?;
                Ok(Self::Settings { newline_re: text_of(args, "newline_re")? })
            }
            "start_command" => {
                let id = MasterCommandId::of(fields.get("command_id"))?;
                let name = text_of(&fields, "command_name")?;
                let builder = fields.get("builder_name").and_then(Value::as_text).map(str::to_owned);
                let args = fields.get("args").cloned().unwrap_or_default();
                Ok(Self::Start { builder, start: Box::new(commands.open(id, &name, args)?) })
            }
            "interrupt_command" => {
                let why = fields.get("why").and_then(Value::as_text).unwrap_or_default().to_owned();
                Ok(Self::Interrupt { command: MasterCommandId::of(fields.get("command_id"))?, why })
            }
            "keepalive" => Ok(Self::KeepAlive),
            "shutdown" => Ok(Self::Shutdown),
            op => Err(Refusal::no_such_method(op)),
        }
    }
}

fn text_of(fields: &Value, argument: &'static str) -> Result<String, Refusal> {
    let value = fields.get(argument).ok_or(Refusal::Missing { argument })?;
    value.as_text().map(str::to_owned).ok_or(Refusal::Wrong { argument, expected: "a text" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{Argument, Command, Program};

    fn dict(pairs: Vec<(&str, Value)>) -> Value {
        Value::Dict(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    fn ask(op: &str, pairs: Vec<(&str, Value)>) -> Result<Ask, Refusal> {
        Ask::of(op, dict(pairs), &mut Commands::default())
    }

    #[test]
    fn each_operation_is_read() {
        let message = "attached".to_owned();
        assert_eq!(ask("print", vec![("message", "attached".into())]), Ok(Ask::Print { message }));
        assert_eq!(ask("get_worker_info", vec![]), Ok(Ask::WorkerInfo));
        let args = dict(vec![("newline_re", "x".into()), ("max_line_length", Value::Int(4096))]);
        let settings = Ask::Settings { newline_re: "x".to_owned() };
        assert_eq!(ask("set_worker_settings", vec![("args", args)]), Ok(settings));
        assert_eq!(ask("keepalive", vec![]), Ok(Ask::KeepAlive));
        assert_eq!(ask("shutdown", vec![]), Ok(Ask::Shutdown));
        let fields = vec![("command_id", "7".into()), ("builder_name", "b".into()), ("why", "stop".into())];
        let (command, why) = (MasterCommandId::new("7"), "stop".to_owned());
        assert_eq!(ask("interrupt_command", fields), Ok(Ask::Interrupt { command, why }));
    }

    #[test]
    fn a_secret_word_is_a_list_here_and_is_not_shown() {
        let word = Value::List(vec!["obfuscated".into(), "hunter2".into(), "XXXX".into()]);
        let words = Value::List(vec!["obfuscated".into(), word]);
        let args = dict(vec![("workdir", "/srv/b/build".into()), ("command", words)]);
        let fields = vec![("command_id", "7".into()), ("command_name", "shell".into()), ("args", args)];
        let Ok(Ask::Start { builder: None, start }) = ask("start_command", fields) else {
            panic!("a command");
        };
        let Command::Shell(shell) = start.command else { panic!("a program") };
        let plain = Argument { text: "obfuscated".to_owned(), shown: None };
        let secret = Argument { text: "hunter2".to_owned(), shown: Some("XXXX".to_owned()) };
        assert_eq!(shell.program, Program::Words(vec![plain, secret]));
        assert!(!format!("{shell:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(ask("print", vec![]), Err(Refusal::Missing { argument: "message" }));
        assert_eq!(ask("set_worker_settings", vec![]), Err(Refusal::Missing { argument: "args" }));
        assert!(matches!(ask("set_builder_list", vec![]), Err(Refusal::NoSuchMethod { .. })));
        let start = |name: &str, args: Value| {
            let fields = vec![("command_id", "7".into()), ("command_name", name.into()), ("args", args)];
            ask("start_command", fields).expect_err("it is wrong")
        };
        assert_eq!(start("svn", dict(vec![])), Refusal::no_such_command("svn"));
        assert_eq!(
            start("shell", Value::None),
            Refusal::Wrong { argument: "args", expected: "a dictionary" }
        );
        assert_eq!(start("listdir", dict(vec![])), Refusal::Missing { argument: "path" });
    }
}
