//! The client's side of a connection of Perspective Broker: calls in both directions, within limits.
//!
//! A [`Broker`] is one connection, from its first byte on. It does no I/O and knows no time. Its driver gives it what
//! came ([`handle_bytes`](Broker::handle_bytes)), then takes what happened ([`poll_event`](Broker::poll_event)) and
//! what is to be written ([`poll_transmit`](Broker::poll_transmit)) until there is neither, and reads on while it
//! [wants bytes](Broker::wants_bytes). So what a peer says costs memory in proportion to what was read at once, and a
//! peer that does not read is not read either.
//!
//! It logs in by itself. The master calls the worker before it answers the login, so calls have to be served from the
//! first.

mod error;
mod event;
mod incoming;
mod login;
mod message;
mod objects;
mod outgoing;
mod references;

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use self::message::said;
use self::objects::Objects;
use self::references::References;
use crate::banana::{Decoder, Dialect, Element};
use crate::ids::{CallId, ObjectId, RemoteId, RequestId};
use crate::jelly::{Failure, Value};
use crate::limits::Limits;

pub use self::error::{CloseReason, SendError, TooManyObjects};
pub use self::event::{CallFailure, Called, Event};
pub use self::login::Credentials;

/// One connection to a server of Perspective Broker.
#[derive(Debug)]
#[must_use]
pub struct Broker {
    limits: Limits,
    credentials: Credentials,
    mind: ObjectId,
    stage: Stage,
    decoder: Decoder,
    dialect: Dialect,
    objects: Objects,
    references: References,
    /// Our calls that wait for their answer, by the number on the wire.
    calls: HashMap<i64, Purpose>,
    last_call: i64,
    /// Calls of the peer that wait for ours: the peer's numbers.
    requests: HashMap<RequestId, i64>,
    last_request: i64,
    output: BytesMut,
    events: VecDeque<Event>,
}

/// What comes next from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Offer,
    Version,
    Messages,
    Closed,
}

/// What a call of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Challenge,
    Perspective,
    Application,
}

