//! What a master asks of one builder.

use std::fmt;

use super::arguments::Arguments;
use super::mind::message_of;
use super::{Command, Refusal};
use crate::broker::Called;
use crate::ids::RemoteId;
use crate::jelly::Value;

/// A call of a builder's object.
#[derive(Clone, Debug, PartialEq)]
pub enum BuilderCall {
    /// `print`: as for the mind.
    Print {
        /// The text.
        message: String,
    },
    /// `startBuild`: the steps of a build follow. The answer is `None`.
    StartBuild,
    /// `startCommand`: the answer is `None` as soon as it is started. An older command of the builder ends with that.
    StartCommand(Box<Start>),
    /// `interruptCommand`: the command should end soon. The answer is `None`, also when there is no such command; the
    /// master then waits for the command's end without any limit.
    InterruptCommand {
        /// The command.
        command: MasterCommandId,
        /// Why, for people.
        why: String,
    },
}

/// A command that is to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The object of the master that takes updates and the end.
    pub sink: RemoteId,
    /// By what the master interrupts it.
    pub id: MasterCommandId,
    /// What is to be done.
    pub command: Command,
}

/// The name that a master has given to a command. It is the master's own and need not be unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MasterCommandId(String);

impl BuilderCall {
    /// Reads a call.
    ///
    /// # Errors
    ///
    /// When there is no such method or command, or its arguments are not what they have to be. The objects that came
    /// with it are to be [released](crate::Broker::release_arguments).
    pub fn of(called: &Called) -> Result<Self, Refusal> {
        match called.method.as_str() {
            "print" => Ok(Self::Print { message: message_of(called)? }),
            "startBuild" => Ok(Self::StartBuild),
            "startCommand" => Ok(Self::StartCommand(Box::new(Start::of(called)?))),
            "interruptCommand" => {
                let command = MasterCommandId::of(called.argument(0, "command_id"))?;
                let why = called.argument(1, "why").and_then(Value::as_text).unwrap_or_default().to_owned();
                Ok(Self::InterruptCommand { command, why })
            }
            method => Err(Refusal::no_such_method(method)),
        }
    }
}

impl Start {
    fn of(called: &Called) -> Result<Self, Refusal> {
        let Some(Value::Remote(sink)) = called.argument(0, "command_ref") else {
            return Err(Refusal::Wrong { argument: "command_ref", expected: "an object" });
        };
        let id = MasterCommandId::of(called.argument(1, "command_id"))?;
        let name = called.argument(2, "command").and_then(Value::as_text);
        let name = name.ok_or(Refusal::Wrong { argument: "command", expected: "a text" })?;
        let Some(args @ Value::Dict(_)) = called.argument(3, "args") else {
            return Err(Refusal::Wrong { argument: "args", expected: "a dictionary" });
        };
        Ok(Self { sink: *sink, id, command: Command::of(name, Arguments(args))? })
    }
}

impl MasterCommandId {
    #[cfg(test)]
    pub(crate) fn new(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// Reads a name, if there is one.
    ///
    /// # Errors
    ///
    /// When it is missing, no text, or longer than 255 bytes.
    pub fn of(value: Option<&Value>) -> Result<Self, Refusal> {
        let argument = "command_id";
        let id = value.ok_or(Refusal::Missing { argument })?;
        match id.as_text() {
            Some(id) if id.len() <= ID_BYTES_MAX => Ok(Self(id.to_owned())),
            _ => Err(Refusal::Wrong { argument, expected: "a short text" }),
        }
    }
}

impl fmt::Display for MasterCommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const ID_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectId;

    fn called(method: &str, args: Vec<Value>) -> Called {
        let object = ObjectId::from_wire(1);
        Called { request: None, object, method: method.to_owned(), args, kwargs: vec![] }
    }

    fn start(args: Value) -> Called {
        let sink = Value::Remote(RemoteId::from_wire(3));
        called("startCommand", vec![sink, "7".into(), "stat".into(), args])
    }

    #[test]
    fn each_method_is_read() {
        let print = BuilderCall::Print { message: "ping".to_owned() };
        assert_eq!(BuilderCall::of(&called("print", vec!["ping".into()])), Ok(print));
        assert_eq!(BuilderCall::of(&called("startBuild", vec![])), Ok(BuilderCall::StartBuild));
        let interrupt = called("interruptCommand", vec!["7".into(), "stop it".into()]);
        let expected = BuilderCall::InterruptCommand {
            command: MasterCommandId("7".to_owned()),
            why: "stop it".to_owned(),
        };
        assert_eq!(BuilderCall::of(&interrupt), Ok(expected));

        let args = Value::Dict(vec![("file".into(), "a".into()), ("workdir".into(), "build".into())]);
        let Ok(BuilderCall::StartCommand(start)) = BuilderCall::of(&start(args)) else {
            panic!("a command");
        };
        assert_eq!(start.sink, RemoteId::from_wire(3));
        assert_eq!(start.id.to_string(), "7");
        assert!(matches!(start.command, Command::Stat { .. }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(matches!(BuilderCall::of(&called("setMaster", vec![])), Err(Refusal::NoSuchMethod { .. })));
        let refused = |called: &Called| BuilderCall::of(called).expect_err("it is wrong");
        assert_eq!(
            refused(&start(Value::None)),
            Refusal::Wrong { argument: "args", expected: "a dictionary" }
        );
        assert_eq!(refused(&start(Value::Dict(vec![]))), Refusal::Missing { argument: "file" });
        let mut call = start(Value::Dict(vec![]));
        call.args[2] = "rmtree".into();
        assert_eq!(refused(&call), Refusal::no_such_command("rmtree"));
        call.args[1] = Value::Text("7".repeat(256));
        assert!(matches!(refused(&call), Refusal::Wrong { argument: "command_id", .. }));
        call.args[0] = Value::None;
        assert!(matches!(refused(&call), Refusal::Wrong { argument: "command_ref", .. }));
    }
}
