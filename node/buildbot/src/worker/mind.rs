//! What a master asks of the worker as a whole.

use super::Refusal;
use super::arguments::{list_of, path_of, text_of};
use crate::broker::Called;

/// A call of the mind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MindCall {
    /// `print`: says something for the log, and is how a master learns whether the worker lives. The answer is `None`.
    Print {
        /// The text.
        message: String,
    },
    /// `getWorkerInfo`: [`WorkerInfo`](super::WorkerInfo) is the answer.
    WorkerInfo,
    /// `setBuilderList`: the builders of this worker from here on. The answer is a dictionary of their names with an
    /// object each, the same as before for a builder that stays.
    SetBuilders {
        /// In the master's order. No name comes twice.
        builders: Vec<BuilderName>,
    },
    /// `shutdown`: the worker should end. The answer is `None`.
    Shutdown,
}

/// A builder and the folder in which it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderName {
    /// The builder's name: any text.
    pub name: String,
    /// Its folder, relative to the worker's.
    pub folder: String,
}

impl MindCall {
    /// Reads a call.
    ///
    /// # Errors
    ///
    /// When there is no such method, or its arguments are not what they have to be.
    pub fn of(called: &Called) -> Result<Self, Refusal> {
        match called.method.as_str() {
            "print" => Ok(Self::Print { message: message_of(called)? }),
            "getWorkerInfo" => Ok(Self::WorkerInfo),
            "setBuilderList" => Ok(Self::SetBuilders { builders: builders_of(called)? }),
            "shutdown" => Ok(Self::Shutdown),
            method => Err(Refusal::no_such_method(method)),
        }
    }
}

/// Returns what is to be printed.
pub(super) fn message_of(called: &Called) -> Result<String, Refusal> {
    let message = called.argument(0, "message").ok_or(Refusal::Missing { argument: "message" })?;
    let wrong = Refusal::Wrong { argument: "message", expected: "a text" };
    message.as_text().map(str::to_owned).ok_or(wrong)
}

fn builders_of(called: &Called) -> Result<Vec<BuilderName>, Refusal> {
    let argument = "builders";
    let wrong = || Refusal::Wrong { argument, expected: "a list of names and folders" };
    let list = called.argument(0, argument).ok_or(Refusal::Missing { argument })?;
    let mut builders = Vec::new();
    let mut names = std::collections::HashSet::new();
    for pair in list_of(list).ok_or_else(wrong)? {
        let Some([name, folder]) = list_of(pair) else {
            return Err(wrong());
        };
        let builder = BuilderName { name: text_of(name, argument)?, folder: path_of(folder, argument)? };
        if !names.insert(builder.name.clone()) {
            return Err(wrong());
        }
        builders.push(builder);
    }
    Ok(builders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectId;
    use crate::jelly::Value;

    fn called(method: &str, args: Vec<Value>) -> Called {
        let object = ObjectId::from_wire(1);
        Called { request: None, object, method: method.to_owned(), args, kwargs: vec![] }
    }

    fn pair(name: &str, folder: &str) -> Value {
        Value::Tuple(vec![name.into(), folder.into()])
    }

    #[test]
    fn each_method_is_read() {
        let print = MindCall::Print { message: "attached".to_owned() };
        assert_eq!(MindCall::of(&called("print", vec!["attached".into()])), Ok(print.clone()));
        let mut by_name = called("print", vec![]);
        by_name.kwargs.push(("message".to_owned(), "attached".into()));
        assert_eq!(MindCall::of(&by_name), Ok(print));
        assert_eq!(MindCall::of(&called("getWorkerInfo", vec![])), Ok(MindCall::WorkerInfo));
        assert_eq!(MindCall::of(&called("shutdown", vec![])), Ok(MindCall::Shutdown));
        let list = Value::List(vec![pair("linux ä", "build-linux"), pair("docs", "docs")]);
        let builder =
            |name: &str, folder: &str| BuilderName { name: name.to_owned(), folder: folder.to_owned() };
        assert_eq!(
            MindCall::of(&called("setBuilderList", vec![list])),
            Ok(MindCall::SetBuilders {
                builders: vec![builder("linux ä", "build-linux"), builder("docs", "docs")],
            })
        );
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(matches!(MindCall::of(&called("getCommands", vec![])), Err(Refusal::NoSuchMethod { .. })));
        assert_eq!(MindCall::of(&called("print", vec![])), Err(Refusal::Missing { argument: "message" }));
        for list in [
            Value::None,
            Value::List(vec!["linux".into()]),
            Value::List(vec![Value::Tuple(vec!["linux".into()])]),
            Value::List(vec![pair("linux", "")]),
            Value::List(vec![pair("linux", "a"), pair("linux", "b")]),
        ] {
            let refused = MindCall::of(&called("setBuilderList", vec![list]));
            assert!(matches!(refused, Err(Refusal::Wrong { argument: "builders", .. })), "{refused:?}");
        }
    }
}