impl Broker {
    /// Makes a broker for a new connection, on which nothing was said yet.
    pub fn new(limits: Limits, credentials: Credentials) -> Self {
        let limits = limits.for_connection();
        let mut objects = Objects::new(limits.objects_max);
        let mind = objects.add().expect("there is room for the first object");
        Self {
            decoder: Decoder::new(limits.clone()),
            references: References::new(limits.references_max),
            limits,
            credentials,
            mind,
            stage: Stage::Offer,
            dialect: Dialect::None,
            objects,
            calls: HashMap::new(),
            last_call: 0,
            requests: HashMap::new(),
            last_request: 0,
            output: BytesMut::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes what came from the peer. Take all events before giving it more. After the end it is dropped.
    pub fn handle_bytes(&mut self, chunk: &[u8]) {
        if self.stage == Stage::Closed {
            return;
        }
        self.decoder.push(chunk);
        while self.stage != Stage::Closed {
            let handled = match self.decoder.next_element() {
                Ok(Some(element)) => self.handle_element(element),
                Ok(None) => return,
                Err(error) => Err(CloseReason::Undecodable(error)),
            };
            if let Err(reason) = handled {
                self.close(reason);
            }
        }
    }

    /// Takes the end of the connection, whoever ended it. Calls that wait for an answer fail.
    pub fn handle_end(&mut self) {
        self.close(CloseReason::Ended);
    }

    /// Makes an object that can be given to the peer in values, and that the peer can call as long as it holds a
    /// reference.
    ///
    /// # Errors
    ///
    /// When there are as many as the limits allow.
    pub fn add_object(&mut self) -> Result<ObjectId, TooManyObjects> {
        self.objects.add()
    }

    /// Takes an object away. Further calls of it are answered with an error.
    pub fn remove_object(&mut self, object: ObjectId) {
        self.objects.remove(object);
    }

    /// Calls an object of the peer. [`Event::Answered`] has the result.
    ///
    /// # Errors
    ///
    /// When nothing was sent, for the reason given.
    pub fn call(
        &mut self,
        target: RemoteId,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<CallId, SendError> {
        if !self.references.is_held(target) {
            return Err(SendError::NotHeld(target));
        }
        self.check_room()?;
        self.send_call(Element::Int(target.to_wire()), method, args, kwargs, Purpose::Application)
    }

    /// Answers a call of the peer with a result.
    ///
    /// # Errors
    ///
    /// When nothing was sent. After [`SendError::Encode`], [`SendError::NotHeld`] and [`SendError::NoSuchObject`] the
    /// call still waits.
    pub fn answer(&mut self, request: RequestId, result: Value) -> Result<(), SendError> {
        let number = *self.requests.get(&request).ok_or(SendError::NoSuchRequest(request))?;
        self.send_values([result], |[result]| said("answer", [Element::Int(number), result]))?;
        self.requests.remove(&request);
        Ok(())
    }

    /// Answers a call of the peer with an exception.
    ///
    /// # Errors
    ///
    /// When there is nothing to answer.
    pub fn fail(&mut self, request: RequestId, failure: Failure) -> Result<(), SendError> {
        let number = self.requests.remove(&request).ok_or(SendError::NoSuchRequest(request))?;
        self.send_failure(number, failure);
        Ok(())
    }

    /// Lets go of a reference that came in a value: once for each time that it came. With the last the peer is told,
    /// and the object cannot be called again.
    pub fn release(&mut self, remote: RemoteId) {
        if let Some(give_back) = self.references.release(remote) {
            self.give_back(&give_back);
        }
    }

    /// Lets go of every reference in a value.
    pub fn release_all(&mut self, value: &Value) {
        for remote in value.remotes() {
            self.release(remote);
        }
    }

    /// Lets go of every reference that came with a call.
    pub fn release_arguments(&mut self, called: &Called) {
        for value in called.args.iter().chain(called.kwargs.iter().map(|(_, value)| value)) {
            self.release_all(value);
        }
    }

    /// Returns the next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns what is to be written next. It counts as written once it was returned.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.output.is_empty() { None } else { Some(self.output.split().freeze()) }
    }

    /// Returns whether the driver should read: not when too much waits to be written, nor after the end.
    pub fn wants_bytes(&self) -> bool {
        self.stage != Stage::Closed && self.output.len() < self.limits.output_bytes_max
    }

    /// Checks that there is room for another call, before its arguments are put together.
    ///
    /// # Errors
    ///
    /// What [`call`](Self::call) would say for want of room, or because the connection has ended.
    pub fn check_room(&self) -> Result<(), SendError> {
        let (calls_max, output_bytes_max) = (self.limits.calls_max, self.limits.output_bytes_max);
        if self.stage == Stage::Closed {
            return Err(SendError::Closed);
        }
        if self.calls.len() >= calls_max {
            return Err(SendError::TooManyCalls { max: calls_max });
        }
        if self.output.len() >= output_bytes_max {
            return Err(SendError::OutputFull { max: output_bytes_max });
        }
        Ok(())
    }

    /// Returns the object that the peer gets at the login, and calls first.
    pub fn mind(&self) -> ObjectId {
        self.mind
    }

    /// Ends the connection: nothing is sent or read after that, and every call of ours has failed.
    fn close(&mut self, reason: CloseReason) {
        if self.stage == Stage::Closed {
            return;
        }
        self.stage = Stage::Closed;
        self.output = BytesMut::new();
        self.decoder = Decoder::new(self.limits.clone());
        self.requests.clear();
        let mut calls: Vec<_> = self.calls.drain().collect();
        calls.sort_unstable_by_key(|&(number, _)| number);
        for (number, _) in calls.into_iter().filter(|&(_, purpose)| purpose == Purpose::Application) {
            self.report(number, Err(CallFailure::ConnectionLost));
        }
        self.events.push_back(Event::Closed(reason));
    }
}

fn all_of<T, E, const N: usize>(results: [Result<T, E>; N]) -> Result<[T; N], E> {
    let mut values = Vec::with_capacity(N);
    for result in results {
        values.push(result?);
    }
    Ok(values.try_into().unwrap_or_else(|_| unreachable!("as many values as results")))
}
