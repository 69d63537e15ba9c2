//! Bodies in the send queue: those that go with commands, and those that come with results.

use bytes::Bytes;
use runnel_codec::{
    BodyEnd, Class, CommandId, CommandKey, Epoch, Failure, FailureKind, NodeId, Part, StreamFrame,
};

use super::entry::{Entry, Stage};
use super::words::{SendEvent, Transmit};
use super::{LocalId, SendQueue};
use crate::body_intake::BodyIntake;
use crate::body_log::{BodyLog, BodyPart};
use crate::error::ProtocolError;
use crate::peers::PeerIndex;

impl SendQueue {
    /// Bytes of a command's body were produced that begin at `offset`. How many may wait here is up to whoever produces
    /// them: see [`SendEvent::BodyTaken`]. When a body is wanted again, pieces of the older production may still be under
    /// way: what is not next is dropped.
    pub fn handle_body(&mut self, id: &CommandId, offset: u64, content: Bytes) {
        let Some(id) = self.local(id) else { return };
        if let Some(body) = self.entry_mut(id).and_then(|entry| entry.body.as_mut()) {
            body.log.push_at(offset, content);
            self.offer_body(id);
        }
    }

    /// A command's body is produced whole. An end that is not where its bytes end is of an older production.
    pub fn handle_body_end(&mut self, id: &CommandId, end: BodyEnd) {
        let Some(id) = self.local(id) else { return };
        let body = self.entry_mut(id).and_then(|entry| entry.body.as_mut());
        if let Some(body) = body.filter(|body| body.log.produced_to() == end.bytes) {
            body.log.end(end);
            self.offer_body(id);
        }
    }

    /// A command's body will not come whole. The receiver learns it; if the command fails by that, this is why.
    pub fn handle_body_failed(&mut self, id: &CommandId, kind: FailureKind, message: String) {
        let Some(entry) = self.local(id).and_then(|id| self.entry_mut(id)) else { return };
        let has_stream = entry.has_answered_stream();
        let Some(body) = entry.body.as_mut().filter(|body| body.failure.is_none()) else { return };
        body.failure = Some(Failure { kind, message });
        if has_stream {
            self.control.push_back(Transmit::BodyAborted { peer: id.receiver.clone(), key: id.key });
        }
    }

    /// The receiver lets a command's body be written further.
    ///
    /// # Errors
    ///
    /// See [`ProtocolError`].
    pub fn handle_credit(
        &mut self,
        peer: &NodeId,
        key: CommandKey,
        part: Part,
        offset: u64,
    ) -> Result<(), ProtocolError> {
        let Some(peer) = self.peers.find(peer) else { return Ok(()) };
        let (id, reader) = (LocalId { peer, key }, self.process_of(peer));
        let Some(entry) = self.entry_mut(id) else { return Ok(()) };
        let repeats = entry.command.body_repeats;
        let Some(body) = entry.body.as_mut().filter(|_| part == Part::Body) else {
            return Err(ProtocolError::BodyRefused);
        };
        let Some(reader) = reader.filter(|_| offset > 0) else { return Ok(()) };
        body.meet(reader, repeats);
        body.log.grant(offset);
        if !body.is_reader_met {
            // It has overtaken the word that says how far the reader has come.
            return Ok(());
        }
        if body.window == 0 {
            body.window = offset;
        }
        // A credit is what was taken and the window.
        let freed = body.log.acknowledge(offset.saturating_sub(body.window));
        let is_news = body.failure.is_none() && !std::mem::replace(&mut body.is_wanted, true);
        if is_news {
            self.events.push_back(SendEvent::BodyWanted { id: self.id(id), from: 0 });
        }
        self.tell_taken(id, freed);
        self.offer_body(id);
        Ok(())
    }

    /// The caller has taken bytes of a result body: the receiver may write further.
    pub fn handle_result_body_taken(&mut self, id: &CommandId, bytes: u64) {
        if let Some(id) = self.local(id) {
            self.grant_result_body(id, |intake| intake.take(bytes));
        }
    }

    /// Nobody reads a result body any more: what comes of it is dropped.
    pub fn handle_result_body_dropped(&mut self, id: &CommandId) {
        if let Some(id) = self.local(id) {
            self.grant_result_body(id, BodyIntake::discard);
        }
    }

