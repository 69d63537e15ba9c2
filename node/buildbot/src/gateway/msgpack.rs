//! A master that speaks `msgpack_experimental_v7`: its requests are read and answered, and it is asked.

mod socket;

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use self::socket::{Heard, Socket};
use super::protocol::{Abilities, Ask, Closing, Event, Job, NotSent, OpenError, Protocol, Running};
use crate::broker::Credentials;
use crate::ids::{CallId, RemoteId, RequestId};
use crate::jelly::{Failure, Value};
use crate::limits::Limits;
use crate::msgpack::{self, Commands, Exchange, NEWLINE_RE};
use crate::worker::{MasterCall, MasterCommandId, Refusal, Start};

/// A connection of a worker, with the commands that the master has started on it.
#[derive(Debug)]
pub(super) struct Msgpack {
    /// The node, for the log.
    node: String,
    /// The worker's folder.
    folder: String,
    socket: Socket,
    exchange: Exchange,
    commands: Commands,
    running: HashMap<MasterCommandId, Running>,
    /// Why the socket has ended.
    end: Option<String>,
    /// The master has asked for something: it wants this connection, and has no other of the same name.
    was_asked: bool,
}

impl Msgpack {
    /// Connects. The master knows the worker's name and password then.
    pub(super) async fn open(
        address: &str,
        limits: Limits,
        credentials: &Credentials,
        node: String,
        folder: String,
    ) -> Result<Self, OpenError> {
        let limits = limits.for_connection();
        let socket = Socket::open(address, &limits, credentials).await?;
        Ok(Self {
            node,
            folder,
            socket,
            exchange: Exchange::new(limits),
            commands: Commands::default(),
            running: HashMap::new(),
            end: None,
            was_asked: false,
        })
    }

    /// Writes and reads until something may have happened.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let exchange = &mut self.exchange;
        let sent = self.socket.poll_send(cx, || exchange.poll_transmit());
        if sent.is_ok() && !exchange.wants_bytes() {
            return Poll::Pending;
        }
        let heard = match (self.socket.poll_read(cx), sent) {
            // Why it has ended is said better to who reads.
            (Poll::Pending, Err(error)) => Heard::End(error.to_string()),
            (Poll::Pending, Ok(())) => return Poll::Pending,
            (Poll::Ready(heard), _) => heard,
        };
        match heard {
            Heard::Message(message) => exchange.handle_message(&message),
            Heard::End(why) => {
                exchange.handle_end();
                self.end = Some(why);
            }
        }
        Poll::Ready(())
    }

    /// Reads a request. One that makes no sense is answered here.
    fn read(&mut self, request: RequestId, op: &str, fields: Value) -> Option<Event> {
        let asked = msgpack::Ask::of(op, fields, &mut self.commands);
        match asked.and_then(|ask| self.ask_of(ask)) {
            Ok(ask) => Some(Event::Asked { request: Some(request), ask }),
            Err(refusal) => {
                tracing::warn!(node = self.node, op, %refusal, "refused");
                self.answer(request, Err(refusal.into()));
                None
            }
        }
    }

    fn ask_of(&mut self, ask: msgpack::Ask) -> Result<Ask, Refusal> {
        match ask {
            msgpack::Ask::Print { message } => return Ok(Ask::Print { message }),
            msgpack::Ask::WorkerInfo => return Ok(Ask::Info),
            msgpack::Ask::Shutdown => return Ok(Ask::ShutDown),
            msgpack::Ask::KeepAlive => {}
            msgpack::Ask::Settings { newline_re } if newline_re == NEWLINE_RE => {}
            msgpack::Ask::Settings { newline_re } => {
                tracing::warn!(node = self.node, newline_re, "lines are cut by the rules of Buildbot 4.3");
            }
            msgpack::Ask::Start { builder, start } => return self.start(builder, *start),
            msgpack::Ask::Interrupt { command, why } => {
                if let Some(running) = self.running.get(&command) {
                    tracing::info!(node = self.node, command = %command, why, "interrupted");
                    running.interrupted.cancel();
                }
            }
        }
        Ok(Ask::Nothing)
    }

    fn start(&mut self, builder: Option<String>, start: Start) -> Result<Ask, Refusal> {
        self.running.retain(|_, running| !running.ended.is_cancelled());
        if self.running.contains_key(&start.id) {
            self.commands.close(start.sink);
            return Err(Refusal::Wrong { argument: "command_id", expected: "one that does not run" });
        }
        let running = Running::new(start.id.clone());
        self.running.insert(start.id.clone(), running.clone());
        let (builder, folder) = (builder.unwrap_or_default(), self.folder.clone());
        Ok(Ask::Start(Box::new(Job { builder, folder, start, running, before: None })))
    }

    fn closing(&mut self, reason: &msgpack::CloseReason) -> Closing {
        let mut why = self.end.take().unwrap_or_else(|| reason.to_string());
        if !self.was_asked {
            why.push_str("; is a worker of this name attached already?");
        }
        Closing::Ended { why }
    }
}

impl Protocol for Msgpack {
    async fn next_event(&mut self) -> Event {
        loop {
            let Some(event) = self.exchange.poll_event() else {
                if self.exchange.is_closed() {
                    return Event::Closed(self.closing(&msgpack::CloseReason::Ended));
                }
                poll_fn(|cx| self.poll_move(cx)).await;
                continue;
            };
            match event {
                msgpack::Event::Asked { request, op, fields } => {
                    let is_first = !std::mem::replace(&mut self.was_asked, true);
                    if is_first {
                        tracing::info!(node = self.node, "attached to the master");
                    }
                    if let Some(event) = self.read(request, &op, fields) {
                        return event;
                    }
                }
                msgpack::Event::Answered { call, outcome } => return Event::Answered { call, outcome },
                msgpack::Event::Closed(reason) => return Event::Closed(self.closing(&reason)),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.exchange.check_room().is_ok()
    }

    fn call(&mut self, target: RemoteId, call: MasterCall) -> Result<Option<CallId>, NotSent> {
        let not_sent = |what, why: String| NotSent { what, why };
        let said = self.commands.say(target, call, seconds_since_1970());
        let said = said.map_err(|error| not_sent("a call", error.to_string()))?;
        let what = said.last().map_or("a call", |outgoing| outgoing.op);
        self.exchange.call(said).map_err(|error| not_sent(what, error.to_string()))
    }

    fn release(&mut self, remote: RemoteId) {
        self.commands.close(remote);
    }

    fn answer(&mut self, request: RequestId, result: Result<Value, Failure>) {
        let answered = match result {
            Ok(value) => self
                .exchange
                .answer(request, value)
                .or_else(|error| self.exchange.fail(request, error.to_string())),
            Err(failure) => self.exchange.fail(request, failure.to_string()),
        };
        if let Err(error) = answered {
            tracing::warn!(node = self.node, %error, "the master gets no answer");
        }
    }

    async fn close(mut self) {
        poll_fn(|cx| {
            // Who does not hear it sees the connection end.
            Poll::Ready(self.socket.poll_send(cx, || self.exchange.poll_transmit()).ok())
        })
        .await;
        self.socket.close().await;
    }

    fn abilities(&self) -> Abilities {
        // The master's answer to a read has nothing in it, and it takes no times.
        Abilities { reads_files: false, sets_times: false }
    }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
