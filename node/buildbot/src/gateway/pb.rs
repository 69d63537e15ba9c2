//! A master that speaks Perspective Broker: its calls are read and answered, and it is called.

mod builders;
mod connection;

use self::builders::Builders;
use self::connection::Connection;
use super::paths::join;
use super::protocol::{Abilities, Ask, Closing, Event, Job, NotSent, OpenError, Protocol};
use crate::broker::{self, Called, CloseReason, Credentials};
use crate::ids::{CallId, RemoteId, RequestId};
use crate::jelly::{Failure, Value};
use crate::limits::Limits;
use crate::worker::{BuilderCall, BuilderName, MasterCall, MindCall, Refusal, Start};

/// A connection of a worker, with the objects that the master has of it.
#[derive(Debug)]
pub(super) struct Pb {
    /// The node, for the log.
    node: String,
    /// The folder that holds the builders'.
    folder: String,
    connection: Connection,
    builders: Builders,
}

impl Pb {
    /// Connects. The login follows with the first events.
    pub(super) async fn open(
        address: &str,
        limits: Limits,
        credentials: Credentials,
        node: String,
        folder: String,
    ) -> Result<Self, OpenError> {
        let connection = Connection::open(address, limits, credentials).await?;
        Ok(Self { node, folder, connection, builders: Builders::default() })
    }

    /// Reads a call. One that makes no sense is answered here.
    fn read(&mut self, called: Called) -> Option<Event> {
        let request = called.request;
        match self.ask_of(&called) {
            Ok(ask) => Some(Event::Asked { request, ask }),
            Err(refusal) => {
                tracing::warn!(node = self.node, method = called.method, %refusal, "refused");
                self.connection.broker.release_arguments(&called);
                if let Some(request) = request {
                    self.answer(request, Err(refusal.into()));
                }
                None
            }
        }
    }

    fn ask_of(&mut self, called: &Called) -> Result<Ask, Refusal> {
        if called.object != self.connection.broker.mind() {
            return BuilderCall::of(called).and_then(|call| self.ask_of_builder(called, call));
        }
        match MindCall::of(called)? {
            MindCall::Print { message } => Ok(Ask::Print { message }),
            MindCall::WorkerInfo => Ok(Ask::Info),
            MindCall::SetBuilders { builders } => self.set_builders(builders),
            MindCall::Shutdown => Ok(Ask::ShutDown),
        }
    }

    fn ask_of_builder(&mut self, called: &Called, call: BuilderCall) -> Result<Ask, Refusal> {
        match call {
            BuilderCall::Print { message } => Ok(Ask::Print { message }),
            BuilderCall::StartBuild => Ok(Ask::Nothing),
            BuilderCall::StartCommand(start) => self.start(called, *start),
            BuilderCall::InterruptCommand { command, why } => {
                if let Some((name, builder)) = self.builders.of_object(called.object) {
                    tracing::info!(node = self.node, builder = name, why, "interrupted");
                    builder.interrupt_command(&command);
                }
                Ok(Ask::Nothing)
            }
        }
    }

    /// Makes objects for builders that are new. The folders come before the answer.
    fn set_builders(&mut self, named: Vec<BuilderName>) -> Result<Ask, Refusal> {
        let base = &self.folder;
        let folders = named.into_iter().map(|builder| (builder.name, join(base, &builder.folder)));
        let broker = &mut self.connection.broker;
        let wrong = Refusal::Wrong { argument: "builders", expected: "fewer" };
        let gone = self.builders.set(folders.collect(), || broker.add_object()).map_err(|_| wrong)?;
        for object in gone {
            broker.remove_object(object);
        }
        let objects =
            self.builders.iter().map(|(name, builder)| (name.into(), Value::Object(builder.object)));
        let answer = Value::Dict(objects.collect());
        let folders = self.builders.iter().map(|(_, builder)| builder.folder.clone()).collect();
        Ok(Ask::Folders { folders, answer })
    }

    fn start(&mut self, called: &Called, start: Start) -> Result<Ask, Refusal> {
        let no_builder = Refusal::Wrong { argument: "builder", expected: "one that is there" };
        let (name, builder) = self.builders.of_object(called.object).ok_or(no_builder)?;
        let (running, before) = builder.start(start.id.clone(), start.command.is_brief());
        let (builder, folder) = (name.to_owned(), builder.folder.clone());
        Ok(Ask::Start(Box::new(Job { builder, folder, start, running, before })))
    }
}

impl Protocol for Pb {
    async fn next_event(&mut self) -> Event {
        loop {
            match self.connection.next_event().await {
                broker::Event::Called(called) => {
                    if let Some(event) = self.read(called) {
                        return event;
                    }
                }
                broker::Event::Answered { call, outcome } => return Event::Answered { call, outcome },
                broker::Event::LoggedIn { .. } => return Event::LoggedIn,
                broker::Event::Unreferenced { .. } => {}
                broker::Event::Closed(CloseReason::LoginRefused(_)) => {
                    return Event::Closed(Closing::Refused);
                }
                broker::Event::Closed(reason) => {
                    return Event::Closed(Closing::Ended { why: reason.to_string() });
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.connection.broker.check_room().is_ok()
    }

    fn call(&mut self, target: RemoteId, call: MasterCall) -> Result<Option<CallId>, NotSent> {
        let (what, args) = call.into_method();
        let called = self.connection.broker.call(target, what, args, Vec::new());
        called.map(Some).map_err(|error| NotSent { what, why: error.to_string() })
    }

    fn release(&mut self, remote: RemoteId) {
        self.connection.broker.release(remote);
    }

    fn answer(&mut self, request: RequestId, result: Result<Value, Failure>) {
        let broker = &mut self.connection.broker;
        let answered = match result {
            Ok(value) => broker.answer(request, value).or_else(|error| {
                let failure = Failure::new("twisted.spread.pb.Error", error.to_string());
                broker.fail(request, failure)
            }),
            Err(failure) => broker.fail(request, failure),
        };
        if let Err(error) = answered {
            tracing::warn!(node = self.node, %error, "the master gets no answer");
        }
    }

    async fn close(self) {
        self.connection.close().await;
    }

    fn abilities(&self) -> Abilities {
        Abilities { reads_files: true, sets_times: true }
    }
}
