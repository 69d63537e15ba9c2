//! Bodies between the queues and those who write and read them.

use bytes::Bytes;
use runnel_codec::{BodyEnd, CommandId, FailureKind};
use runnel_queue::{Delivery, DeliveryPart};

use super::{Engine, Release};
use crate::body::Whose;

impl Engine {
    pub(super) fn handle_body(&mut self, whose: &Whose, offset: u64, content: Bytes) {
        match whose {
            Whose::Ours(id) => self.send.handle_body(id, offset, content),
            Whose::Theirs(from, key) => self.receive.handle_result_body(from, *key, content),
        }
    }

    pub(super) fn handle_body_end(&mut self, whose: &Whose, end: BodyEnd) {
        match whose {
            Whose::Ours(id) => self.send.handle_body_end(id, end),
            Whose::Theirs(from, key) => self.receive.handle_result_body_end(from, *key, end),
        }
    }

    pub(super) fn handle_body_failed(&mut self, whose: &Whose, kind: FailureKind, message: String) {
        match whose {
            Whose::Ours(id) => self.send.handle_body_failed(id, kind, message),
            // A result body without an end says it all; the handler has its own words for the outcome.
            Whose::Theirs(..) => {}
        }
    }

    pub(super) fn handle_body_wanted(&mut self, whose: &Whose) {
        match whose {
            // That of a result comes of itself.
            Whose::Ours(_) => {}
            Whose::Theirs(from, key) => self.receive.handle_body_wanted(from, *key),
        }
    }

    pub(super) fn handle_body_taken(&mut self, whose: &Whose, bytes: u64) {
        match whose {
            Whose::Ours(id) => self.send.handle_result_body_taken(id, bytes),
            Whose::Theirs(from, key) => self.receive.handle_body_taken(from, *key, bytes),
        }
    }

    pub(super) fn handle_release(&mut self, release: Release) {
        match release {
            Release::Updates(id) => self.send.handle_updates_taken(&id, u64::MAX),
            Release::BodyReader(Whose::Ours(id)) => self.send.handle_result_body_dropped(&id),
            Release::BodyReader(Whose::Theirs(from, key)) => self.receive.handle_body_dropped(&from, key),
            Release::BodyWriter(whose) => {
                let message = "its body was given up before it was complete".to_owned();
                self.handle_body_failed(&whose, FailureKind::BodyBroken, message);
            }
        }
    }

    /// Hands a part of a result body to the caller. If nobody reads it, what still comes is dropped.
    pub(super) fn tell_reader(&mut self, id: &CommandId, part: DeliveryPart) {
        let reader = self.callers.get(id).and_then(|caller| caller.result_body.as_ref());
        if reader.is_none_or(|reader| reader.send(part).is_err()) {
            self.send.handle_result_body_dropped(id);
        }
    }

    /// Hands a part of a body to the handler. If nobody reads it, what still comes is dropped.
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let Delivery { from, key, part } = delivery;
        if !self.dispatch.deliver(&from, key, part) {
            self.receive.handle_body_dropped(&from, key);
        }
    }
}
