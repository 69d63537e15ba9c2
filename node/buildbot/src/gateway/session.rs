//! One connection to the master: its calls are served, its commands started, and theirs to the master carried.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::builders::Builders;
use super::config::Config;
use super::connection::Connection;
use super::fleet::Reach;
use super::machine::Machine;
use super::master::{AnswerSender, Master, Request};
use super::node::{Halt, Node, Work};
use super::order::{Order, carry_out};
use super::paths::{Place, join};
use crate::broker::{Called, CloseReason, Event};
use crate::ids::{CallId, RemoteId, RequestId};
use crate::jelly::{Failure, Value};
use crate::worker::{BuilderCall, BuilderName, MasterCall, MindCall, Refusal, Start, WorkerInfo};

/// A worker that is attached, or about to be.
#[derive(Debug)]
pub(super) struct Session {
    config: Arc<Config>,
    node: Arc<Node>,
    has_store: bool,
    machine: Machine,
    info: WorkerInfo,
    connection: Connection,
    master: Master,
    requests: mpsc::Receiver<Request>,
    builders: Builders,
    /// Who waits for the answers of the master.
    waiting: HashMap<CallId, AnswerSender>,
    /// Answers to the master that take time.
    answers: FuturesUnordered<LaterAnswer>,
    orders: JoinSet<()>,
    /// Ends what is under way with the session.
    lost: CancellationToken,
    reach: watch::Receiver<Reach>,
    /// Since when the node is away.
    away_since: Option<Instant>,
}

/// Why a session has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// The connection has.
    Closed(CloseReason),
    /// The node has been away for too long.
    NodeAway,
    /// It is not known what became of a command.
    GivenUp { why: String },
    /// The master wants the worker to stop.
    ShutDown,
    /// The gateway is to stop.
    Stopped,
}

/// What a session needs beside its connection.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) config: Arc<Config>,
    pub(super) node: Arc<Node>,
    pub(super) has_store: bool,
    pub(super) machine: Machine,
    pub(super) info: WorkerInfo,
    pub(super) reach: watch::Receiver<Reach>,
}

type LaterAnswer = Pin<Box<dyn Future<Output = (RequestId, Result<Value, Failure>)> + Send>>;

/// What a call of the master is answered with.
enum Answer {
    Now(Value),
    Later(Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>),
}

impl Session {
    pub(super) fn new(attachment: Attachment, connection: Connection) -> Self {
        let Attachment { config, node, has_store, machine, info, reach } = attachment;
        let (master, requests) = Master::new();
        Self {
            config,
            node,
            has_store,
            machine,
            info,
            connection,
            master,
            requests,
            builders: Builders::default(),
            waiting: HashMap::new(),
            answers: FuturesUnordered::new(),
            orders: JoinSet::new(),
            lost: CancellationToken::new(),
            reach,
            away_since: None,
        }
    }

