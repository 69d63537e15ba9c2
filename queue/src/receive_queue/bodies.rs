//! Bodies in the receive queue: those that come with commands, and those that handlers write as results.

use bytes::Bytes;
use runnel_codec::{BodyEnd, CommandKey, NodeId, Part, StreamFrame};

use super::ReceiveQueue;
use super::command::State;
use super::words::{Attachment, Delivery, DeliveryPart};
use crate::body_intake::BodyIntake;
use crate::error::ProtocolError;
use crate::peers::LocalId;

impl ReceiveQueue {
    /// A frame of a command's body has come. What comes on a stream that was overtaken is dropped.
    ///
    /// # Errors
    ///
    /// See [`ProtocolError`].
    pub fn handle_frame(
        &mut self,
        peer: &NodeId,
        key: CommandKey,
        at: Attachment,
        frame: StreamFrame,
    ) -> Result<(), ProtocolError> {
        let Some(id) = self.local(peer, key) else { return Ok(()) };
        let Some(known) = self.known_mut(id).filter(|known| known.at == Some(at)) else { return Ok(()) };
        let intake = known.body.as_mut().ok_or(ProtocolError::BodyRefused)?;
        match frame {
            StreamFrame::Body(content) => {
                if intake.receive(content.len()).map_err(|_| ProtocolError::BodyRefused)? {
                    self.deliver(id, DeliveryPart::Piece(content));
                } else {
                    self.grant_body(id, BodyIntake::discard);
                }
            }
            StreamFrame::BodyEnd(end) => {
                if intake.end(end).map_err(|_| ProtocolError::BodyRefused)? {
                    self.deliver(id, DeliveryPart::End(end));
                }
            }
            _ => return Err(ProtocolError::BodyRefused),
        }
        Ok(())
    }

    /// The sender has finished a command's stream. Without the end of the body it announced, the body is given up.
    pub fn handle_stream_finished(&mut self, peer: &NodeId, key: CommandKey, at: Attachment) {
        let Some(id) = self.local(peer, key) else { return };
        let Some(known) = self.known_mut(id).filter(|known| known.at == Some(at)) else { return };
        if known.body.as_deref_mut().is_some_and(BodyIntake::abort) {
            self.deliver(id, DeliveryPart::Aborted);
        }
    }

    /// A handler that was recovered wants its command's body: it comes again, from its beginning.
    pub fn handle_body_wanted(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(id) = self.local(peer, key) else { return };
        let known = self.known_mut(id).filter(|known| known.state == State::Running);
        if known.and_then(|known| known.body.as_ref()).is_some_and(|body| !body.is_open()) {
            self.open_body(id);
        }
    }

    /// A handler has taken bytes of its command's body: the sender may write further.
    pub fn handle_body_taken(&mut self, peer: &NodeId, key: CommandKey, bytes: u64) {
        if let Some(id) = self.local(peer, key) {
            self.grant_body(id, |intake| intake.take(bytes));
        }
    }

    /// A handler does not read its command's body any more: what comes of it is dropped.
    pub fn handle_body_dropped(&mut self, peer: &NodeId, key: CommandKey) {
        if let Some(id) = self.local(peer, key) {
            self.grant_body(id, BodyIntake::discard);
        }
    }

    /// A handler has written bytes of its result's body.
    pub fn handle_result_body(&mut self, peer: &NodeId, key: CommandKey, content: Bytes) {
        let id = LocalId { peer: self.senders.meet(peer), key };
        let known = self.known_mut(id).filter(|known| known.state == State::Running);
        match known.and_then(|known| known.result_body.as_mut()) {
            Some(body) => {
                let freed = body.push(content);
                self.give_room(id, Part::ResultBody, freed);
                self.pump(id);
            }
            // Nobody will read it. The handler gets its room back, or it would wait for ever.
            None => self.give_room(id, Part::ResultBody, content.len()),
        }
    }

    /// A handler has written its result's body whole.
    pub fn handle_result_body_end(&mut self, peer: &NodeId, key: CommandKey, end: BodyEnd) {
        let Some(id) = self.local(peer, key) else { return };
        let known = self.known_mut(id).filter(|known| known.state == State::Running);
        if let Some(body) = known.and_then(|known| known.result_body.as_mut()) {
            body.end(end);
            self.pump(id);
        }
    }

    /// The handler of a command is called: its body may come. Its window is at most a quarter of what others leave, but never
    /// too small to get on: bodies that nobody reads must not keep others out.
    pub(super) fn open_body(&mut self, id: LocalId) {
        let config = &self.config;
        let sender = &mut self.senders[id.peer];
        let Some(body) = sender.known.get_mut(id.key).and_then(|known| known.body.as_mut()) else { return };
        let left = config.body_windows_bytes_max.saturating_sub(sender.body_windows);
        let window = config.body_window_bytes.min(left / 4).max(config.body_window_bytes_min.get());
        sender.body_windows += window;
        let offset = body.open(window);
        self.credits.push_back((self.senders.name(id.peer).clone(), id.key, offset));
    }

    /// A command has ended, or its body has come whole and is taken: its window is free for others.
    pub(super) fn close_body(&mut self, id: LocalId) {
        let sender = &mut self.senders[id.peer];
        if let Some(body) = sender.known.get_mut(id.key).and_then(|known| known.body.as_mut()) {
            sender.body_windows -= body.close();
        }
    }

    fn grant_body(&mut self, id: LocalId, take: impl FnOnce(&mut BodyIntake) -> Option<u64>) {
        let Some(body) = self.known_mut(id).and_then(|known| known.body.as_mut()) else { return };
        let credit = take(body);
        let is_done = body.is_done();
        if let Some(credit) = credit {
            self.credits.push_back((self.senders.name(id.peer).clone(), id.key, credit));
        }
        if is_done {
            self.close_body(id);
        }
    }

    pub(super) fn deliver(&mut self, id: LocalId, part: DeliveryPart) {
        let from = self.senders.name(id.peer).clone();
        self.deliveries.push_back(Delivery { from, key: id.key, part });
    }
}
