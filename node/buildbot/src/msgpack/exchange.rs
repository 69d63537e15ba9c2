//! One connection: what was asked in either direction and waits for its answer.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::message::{Message, MessageError};
use super::{Outgoing, ReadError, WriteError};
use crate::broker::CallFailure;
use crate::ids::{CallId, RequestId};
use crate::jelly::{Failure, Value};
use crate::limits::Limits;

/// One connection to a master, from behind the WebSocket's handshake.
///
/// The driver gives it each binary message with [`handle_message`](Self::handle_message), takes all
/// [events](Self::poll_event), and sends each [message](Self::poll_transmit) as one binary message.
#[derive(Debug)]
#[must_use]
pub struct Exchange {
    limits: Limits,
    /// Our requests that wait for their answer.
    calls: HashSet<i64>,
    next_call: i64,
    /// The peer's requests that wait for ours: its own numbers.
    requests: HashMap<RequestId, i64>,
    last_request: i64,
    output: VecDeque<Bytes>,
    output_bytes: usize,
    events: VecDeque<Event>,
    closed: bool,
}

/// Something that the application has to know, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The peer asks for something: [`Ask::of`](super::Ask::of) says what.
    Asked {
        /// What is to be answered.
        request: RequestId,
        /// The operation.
        op: String,
        /// A map with the arguments.
        fields: Value,
    },
    /// The peer has answered, or never will.
    Answered {
        /// What was asked, which is forgotten with this.
        call: CallId,
        /// The result.
        outcome: Result<Value, CallFailure>,
    },
    /// The connection has to be closed, or is. Nothing comes after that.
    Closed(CloseReason),
}

/// Why a connection has ended, or has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer, or the network, has ended it.
    #[error("the peer has closed the connection")]
    Ended,
    /// What the peer says is no MessagePack, or more than is allowed.
    #[error("the peer's message cannot be read: {0}")]
    Unreadable(#[source] ReadError),
    /// A message is not built as it should be.
    #[error("a {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The peer has answered what was never asked, or was answered.
    #[error("an answer to request {number}, which waits for none")]
    UnknownCall {
        /// The number that the peer gave.
        number: i64,
    },
}

/// Why something was not sent. Nothing has changed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// Too many requests wait for their answer: wait for one of them.
    #[error("{max} requests wait for their answer")]
    TooManyCalls {
        /// Allowed.
        max: usize,
    },
    /// Too many bytes wait to be written: wait until they are.
    #[error("more than {max} bytes wait to be written")]
    OutputFull {
        /// Allowed, in bytes.
        max: usize,
    },
    /// There is nothing to answer: it was answered before.
    #[error("{0} does not wait for an answer")]
    NoSuchRequest(RequestId),
    /// The value cannot be written. A request stays open: answer it with a failure.
    #[error("it cannot be sent")]
    Unwritable(#[from] WriteError),
}