    /// Serves the master until the session ends. What was under way is cancelled by then.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> SessionEnd {
        let end = loop {
            self.look_at_node();
            let has_room = self.connection.broker.check_room().is_ok();
            let away_at = self.away_since.map(|since| since + self.patience());
            let end = tokio::select! {
                event = self.connection.next_event() => self.handle_event(event),
                Some(request) = self.requests.recv(), if has_room => self.handle_request(request),
                Some((request, result)) = self.answers.next() => {
                    self.answer(request, result);
                    None
                }
                Some(_) = self.orders.join_next() => None,
                Ok(()) = self.reach.changed() => None,
                () = until(away_at) => Some(SessionEnd::NodeAway),
                () = stop.cancelled() => Some(SessionEnd::Stopped),
            };
            if let Some(end) = end {
                break end;
            }
        };
        self.lost.cancel();
        // Each of them cancels its command and waits for nothing of the master's.
        drop((self.requests, self.waiting, self.connection));
        while self.orders.join_next().await.is_some() {}
        end
    }

    fn look_at_node(&mut self) {
        match *self.reach.borrow_and_update() {
            Reach::Down => {
                self.away_since.get_or_insert_with(Instant::now);
            }
            Reach::Up | Reach::Suspect => self.away_since = None,
        }
    }

    fn patience(&self) -> Duration {
        if self.builders.is_busy() { self.config.node_patience } else { self.config.idle_patience }
    }

    fn handle_event(&mut self, event: Event) -> Option<SessionEnd> {
        match event {
            Event::Called(called) => return self.serve(called),
            Event::Answered { call, outcome } => {
                if let Some(answer) = self.waiting.remove(&call) {
                    // Its command no longer waits.
                    answer.send(outcome).ok();
                }
            }
            Event::LoggedIn { .. } => tracing::info!(node = self.node.name, "attached to the master"),
            Event::Unreferenced { .. } => {}
            Event::Closed(reason) => return Some(SessionEnd::Closed(reason)),
        }
        None
    }

    fn handle_request(&mut self, request: Request) -> Option<SessionEnd> {
        match request {
            Request::Call { target, call, answer } => self.call(target, call, answer),
            Request::Release(remote) => self.connection.broker.release(remote),
            Request::GiveUp { why } => return Some(SessionEnd::GivenUp { why }),
        }
        None
    }

    /// Calls the master. What cannot be sent has no answer.
    fn call(&mut self, target: RemoteId, call: MasterCall, answer: AnswerSender) {
        let (method, args) = call.into_method();
        match self.connection.broker.call(target, method, args, Vec::new()) {
            Ok(call) => {
                self.waiting.insert(call, answer);
            }
            Err(error) => tracing::warn!(node = self.node.name, method, %error, "not sent to the master"),
        }
    }

    fn serve(&mut self, called: Called) -> Option<SessionEnd> {
        let (answer, end) = self.answer_to(&called);
        let Some(request) = called.request else { return end };
        match answer {
            Ok(Answer::Now(value)) => self.answer(request, Ok(value)),
            Ok(Answer::Later(answer)) => {
                self.answers.push(Box::pin(async move { (request, answer.await) }));
            }
            Err(refusal) => {
                tracing::warn!(node = self.node.name, method = called.method, %refusal, "refused");
                self.connection.broker.release_arguments(&called);
                self.answer(request, Err(refusal.into()));
            }
        }
        end
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
            tracing::warn!(node = self.node.name, %error, "the master gets no answer");
        }
    }

    fn answer_to(&mut self, called: &Called) -> (Result<Answer, Refusal>, Option<SessionEnd>) {
        if called.object != self.connection.broker.mind() {
            return (BuilderCall::of(called).and_then(|call| self.serve_builder(called, call)), None);
        }
        match MindCall::of(called) {
            Ok(MindCall::Shutdown) => (Ok(Answer::Now(Value::None)), Some(SessionEnd::ShutDown)),
            call => (call.and_then(|call| self.serve_mind(call)), None),
        }
    }

    fn serve_mind(&mut self, call: MindCall) -> Result<Answer, Refusal> {
        match call {
            MindCall::Print { message } => Ok(self.print(&message)),
            MindCall::WorkerInfo => Ok(Answer::Now(self.info.clone().into_value())),
            MindCall::SetBuilders { builders } => self.set_builders(builders),
            MindCall::Shutdown => Ok(Answer::Now(Value::None)),
        }
    }

    /// Answers once the node can be reached: that is what the master wants to know by it.
    fn print(&self, message: &str) -> Answer {
        tracing::debug!(node = self.node.name, message, "the master says");
        let mut reach = self.reach.clone();
        Answer::Later(Box::pin(async move {
            // Without the one who looks after the nodes the session ends anyway.
            reach.wait_for(|reach| *reach == Reach::Up).await.ok();
            Ok(Value::None)
        }))
    }

    fn set_builders(&mut self, named: Vec<BuilderName>) -> Result<Answer, Refusal> {
        let base = &self.info.folder;
        let folders = named.into_iter().map(|builder| (builder.name, join(base, &builder.folder)));
        let broker = &mut self.connection.broker;
        let wrong = Refusal::Wrong { argument: "builders", expected: "fewer" };
        let gone = self.builders.set(folders.collect(), || broker.add_object()).map_err(|_| wrong)?;
        for object in gone {
            broker.remove_object(object);
        }
        let objects =
            self.builders.iter().map(|(name, builder)| (name.into(), Value::Object(builder.object)));
        let objects = Value::Dict(objects.collect());
        let folders: Vec<_> = self.builders.iter().map(|(_, builder)| builder.folder.clone()).collect();
        Ok(self.make_folders(folders, objects))
    }

    /// Makes the builders' folders, and then gives the master their objects.
    fn make_folders(&self, folders: Vec<String>, objects: Value) -> Answer {
        if folders.is_empty() {
            return Answer::Now(objects);
        }
        let (node, halt) = (self.node.clone(), self.halt());
        Answer::Later(Box::pin(async move {
            let args = json!({ "paths": folders });
            let work = Work::small("fs.mkdir/1", args);
            match node.call(&work, &halt).await {
                Ok(outcome) if outcome.kind == "done" => Ok(objects),
                Ok(outcome) => {
                    let why = outcome.message.unwrap_or(outcome.kind);
                    Err(Failure::new("builtins.OSError", format!("cannot make the builders' folders: {why}")))
                }
                Err(fault) => Err(Failure::new("twisted.spread.pb.Error", format!("{fault:?}"))),
            }
        }))
    }

    fn serve_builder(&mut self, called: &Called, call: BuilderCall) -> Result<Answer, Refusal> {
        match call {
            BuilderCall::Print { message } => return Ok(self.print(&message)),
            BuilderCall::StartBuild => {}
            BuilderCall::StartCommand(start) => self.start(called, *start)?,
            BuilderCall::InterruptCommand { command, why } => {
                if let Some((name, builder)) = self.builders.of_object(called.object) {
                    tracing::info!(node = self.node.name, builder = name, why, "interrupted");
                    builder.interrupt_command(&command);
                }
            }
        }
        Ok(Answer::Now(Value::None))
    }

    fn start(&mut self, called: &Called, start: Start) -> Result<(), Refusal> {
        let no_builder = Refusal::Wrong { argument: "builder", expected: "one that is there" };
        let (name, builder) = self.builders.of_object(called.object).ok_or(no_builder)?;
        tracing::debug!(node = self.node.name, builder = name, id = %start.id, "starts");
        let (running, before) = builder.start(start.id.clone());
        let order = Order {
            node: self.node.clone(),
            has_store: self.has_store,
            master: self.master.clone(),
            place: Place::new(builder.folder.clone(), self.machine.home()),
            sink: start.sink,
            halt: Halt { interrupted: running.interrupted, lost: self.lost.clone() },
            output_bytes_max: self.config.output_bytes_max,
        };
        self.orders.spawn(async move {
            let _ended = running.ended.drop_guard();
            if let Some(before) = before {
                before.ended.cancelled().await;
            }
            carry_out(order, start.command).await;
        });
        Ok(())
    }

    fn halt(&self) -> Halt {
        Halt { interrupted: CancellationToken::new(), lost: self.lost.clone() }
    }
}

/// Waits for an instant, where `None` never comes.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
