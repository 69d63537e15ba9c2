//! One connection of AMP: asks and answers in both directions, within limits.
//!
//! A [`Session`] does no I/O and knows no time. Its driver gives it what came ([`handle_bytes`](Session::handle_bytes)),
//! then takes what happened ([`poll_event`](Session::poll_event)) and what is to be written
//! ([`poll_transmit`](Session::poll_transmit)) until there is neither, and reads on while it [wants
//! bytes](Session::wants_bytes). So a peer that does not read is not read either.
//!
//! AMP has no roles: either side asks. Which commands there are is for the application to know; one that it does not
//! know it answers with [`UNHANDLED`].

mod error;
mod event;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::amp_box::AmpBox;
use crate::decode::Decoder;
use crate::limits::Limits;

pub use self::error::{CloseReason, SendError};
pub use self::event::{AskFailure, AskId, Called, Event, RequestId};

/// AMP's code for a command that is not known: Twisted makes `amp.UnhandledCommand` of it.
pub const UNHANDLED: &str = "UNHANDLED";

/// One connection.
#[derive(Debug)]
#[must_use]
pub struct Session {
    limits: Limits,
    is_closed: bool,
    decoder: Decoder,
    /// Our asks that wait for their answer.
    asks: BTreeSet<AskId>,
    last_ask: u64,
    /// Commands of the peer that are not answered, with its name for the answer if it wants one.
    requests: BTreeMap<RequestId, Option<Bytes>>,
    last_request: u64,
    output: BytesMut,
    events: VecDeque<Event>,
}

