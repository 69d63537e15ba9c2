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
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::fleet::Reach;
use super::machine::Machine;
use super::master::{AnswerSender, Master, Request};
use super::node::{Halt, Node, Work};
use super::order::{Order, carry_out};
use super::paths::Place;
use super::protocol::{Ask, Closing, Event, Job, Protocol};
use super::report::OutputLimits;
use crate::broker::CallFailure;
use crate::ids::{CallId, RemoteId, RequestId};
use crate::jelly::{Failure, Value};
use crate::worker::{MasterCall, WorkerInfo};

/// A worker that is attached, or about to be.
#[derive(Debug)]
pub(super) struct Session<P> {
    config: Arc<Config>,
    node: Arc<Node>,
    has_store: bool,
    machine: Machine,
    info: WorkerInfo,
    protocol: P,
    master: Master,
    requests: mpsc::Receiver<Request>,
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
    Closed(Closing),
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

/// What the master is answered with.
enum Answer {
    Now(Value),
    Later(Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>),
}

impl<P: Protocol> Session<P> {
    pub(super) fn new(attachment: Attachment, protocol: P) -> Self {
        let Attachment { config, node, has_store, machine, info, reach } = attachment;
        let (master, requests) = Master::new();
        Self {
            config,
            node,
            has_store,
            machine,
            info,
            protocol,
            master,
            requests,
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
            let has_room = self.protocol.has_room();
            let away_at = self.away_since.map(|since| since + self.patience());
            let end = tokio::select! {
                event = self.protocol.next_event() => self.handle_event(event),
                Some(request) = self.requests.recv(), if has_room => self.handle_request(request),
                Some((request, result)) = self.answers.next() => {
                    self.protocol.answer(request, result);
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
        drop((self.requests, self.waiting));
        // Nothing depends on it; that the worker ends is what a master may want to hear.
        timeout(CLOSE_TIMEOUT, self.protocol.close()).await.ok();
        while self.orders.join_next().await.is_some() {}
        end
    }

    fn look_at_node(&mut self) {
        match *self.reach.borrow_and_update() {
            Reach::Suspect | Reach::Down => {
                self.away_since.get_or_insert_with(Instant::now);
            }
            Reach::Up => self.away_since = None,
        }
    }

    fn patience(&self) -> Duration {
        if self.orders.is_empty() { self.config.idle_patience } else { self.config.node_patience }
    }

    fn handle_event(&mut self, event: Event) -> Option<SessionEnd> {
        match event {
            Event::Asked { request, ask } => return self.serve(request, ask),
            Event::Answered { call, outcome } => {
                if let Some(answer) = self.waiting.remove(&call) {
                    // Its command no longer waits.
                    answer.send(outcome).ok();
                }
            }
            Event::LoggedIn => tracing::info!(node = self.node.name, "attached to the master"),
            Event::Closed(closing) => return Some(SessionEnd::Closed(closing)),
        }
        None
    }

    fn handle_request(&mut self, request: Request) -> Option<SessionEnd> {
        match request {
            Request::Call { target, call, answer } => self.call(target, call, answer),
            Request::Release(remote) => self.protocol.release(remote),
            Request::GiveUp { why } => return Some(SessionEnd::GivenUp { why }),
        }
        None
    }

    /// Calls the master. What cannot be sent has failed: its command ends with that.
    fn call(&mut self, target: RemoteId, call: MasterCall, answer: AnswerSender) {
        match self.protocol.call(target, call) {
            Ok(Some(call)) => {
                self.waiting.insert(call, answer);
            }
            Ok(None) => {
                // Its command no longer waits.
                answer.send(Ok(Value::None)).ok();
            }
            Err(error) => {
                tracing::warn!(node = self.node.name, %error);
                let failure = Failure::new("twisted.spread.pb.Error", error.to_string());
                answer.send(Err(CallFailure::Raised(failure))).ok();
            }
        }
    }

    fn serve(&mut self, request: Option<RequestId>, ask: Ask) -> Option<SessionEnd> {
        let end = matches!(ask, Ask::ShutDown).then_some(SessionEnd::ShutDown);
        let answer = self.answer_to(ask);
        let Some(request) = request else { return end };
        match answer {
            Answer::Now(value) => self.protocol.answer(request, Ok(value)),
            Answer::Later(answer) => {
                self.answers.push(Box::pin(async move { (request, answer.await) }));
            }
        }
        end
    }

    fn answer_to(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Print { message } => return self.print(&message),
            Ask::Info => return Answer::Now(self.info.clone().into_value()),
            Ask::Folders { folders, answer } => return self.make_folders(folders, answer),
            Ask::Start(job) => self.start(*job),
            Ask::Nothing | Ask::ShutDown => {}
        }
        Answer::Now(Value::None)
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

    /// Makes folders, and then gives the answer.
    fn make_folders(&self, folders: Vec<String>, answer: Value) -> Answer {
        if folders.is_empty() {
            return Answer::Now(answer);
        }
        let (node, halt) = (self.node.clone(), self.halt());
        Answer::Later(Box::pin(async move {
            let args = json!({ "paths": folders });
            let work = Work::small("fs.mkdir/1", args);
            match node.call(&work, &halt).await {
                Ok(outcome) if outcome.kind == "done" => Ok(answer),
                Ok(outcome) => {
                    let why = outcome.message.unwrap_or(outcome.kind);
                    Err(Failure::new("builtins.OSError", format!("cannot make the builders' folders: {why}")))
                }
                Err(fault) => Err(Failure::new("twisted.spread.pb.Error", fault.to_string())),
            }
        }))
    }

    fn start(&mut self, job: Job) {
        let Job { builder, folder, start, running, before } = job;
        tracing::debug!(node = self.node.name, builder, id = %start.id, "starts");
        let order = Order {
            node: self.node.clone(),
            has_store: self.has_store,
            master: self.master.clone(),
            place: Place::new(folder, self.machine.home()),
            sink: start.sink,
            abilities: self.protocol.abilities(),
            halt: Halt { interrupted: running.interrupted, lost: self.lost.clone() },
            spool_bytes_max: self.config.spool_bytes_max,
            output_limits: OutputLimits {
                bytes_max: self.config.output_bytes_max,
                interval: self.config.output_interval,
            },
        };
        self.orders.spawn(async move {
            let _ended = running.ended.drop_guard();
            if let Some(before) = before {
                before.ended.cancelled().await;
            }
            carry_out(order, start.command).await;
        });
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

/// How long writing what is left, and ending a connection in order, may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