    /// The receiver has said how far it has a body, on a new stream.
    pub(super) fn attach_body(
        &mut self,
        id: LocalId,
        received: u64,
        credit: u64,
    ) -> Result<(), ProtocolError> {
        let reader = self.process_of(id.peer);
        let Some(entry) = self.entry_mut(id) else { return Ok(()) };
        let (is_durable, repeats) = (entry.is_durable(), entry.command.body_repeats);
        let Some(body) = entry.body.as_mut() else {
            return if received == 0 && credit == 0 { Ok(()) } else { Err(ProtocolError::BodyRefused) };
        };
        let Some(reader) = reader else { return Ok(()) };
        body.meet(reader, repeats);
        body.is_reader_met = true;
        if is_durable && credit == 0 && received > 0 {
            // The receiver has all that it wants of it, whatever this process knows.
            return Ok(());
        }
        if body.failure.is_some() {
            let peer = self.peers.name(id.peer).clone();
            self.control.push_back(Transmit::BodyAborted { peer, key: id.key });
            return Ok(());
        }
        let credit = credit.max(body.log.credit());
        if body.window == 0 && credit > 0 {
            // The reader has what comes before, whoever wrote it. Of a first credit that was lost with a link nothing is
            // taken.
            body.window = credit.saturating_sub(received).max(1);
        }
        let is_news = body.window > 0 && !std::mem::replace(&mut body.is_wanted, true);
        if is_news {
            body.log = BodyLog::begun_at(received);
        }
        let freed = body.log.attach(received, credit).map_err(|_| ProtocolError::OffsetRefused)?;
        if is_news {
            self.events.push_back(SendEvent::BodyWanted { id: self.id(id), from: received });
        }
        self.tell_taken(id, freed);
        self.offer_body(id);
        Ok(())
    }

    pub(super) fn handle_result_body(&mut self, id: LocalId, content: Bytes) -> Result<(), ProtocolError> {
        let intake = self.entry_mut(id).and_then(|entry| entry.result_body.as_mut());
        let intake = intake.ok_or(ProtocolError::ResultBodyRefused)?;
        if intake.receive(content.len()).map_err(|_| ProtocolError::ResultBodyRefused)? {
            self.events.push_back(SendEvent::ResultBody { id: self.id(id), content });
        } else {
            self.grant_result_body(id, BodyIntake::discard);
        }
        Ok(())
    }

    pub(super) fn handle_result_body_end(&mut self, id: LocalId, end: BodyEnd) -> Result<(), ProtocolError> {
        let intake = self.entry_mut(id).and_then(|entry| entry.result_body.as_mut());
        let intake = intake.ok_or(ProtocolError::ResultBodyRefused)?;
        if intake.end(end).map_err(|_| ProtocolError::ResultBodyRefused)? {
            self.events.push_back(SendEvent::ResultBodyEnd { id: self.id(id), end });
        }
        Ok(())
    }

    /// Writes the next piece of the body whose turn it is.
    pub(super) fn write_body(&mut self, class: Class, peer: PeerIndex) -> Option<Transmit> {
        let state = &mut self.peers[peer];
        let piece_bytes = state.room.piece(class)?;
        let key = state.bodies[class].pop_front()?;
        let body = state.entries.get_mut(key)?.body.as_mut()?;
        body.is_in_ring = false;
        let part = body.log.poll(piece_bytes)?;
        let frame = match part {
            BodyPart::Piece(content) => {
                state.room.use_bytes(content.len() as u64);
                StreamFrame::Body(content)
            }
            BodyPart::End(end) => StreamFrame::BodyEnd(end),
        };
        self.offer_body(LocalId { peer, key });
        Some(Transmit::Body { peer: self.peers.name(peer).clone(), key, frame })
    }

    /// Puts a body into the ring of those that can be written, if it can.
    fn offer_body(&mut self, id: LocalId) {
        let peer = &mut self.peers[id.peer];
        let Some(entry) = peer.entries.get_mut(id.key).filter(|entry| entry.has_answered_stream()) else {
            return;
        };
        let class = entry.command.class.of_bulk_bytes();
        let Some(body) = entry.body.as_mut() else { return };
        let can_be_written = body.failure.is_none() && body.log.writable().is_some();
        if can_be_written && !std::mem::replace(&mut body.is_in_ring, true) {
            peer.bodies[class].push_back(id.key);
            self.scheduler.activate(class, id.peer);
        }
    }

    /// Returns the epoch of a peer's process, while it has a link.
    fn process_of(&self, peer: PeerIndex) -> Option<Epoch> {
        self.peers[peer].link.as_ref().map(|link| link.boot)
    }

    fn tell_taken(&mut self, id: LocalId, bytes: usize) {
        if bytes > 0 {
            self.events.push_back(SendEvent::BodyTaken { id: self.id(id), bytes });
        }
    }

    fn grant_result_body(&mut self, id: LocalId, take: impl FnOnce(&mut BodyIntake) -> Option<u64>) {
        let Some(entry) = self.entry_mut(id) else { return };
        let (updates, was_sent) = (entry.updates_to_let_go(), entry.was_sent);
        let Some(intake) = entry.result_body.as_mut() else { return };
        let Some(offset) = take(intake).filter(|_| was_sent) else { return };
        let result_body = intake.taken();
        let (peer, key) = (self.peers.name(id.peer).clone(), id.key);
        self.control.push_back(Transmit::Received { peer: peer.clone(), key, updates, result_body });
        self.control.push_back(Transmit::Credit { peer, key, part: Part::ResultBody, offset });
    }
}

impl Entry {
    /// Returns whether the receiver has answered on the stream that is open.
    fn has_answered_stream(&self) -> bool {
        matches!(self.stage, Stage::Accepted | Stage::Started)
    }
}
