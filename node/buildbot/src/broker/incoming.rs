//! What the peer says, and what follows from it.

use std::collections::HashSet;

use bytes::Bytes;

use super::login::Challenge;
use super::message::{Call, Message, VERSION, said};
use super::objects::GivenBack;
use super::{Broker, CallFailure, Called, CloseReason, Event, Purpose, Stage, all_of};
use crate::banana::{Dialect, Element};
use crate::ids::{CallId, ObjectId, RemoteId, RequestId};
use crate::jelly::{Failure, JellyError, Reader, Value};

impl Broker {
    pub(super) fn handle_element(&mut self, element: Element) -> Result<(), CloseReason> {
        if self.stage == Stage::Offer {
            return self.choose_dialect(&element);
        }
        match (self.stage, Message::of(element)?) {
            (Stage::Version, Message::Version(version)) => self.check_version(version),
            (Stage::Version, _) => Err(CloseReason::Malformed { what: "version" }),
            (_, message) => self.handle_message(message),
        }
    }

    /// Chooses a dialect, says our version and begins the login, without waiting for the peer's version: nothing is
    /// said by that which the peer may not know.
    fn choose_dialect(&mut self, offer: &Element) -> Result<(), CloseReason> {
        let dialect = Dialect::choose(offer).map_err(CloseReason::NoDialect)?;
        self.send_own(&Element::word(dialect.name()));
        self.dialect = dialect;
        self.decoder.set_dialect(dialect);
        self.stage = Stage::Version;
        self.send_own(&said("version", [Element::Int(VERSION)]));
        let username = Value::Bytes(Bytes::from(self.credentials.username.clone()));
        self.log_in(Element::word("root"), "login", vec![username], Purpose::Challenge)
    }

    fn check_version(&mut self, version: i64) -> Result<(), CloseReason> {
        if version != VERSION {
            return Err(CloseReason::Version { version });
        }
        self.stage = Stage::Messages;
        Ok(())
    }

    fn handle_message(&mut self, message: Message) -> Result<(), CloseReason> {
        match message {
            Message::Version(version) => self.check_version(version),
            Message::Call(call) => self.handle_call(call),
            Message::Answer { number, value } => self.handle_answer(number, value),
            Message::Error { number, failure } => self.handle_error(number, failure),
            Message::GiveBack(object) => self.handle_give_back(object),
            Message::NotUnderstood => Ok(()),
            Message::Unknown(word) => {
                let word = word.slice(..word.len().min(UNKNOWN_WORD_BYTES_MAX));
                self.send_own(&said("didNotUnderstand", [Element::Bytes(word)]));
                Ok(())
            }
        }
    }

    fn handle_call(&mut self, call: Call) -> Result<(), CloseReason> {
        let Received { values, remotes } = self.receive([call.args, call.kwargs])?;
        match self.check_call(call.object, call.wants_answer, values) {
            Ok((object, (args, kwargs))) => {
                let request = call.wants_answer.then(|| self.begin_request(call.number));
                let called = Called { request, object, method: call.method, args, kwargs };
                self.events.push_back(Event::Called(called));
            }
            Err(failure) => {
                remotes.into_iter().for_each(|remote| self.release(remote));
                if call.wants_answer {
                    self.send_failure(call.number, failure);
                }
            }
        }
        Ok(())
    }

    /// Decides whether the application hears of a call.
    fn check_call(
        &self,
        object: Option<ObjectId>,
        wants_answer: bool,
        values: Result<[Value; 2], JellyError>,
    ) -> Result<(ObjectId, Arguments), Failure> {
        let refuse = |why: String| Failure::new(PB_ERROR, why);
        let arguments = values.and_then(arguments_of);
        let arguments = arguments.map_err(|error| refuse(format!("the arguments are not read: {error}")))?;
        let object = object.filter(|&object| self.objects.is_callable(object));
        let object = object.ok_or_else(|| refuse("Invalid Object ID".to_owned()))?;
        if wants_answer && self.requests.len() >= self.limits.requests_max {
            return Err(refuse(format!("{} calls wait for their answer", self.limits.requests_max)));
        }
        Ok((object, arguments))
    }

    fn begin_request(&mut self, number: i64) -> RequestId {
        self.last_request += 1;
        let request = RequestId::from_wire(self.last_request);
        self.requests.insert(request, number);
        request
    }