impl Session {
    /// Makes a session for a new connection, on which nothing was said yet.
    pub fn new(limits: Limits) -> Self {
        let limits = limits.for_connection();
        Self {
            decoder: Decoder::new(limits.clone()),
            limits,
            is_closed: false,
            asks: BTreeSet::new(),
            last_ask: 0,
            requests: BTreeMap::new(),
            last_request: 0,
            output: BytesMut::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes what came from the peer. Take all events before giving it more. After the end it is dropped.
    pub fn handle_bytes(&mut self, chunk: &[u8]) {
        if self.is_closed {
            return;
        }
        self.decoder.push(chunk);
        while !self.is_closed {
            let handled = match self.decoder.next_box() {
                Ok(Some(came)) => self.handle_box(came),
                Ok(None) => return,
                Err(error) => Err(CloseReason::Undecodable(error)),
            };
            if let Err(reason) = handled {
                self.close(reason);
            }
        }
    }

    /// Takes the end of the connection, whoever ended it. Asks that wait for an answer fail.
    pub fn handle_end(&mut self) {
        self.close(CloseReason::Ended);
    }

    /// Asks the peer to run a command. [`Event::Answered`] has its answer.
    ///
    /// # Errors
    ///
    /// When nothing was sent, for the reason given.
    pub fn ask(&mut self, command: &'static str, arguments: AmpBox) -> Result<AskId, SendError> {
        self.check_room()?;
        let ask = AskId(self.last_ask + 1);
        arguments.with(ASK, ask.tag()).with(COMMAND, command).encode(&mut self.output)?;
        self.last_ask += 1;
        self.asks.insert(ask);
        Ok(ask)
    }

    /// Answers a command of the peer, or ends one that wants no answer.
    ///
    /// # Errors
    ///
    /// When nothing was sent. After [`SendError::Encode`] the command still waits.
    pub fn answer(&mut self, request: RequestId, result: AmpBox) -> Result<(), SendError> {
        let tag = self.requests.get(&request).ok_or(SendError::NoSuchRequest(request))?;
        if let Some(tag) = tag {
            result.with(ANSWER, tag.clone()).encode(&mut self.output)?;
        }
        self.requests.remove(&request);
        Ok(())
    }

    /// Answers a command of the peer with an error. Of a long description the beginning is sent.
    ///
    /// # Errors
    ///
    /// When there is nothing to answer.
    pub fn fail(
        &mut self,
        request: RequestId,
        code: impl Into<Bytes>,
        description: &str,
    ) -> Result<(), SendError> {
        let tag = self.requests.remove(&request).ok_or(SendError::NoSuchRequest(request))?;
        if let Some(tag) = tag {
            self.send_error(tag, code.into(), description);
        }
        Ok(())
    }

    /// Returns the next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns what is to be written next, all of it.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// Returns whether more bytes of the peer are wanted: not while too many wait to be written, nor after the end.
    pub fn wants_bytes(&self) -> bool {
        !self.is_closed && self.output.len() < self.limits.output_bytes_max
    }

    /// Returns what [`ask`](Self::ask) would say for want of room, or because the connection has ended.
    ///
    /// # Errors
    ///
    /// The reason for which it would not send.
    pub fn check_room(&self) -> Result<(), SendError> {
        let Limits { asks_max, output_bytes_max, .. } = self.limits;
        if self.is_closed {
            return Err(SendError::Closed);
        }
        if self.asks.len() >= asks_max {
            return Err(SendError::TooManyAsks { max: asks_max });
        }
        if self.output.len() >= output_bytes_max {
            return Err(SendError::OutputFull { max: output_bytes_max });
        }
        Ok(())
    }

    /// Returns how many commands of the peer wait to be answered.
    pub fn requests_open(&self) -> usize {
        self.requests.len()
    }

    fn handle_box(&mut self, mut came: AmpBox) -> Result<(), CloseReason> {
        // In the order in which Twisted looks.
        if let Some(tag) = came.take(ANSWER) {
            return self.handle_answer(&tag, Ok(came));
        }
        if let Some(tag) = came.take(ERROR) {
            let (Some(code), description) = (came.take(ERROR_CODE), came.take(ERROR_DESCRIPTION)) else {
                return Err(CloseReason::Malformed { what: "error without a code" });
            };
            let description = description.unwrap_or_default();
            let description = String::from_utf8_lossy(&description).into_owned();
            return self.handle_answer(&tag, Err(AskFailure::Refused { code, description }));
        }
        let Some(command) = came.take(COMMAND) else {
            return Err(CloseReason::Malformed { what: "box that neither asks nor answers" });
        };
        let tag = came.take(ASK);
        self.handle_command(command, tag, came)
    }

    fn handle_answer(&mut self, tag: &[u8], outcome: Result<AmpBox, AskFailure>) -> Result<(), CloseReason> {
        let ask = AskId::of_tag(tag).filter(|ask| self.asks.remove(ask));
        let ask = ask.ok_or(CloseReason::UnknownAsk)?;
        self.events.push_back(Event::Answered { ask, outcome });
        Ok(())
    }

    fn handle_command(
        &mut self,
        command: Bytes,
        tag: Option<Bytes>,
        arguments: AmpBox,
    ) -> Result<(), CloseReason> {
        if tag.as_ref().is_some_and(|tag| tag.len() > TAG_BYTES_MAX) {
            return Err(CloseReason::Malformed { what: "ask with a name of more than 255 bytes" });
        }
        let max = self.limits.requests_max;
        if self.requests.len() >= max {
            let tag = tag.ok_or(CloseReason::TooManyCommands { max })?;
            let description =
                format!("{max} commands of this connection wait for their answer: wait for one of them");
            self.send_error(tag, Bytes::from_static(BUSY.as_bytes()), &description);
            return Ok(());
        }
        self.last_request += 1;
        let request = RequestId(self.last_request);
        let wants_answer = tag.is_some();
        self.requests.insert(request, tag);
        self.events.push_back(Event::Called(Called { request, wants_answer, command, arguments }));
        Ok(())
    }

    fn send_error(&mut self, tag: Bytes, code: Bytes, description: &str) {
        let code = code.slice(..code.len().min(CODE_BYTES_MAX));
        let refusal = AmpBox::new()
            .with(ERROR, tag)
            .with(ERROR_CODE, code)
            .with(ERROR_DESCRIPTION, cut(description).to_owned());
        refusal.encode(&mut self.output).expect("its three values are shorter than AMP's limit");
    }

    /// Ends the connection: nothing is sent or read after that, and every ask of ours has failed.
    fn close(&mut self, reason: CloseReason) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.output = BytesMut::new();
        self.decoder = Decoder::new(self.limits.clone());
        self.requests.clear();
        for ask in std::mem::take(&mut self.asks) {
            self.events.push_back(Event::Answered { ask, outcome: Err(AskFailure::ConnectionLost) });
        }
        self.events.push_back(Event::Closed(reason));
    }
}

/// Cuts a description between two characters.
fn cut(description: &str) -> &str {
    &description[..description.floor_char_boundary(DESCRIPTION_BYTES_MAX)]
}

const ASK: &str = "_ask";
const ANSWER: &str = "_answer";
const COMMAND: &str = "_command";
const ERROR: &str = "_error";
const ERROR_CODE: &str = "_error_code";
const ERROR_DESCRIPTION: &str = "_error_description";

/// The code for a command above `requests_max`.
const BUSY: &str = "busy";

/// Longest name of a peer for an answer that it wants: Twisted's are numbers. So many are kept for each command.
const TAG_BYTES_MAX: usize = 255;

/// Longest code of an error.
const CODE_BYTES_MAX: usize = 255;

/// Longest description of an error.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