impl Exchange {
    /// Makes one for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: limits.for_connection(),
            calls: HashSet::new(),
            next_call: 0,
            requests: HashMap::new(),
            last_request: 0,
            output: VecDeque::new(),
            output_bytes: 0,
            events: VecDeque::new(),
            closed: false,
        }
    }

    /// Takes a binary message of the peer. After the end it is dropped.
    pub fn handle_message(&mut self, message: &[u8]) {
        if self.closed {
            return;
        }
        match Message::read(message, &self.limits) {
            Ok(Message::Request { number, op, fields }) => self.handle_request(number, op, fields),
            Ok(Message::Answer { number, result }) => self.handle_answer(number, result),
            Err(MessageError::Unreadable(error)) => self.close(CloseReason::Unreadable(error)),
            Err(MessageError::Malformed(what)) => self.close(CloseReason::Malformed { what }),
        }
    }

    /// Takes the end of the connection, whoever ended it. What waits for an answer has failed.
    pub fn handle_end(&mut self) {
        self.close(CloseReason::Ended);
    }

    fn handle_request(&mut self, number: i64, op: String, fields: Value) {
        self.last_request += 1;
        let request = RequestId::from_wire(self.last_request);
        let max = self.limits.requests_max;
        if self.requests.len() >= max {
            let result = Err(format!("{max} requests wait for their answer already"));
            // A text can be written.
            self.send(Message::Answer { number, result }).ok();
            return;
        }
        self.requests.insert(request, number);
        self.events.push_back(Event::Asked { request, op, fields });
    }

    fn handle_answer(&mut self, number: i64, result: Result<Value, String>) {
        if !self.calls.remove(&number) {
            return self.close(CloseReason::UnknownCall { number });
        }
        let raised = |text| CallFailure::Raised(Failure::new("builtins.Exception", text));
        let (call, outcome) = (CallId::from_wire(number), result.map_err(raised));
        self.events.push_back(Event::Answered { call, outcome });
    }

    /// Asks the peer for some things, in order, and returns the last of them, if there are any. [`Event::Answered`] has
    /// the result of each. They belong together: where there is room for one there is for all.
    ///
    /// # Errors
    ///
    /// When the one that cannot be written, and those behind it, were not sent; or nothing was, for the reason given.
    pub fn call(&mut self, outgoing: Vec<Outgoing>) -> Result<Option<CallId>, SendError> {
        self.check_room()?;
        let mut last = None;
        for Outgoing { op, fields } in outgoing {
            let number = self.next_call;
            self.send(Message::Request { number, op: op.to_owned(), fields: Value::Dict(fields) })?;
            self.calls.insert(number);
            self.next_call += 1;
            last = Some(CallId::from_wire(number));
        }
        Ok(last)
    }

    /// Answers the peer with a result.
    ///
    /// # Errors
    ///
    /// When nothing was sent. After [`SendError::Unwritable`] the request still waits.
    pub fn answer(&mut self, request: RequestId, result: Value) -> Result<(), SendError> {
        self.send_answer(request, Ok(result))
    }

    /// Answers the peer with an exception.
    ///
    /// # Errors
    ///
    /// When there is nothing to answer.
    pub fn fail(&mut self, request: RequestId, text: String) -> Result<(), SendError> {
        self.send_answer(request, Err(text))
    }

    /// Returns the next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the next message that is to be sent. It counts as sent once it was returned.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let message = self.output.pop_front()?;
        self.output_bytes -= message.len();
        Some(message)
    }

    /// Returns whether the driver should read: not when too much waits to be written, nor after the end.
    pub fn wants_bytes(&self) -> bool {
        !self.closed && self.output_bytes < self.limits.output_bytes_max
    }

    /// Returns whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Checks that there is room for another request, before it is put together.
    ///
    /// # Errors
    ///
    /// What [`call`](Self::call) would say for want of room, or because the connection has ended.
    pub fn check_room(&self) -> Result<(), SendError> {
        let (calls_max, output_bytes_max) = (self.limits.calls_max, self.limits.output_bytes_max);
        if self.closed {
            return Err(SendError::Closed);
        }
        if self.calls.len() >= calls_max {
            return Err(SendError::TooManyCalls { max: calls_max });
        }
        if self.output_bytes >= output_bytes_max {
            return Err(SendError::OutputFull { max: output_bytes_max });
        }
        Ok(())
    }

    fn send_answer(&mut self, request: RequestId, result: Result<Value, String>) -> Result<(), SendError> {
        let number = *self.requests.get(&request).ok_or(SendError::NoSuchRequest(request))?;
        self.send(Message::Answer { number, result })?;
        self.requests.remove(&request);
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<(), SendError> {
        let message = Bytes::from(message.write()?);
        self.output_bytes += message.len();
        self.output.push_back(message);
        Ok(())
    }

    /// Ends the connection: nothing is sent or read after that, and everything that was asked has failed.
    fn close(&mut self, reason: CloseReason) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.output.clear();
        self.output_bytes = 0;
        self.requests.clear();
        let mut calls: Vec<_> = self.calls.drain().collect();
        calls.sort_unstable();
        for number in calls {
            let (call, outcome) = (CallId::from_wire(number), Err(CallFailure::ConnectionLost));
            self.events.push_back(Event::Answered { call, outcome });
        }
        self.events.push_back(Event::Closed(reason));
    }
}
