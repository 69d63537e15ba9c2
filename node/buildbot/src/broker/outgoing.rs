//! What is said to the peer.

use super::message::{call, said};
use super::references::GiveBack;
use super::{Broker, CloseReason, Purpose, SendError, Stage, all_of};
use crate::banana::{Element, EncodeError, encode};
use crate::ids::CallId;
use crate::jelly::{Failure, Value, Writer};

impl Broker {
    pub(super) fn log_in(
        &mut self,
        target: Element,
        method: &str,
        args: Vec<Value>,
        purpose: Purpose,
    ) -> Result<(), CloseReason> {
        let sent = self.send_call(target, method, args, Vec::new(), purpose);
        sent.map(|_| ()).map_err(CloseReason::LoginNotSent)
    }

    pub(super) fn give_back(&mut self, give_back: &GiveBack) {
        if self.stage == Stage::Closed {
            return;
        }
        let message = said("decref", [Element::Int(give_back.remote.to_wire())]);
        for _ in 0..give_back.times {
            self.send_own(&message);
        }
    }

    pub(super) fn send_call(
        &mut self,
        target: Element,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
        purpose: Purpose,
    ) -> Result<CallId, SendError> {
        let number = self.last_call + 1;
        let kwargs = kwargs.into_iter().map(|(name, value)| (Value::Text(name), value)).collect();
        self.send_values([Value::Tuple(args), Value::Dict(kwargs)], |[args, kwargs]| {
            call(number, target, method, args, kwargs)
        })?;
        self.last_call = number;
        self.calls.insert(number, purpose);
        Ok(CallId::from_wire(number))
    }

    /// Sends a message with values in it, and counts the references that the peer gets with them.
    pub(super) fn send_values<const N: usize>(
        &mut self,
        values: [Value; N],
        message: impl FnOnce([Element; N]) -> Element,
    ) -> Result<(), SendError> {
        if self.stage == Stage::Closed {
            return Err(SendError::Closed);
        }
        let mut writer = Writer::new(&self.limits);
        let written = all_of(values.map(|value| writer.write(value)))?;
        if let Some(&object) = writer.given.iter().find(|object| !self.objects.exists(**object)) {
            return Err(SendError::NoSuchObject(object));
        }
        if let Some(&remote) = writer.named.iter().find(|remote| !self.references.is_held(**remote)) {
            return Err(SendError::NotHeld(remote));
        }
        self.encode(&message(written))?;
        writer.given.into_iter().for_each(|object| self.objects.give(object));
        Ok(())
    }

    pub(super) fn send_failure(&mut self, number: i64, failure: Failure) {
        let sent = self.send_values([Value::Failure(Box::new(failure))], |[failure]| {
            said("error", [Element::Int(number), failure])
        });
        debug_assert!(sent.is_ok() || self.stage == Stage::Closed, "a failure is cut to what fits");
    }

    /// Sends what is short and has no values of the application in it.
    pub(super) fn send_own(&mut self, message: &Element) {
        let sent = self.encode(message);
        debug_assert!(sent.is_ok(), "our own words fit into every limit");
    }

    pub(super) fn encode(&mut self, message: &Element) -> Result<(), EncodeError> {
        encode(message, self.dialect, &self.limits, &mut self.output)
    }
}
