//! A small worker.

use std::collections::HashMap;

use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::{CallFailure, CallId, Called, Event, Limits, ObjectId, RemoteId};

use crate::connection::Connection;
use crate::server::Server;

/// A worker that is logged in and answers what it is asked.
pub(crate) struct Worker {
    pub(crate) connection: Connection,
    pub(crate) perspective: RemoteId,
    pub(crate) builders: Vec<ObjectId>,
    /// The methods that were called, in order.
    pub(crate) served: Vec<String>,
    /// The objects that the master has let go.
    pub(crate) unreferenced: Vec<ObjectId>,
    /// Answers for which nobody has waited yet.
    outcomes: HashMap<CallId, Result<Value, CallFailure>>,
}

impl Worker {
    pub(crate) async fn log_in(server: &Server) -> Self {
        Self::log_in_within(server, Limits::default()).await
    }

    pub(crate) async fn log_in_within(server: &Server, limits: Limits) -> Self {
        let mut worker = Self {
            connection: Connection::open(server.port, "worker1", "secret", limits).await,
            perspective: RemoteId::from_wire(0),
            builders: Vec::new(),
            served: Vec::new(),
            unreferenced: Vec::new(),
            outcomes: HashMap::new(),
        };
        loop {
            let event = worker.connection.next_event().await;
            if let Event::LoggedIn { perspective } = event {
                worker.perspective = perspective;
                return worker;
            }
            worker.handle(event);
        }
    }

    pub(crate) fn mind(&self) -> ObjectId {
        self.connection.broker.mind()
    }

    pub(crate) async fn call_master(&mut self, method: &str, args: Vec<Value>) -> Result<Value, CallFailure> {
        self.call(self.perspective, method, args).await
    }

    pub(crate) async fn call(
        &mut self,
        target: RemoteId,
        method: &str,
        args: Vec<Value>,
    ) -> Result<Value, CallFailure> {
        let call = self.connection.broker.call(target, method, args, vec![]).expect("it can be sent");
        self.outcome(call).await
    }

    /// Waits for an answer and serves what comes before it.
    pub(crate) async fn outcome(&mut self, call: CallId) -> Result<Value, CallFailure> {
        loop {
            if let Some(outcome) = self.outcomes.remove(&call) {
                return outcome;
            }
            let event = self.connection.next_event().await;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Called(called) => self.serve(called),
            Event::Answered { call, outcome } => {
                self.outcomes.insert(call, outcome);
            }
            Event::Unreferenced { object } => self.unreferenced.push(object),
            other => panic!("{other:?}"),
        }
    }

    fn serve(&mut self, called: Called) {
        self.served.push(called.method.clone());
        let answer = match called.method.as_str() {
            "print" => called.argument(0, "message").map(|_| Value::None).ok_or_else(no_such_method),
            "getWorkerInfo" => Ok(info()),
            "setBuilderList" => Ok(self.set_builders(&called.args[0])),
            "echo" => {
                let kwargs = called.kwargs.into_iter().map(|(name, value)| (Value::Text(name), value));
                Ok(Value::Tuple(vec![Value::List(called.args), Value::Dict(kwargs.collect())]))
            }
            "number" => Ok(called.args[0].clone()),
            "told" => return assert_eq!(called.request, None),
            "fail" => {
                let mut failure = Failure::new("builtins.FileNotFoundError", "no such file");
                failure.parents.push("builtins.OSError".to_owned());
                Err(failure)
            }
            _ => Err(no_such_method()),
        };
        let request = called.request.expect("an answer is wanted");
        let broker = &mut self.connection.broker;
        let answered = match answer {
            Ok(value) => broker.answer(request, value),
            Err(failure) => broker.fail(request, failure),
        };
        answered.expect("it can be sent");
    }

    /// Makes an object for each pair of a builder's name and folder.
    fn set_builders(&mut self, list: &Value) -> Value {
        let Value::List(list) = list else { panic!("{list:?}") };
        let pairs = list.iter().map(|builder| {
            let Value::Tuple(builder) = builder else { panic!("{builder:?}") };
            let object = self.connection.broker.add_object().expect("there is room");
            self.builders.push(object);
            (builder[0].clone(), Value::Object(object))
        });
        Value::Dict(pairs.collect())
    }
}

/// What the worker says of itself.
pub(crate) fn info() -> Value {
    let environ = Value::Dict(vec![("HOME".into(), "/home/ä".into())]);
    Value::Dict(vec![("environ".into(), environ), ("numcpus".into(), Value::Int(2))])
}

fn no_such_method() -> Failure {
    Failure::new("twisted.spread.flavors.NoSuchMethod", "there is no such method")
}