    fn handle_answer(&mut self, number: i64, value: Element) -> Result<(), CloseReason> {
        let purpose = self.end_call(number)?;
        let Received { values, .. } = self.receive([value])?;
        let outcome = values.map(|[value]| value).map_err(CallFailure::Unreadable);
        match (purpose, outcome) {
            (Purpose::Application, outcome) => self.report(number, outcome),
            (Purpose::Challenge, Ok(answer)) => return self.respond(&answer),
            (Purpose::Perspective, Ok(Value::Remote(perspective))) => {
                self.events.push_back(Event::LoggedIn { perspective });
            }
            _ => return Err(CloseReason::Malformed { what: "answer to the login" }),
        }
        Ok(())
    }

    fn handle_error(&mut self, number: i64, failure: Element) -> Result<(), CloseReason> {
        let purpose = self.end_call(number)?;
        let Received { values, remotes } = self.receive([failure])?;
        let failure = match values {
            Ok([Value::Failure(failure)]) => CallFailure::Raised(*failure),
            Ok(_) => CallFailure::Unreadable(JellyError::Malformed { what: "failure" }),
            Err(error) => CallFailure::Unreadable(error),
        };
        remotes.into_iter().for_each(|remote| self.release(remote));
        match (purpose, failure) {
            (Purpose::Application, failure) => self.report(number, Err(failure)),
            (_, CallFailure::Raised(failure)) => return Err(CloseReason::LoginRefused(failure)),
            _ => return Err(CloseReason::Malformed { what: "answer to the login" }),
        }
        Ok(())
    }

    fn end_call(&mut self, number: i64) -> Result<Purpose, CloseReason> {
        self.calls.remove(&number).ok_or(CloseReason::UnknownCall { number })
    }

    pub(super) fn report(&mut self, number: i64, outcome: Result<Value, CallFailure>) {
        self.events.push_back(Event::Answered { call: CallId::from_wire(number), outcome });
    }

    fn handle_give_back(&mut self, object: ObjectId) -> Result<(), CloseReason> {
        match self.objects.take_back(object) {
            GivenBack::Held => {}
            GivenBack::Last => self.events.push_back(Event::Unreferenced { object }),
            GivenBack::Never => return Err(CloseReason::UnknownObject(object)),
        }
        Ok(())
    }

    /// Answers the challenge. The challenger is of no use after that.
    fn respond(&mut self, answer: &Value) -> Result<(), CloseReason> {
        let Some(challenge) = Challenge::of(answer) else {
            return Err(CloseReason::Malformed { what: "challenge" });
        };
        let args = vec![Value::Bytes(self.credentials.response(&challenge)), Value::Object(self.mind)];
        let challenger = Element::Int(challenge.challenger.to_wire());
        self.log_in(challenger, "respond", args, Purpose::Perspective)?;
        self.release(challenge.challenger);
        Ok(())
    }

    /// Reads values and counts the references that came with them, also if a value cannot be read.
    fn receive<const N: usize>(&mut self, elements: [Element; N]) -> Result<Received<N>, CloseReason> {
        let mut arrivals = Vec::new();
        let read = elements.map(|element| {
            let mut reader = Reader::new(&self.limits);
            let value = reader.read(element);
            arrivals.extend(reader.into_arrivals());
            value
        });
        let values = all_of(read);
        let remotes: Vec<_> = values.iter().flatten().flat_map(Value::remotes).collect();
        for give_back in self.references.arrive(&arrivals, &remotes) {
            self.give_back(&give_back);
        }
        if self.references.is_over_limit() {
            return Err(CloseReason::TooManyReferences { max: self.limits.references_max });
        }
        Ok(Received { values, remotes })
    }
}

/// Values of one message, and every reference to an object of the peer in them.
struct Received<const N: usize> {
    values: Result<[Value; N], JellyError>,
    remotes: Vec<RemoteId>,
}

/// Arguments by position and by name.
type Arguments = (Vec<Value>, Vec<(String, Value)>);

fn arguments_of([args, kwargs]: [Value; 2]) -> Result<Arguments, JellyError> {
    let (Value::Tuple(args), Value::Dict(pairs)) = (args, kwargs) else {
        return Err(JellyError::Malformed { what: "arguments" });
    };
    let mut kwargs: Vec<(String, Value)> = Vec::with_capacity(pairs.len());
    let mut names = HashSet::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = name.as_text().ok_or(JellyError::Malformed { what: "name of an argument" })?.to_owned();
        if !names.insert(name.clone()) {
            return Err(JellyError::Malformed { what: "arguments with one name" });
        }
        kwargs.push((name, value));
    }
    Ok((args, kwargs))
}

/// The class of Twisted's own complaints about calls.
const PB_ERROR: &str = "twisted.spread.pb.Error";

/// How much of a word that is not known is said back.
const UNKNOWN_WORD_BYTES_MAX: usize = 64;
