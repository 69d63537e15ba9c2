//! What this node sends: from the caller through the send queue onto a stream, and the replies back.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{
    Class, ClassMap, CommandId, CommandKey, ControlFrame, Head, NodeId, StreamFrame, UpdatePolicy,
};
use runnel_queue::{Budget, DeliveryPart, LinkView, Prepared, Room, SendEvent, Stage, Transmit};
use runnel_transport::StreamId;
use tracing::{debug, trace, warn};

use super::incoming::free_places;
use super::link_set::{LinkIndex, StreamUse};
use super::{Caller, Engine};
use crate::body::{BodySink, Source, Whose, feed};

impl Engine {
    /// Stores a caller's command.
    pub(super) fn handle_submit(&mut self, now: Instant, prepared: Prepared, caller: Caller) {
        let command = prepared.command();
        let key = command.durable.as_ref().and_then(|durable| durable.idempotency.as_ref());
        match key.map_or(Ok(None), |key| self.send.find(&command.to, key)) {
            Ok(None) => {}
            Ok(Some(id)) => return self.handle_attach(id, caller),
            Err(conflict) => return caller.teller.stored(&mut self.wakes, Err(conflict.into())),
        }
        let updates = command.updates;
        match self.send.submit(now, prepared) {
            Ok(id) => {
                if updates == UpdatePolicy::Store {
                    // Whoever submits follows.
                    self.send.follow(&id).ok();
                }
                self.callers.insert(id, caller);
            }
            Err(error) => caller.teller.stored(&mut self.wakes, Err(error)),
        }
    }

    /// Lets the send queue say what it has to say.
    pub(super) fn drain_send_queue(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        loop {
            while let Some(transmit) = self.send.poll_transmit(now) {
                is_busy = true;
                self.transmit(now, transmit);
            }
            // What is told may have more to be sent.
            let mut has_told = false;
            while let Some(event) = self.send.poll_event() {
                has_told = true;
                self.tell_caller(now, event);
            }
            if !has_told {
                return is_busy;
            }
            is_busy = true;
        }
    }

    fn tell_caller(&mut self, now: Instant, event: SendEvent) {
        match event {
            SendEvent::Stored(id) => {
                if let Some(caller) = self.callers.get(&id) {
                    caller.tell_stored(&mut self.wakes, id.key);
                }
            }
            SendEvent::Sent(id) => self.tell_step(&id, Stage::Sent),
            SendEvent::Accepted(id) => self.tell_step(&id, Stage::Accepted),
            SendEvent::Started(id) => self.tell_step(&id, Stage::Started),
            SendEvent::Overdue(id) => {
                if let Some(caller) = self.callers.get(&id) {
                    caller.tell_overdue(&mut self.wakes);
                }
            }
            SendEvent::Update { id, number, content } => {
                let bytes = content.len() as u64;
                let caller = self.callers.get(&id);
                if !caller.is_some_and(|caller| caller.teller.update(&mut self.wakes, number, content)) {
                    // Nobody follows it: its updates must not press back on the handler.
                    self.send.handle_updates_taken(&id, bytes);
                }
            }
            SendEvent::Outcome { id, outcome } => {
                trace!(%id, outcome = outcome.as_str(), "outcome");
                if let Some(mut caller) = self.callers.remove(&id) {
                    caller.close_body();
                    if outcome.has_started() {
                        // Its receiver may have said nothing else.
                        caller.tell_step(&mut self.wakes, Stage::Accepted);
                        caller.tell_step(&mut self.wakes, Stage::Started);
                    }
                    if !caller.keeps_outcome {
                        // One that does not outlive the process is not kept anyway.
                        self.send.handle_outcome_taken(now, &id).ok();
                    }
                    caller.teller.outcome(&mut self.wakes, outcome);
                }
            }
            SendEvent::Late { id, outcome } => {
                debug!(%id, outcome = outcome.as_str(), "an outcome came after the command had ended");
            }
            SendEvent::Held(id) => {
                warn!(%id, "held back: one link after the other died after its head; abandon or release it");
            }
            SendEvent::Again(id) => debug!(%id, "the receiver was restarted: the command is sent again"),
            SendEvent::BodyWanted { id, from } => self.begin_body(&id, from),
            SendEvent::BodyTaken { id, bytes } => {
                if let Some(room) = self.callers.get(&id).and_then(|caller| caller.body_room.as_ref()) {
                    room.free(bytes);
                }
            }
            SendEvent::ResultBody { id, content } => self.tell_reader(&id, DeliveryPart::Piece(content)),
            SendEvent::ResultBodyEnd { id, end } => self.tell_reader(&id, DeliveryPart::End(end)),
        }
    }

    fn tell_step(&mut self, id: &CommandId, stage: Stage) {
        if let Some(caller) = self.callers.get_mut(id) {
            caller.tell_step(&mut self.wakes, stage);
        }
    }

    /// The receiver wants a command's body: whoever produces it begins, perhaps once more.
    fn begin_body(&mut self, id: &CommandId, from: u64) {
        if self.callers.get(id).is_none() {
            self.callers.insert(id.clone(), Caller::gone());
        }
        let stored = self.send.stored_body(id);
        let Some(caller) = self.callers.get_mut(id) else { return };
        let source = match stored {
            Some(stored) => {
                caller.body = None;
                Source::from_stored(stored)
            }
            None => Source::take(&mut caller.body),
        };
        let Some(source) = source else { return };
        let room = caller.open_body(&self.body_rooms);
        let sink = BodySink {
            whose: Whose::Ours(id.clone()),
            room,
            skip: from,
            inbox: self.inbox.to_self.clone(),
            releases: self.inbox.releases.clone(),
        };
        self.env.spawn_handler(Box::pin(feed(source, sink)));
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        match transmit {
            Transmit::Open { peer, key, head, payload } => self.open(now, &peer, key, head, payload),
            Transmit::Batch { peer, class, heads } => self.open_batch(now, &peer, class, &heads),
            Transmit::Body { peer, key, frame } => self.send_body(&peer, key, &frame),
            Transmit::BodyAborted { peer, key } => self.abort_body(&peer, key),
            Transmit::Cancel { peer, key } => self.send_control(&peer, &ControlFrame::Cancel(key)),
            Transmit::Settled { peer, settled } => self.send_control(&peer, &ControlFrame::Settled(settled)),
            Transmit::Received { peer, key, updates, result_body } => {
                self.send_control(&peer, &ControlFrame::Received { key, updates, result_body });
            }
            Transmit::Credit { peer, key, part, offset } => {
                self.send_control(&peer, &ControlFrame::Credit { key, part, offset });
            }
        }
    }

    /// Opens a stream for a command.
    fn open(&mut self, now: Instant, peer: &NodeId, key: CommandKey, mut head: Head, payload: Bytes) {
        let Some(index) = self.link_of(peer) else {
            return self.send.handle_stream_lost(now, peer, key);
        };
        let Some(entry) = self.links.get_mut(index) else { return };
        head.early = !entry.is_up();
        entry.liveness.handle_owed(now, true);
        match entry.link.open_command(&head, payload) {
            Ok(stream) => {
                if head.has_body {
                    entry.bodies.insert(key, stream);
                }
                entry.streams.insert(stream, StreamUse::Outgoing { key, is_answered: false });
                entry.unanswered += 1;
            }
            Err(_) => self.send.handle_stream_lost(now, peer, key),
        }
        self.tell_room_after_open(index);
    }

    /// Has the queues told what a link can take after one more stream.
    pub(super) fn tell_room_after_open(&mut self, index: LinkIndex) {
        if self.links.get(index).is_some_and(|entry| entry.link.places() == 0) {
            // The send queue counts what it takes of the room, but not that the peer grants no further stream.
            self.tell_room(index);
        } else {
            self.give_room(index);
        }
    }

    /// Writes the next frame of a command's body.
    fn send_body(&mut self, peer: &NodeId, key: CommandKey, frame: &StreamFrame) {
        let Some(index) = self.link_of(peer) else { return };
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(stream) = entry.bodies.get(&key).copied() else { return };
        entry.link.send(stream, frame);
        self.body_bytes_written += body_bytes(frame);
        if matches!(frame, StreamFrame::BodyEnd(_)) {
            entry.bodies.remove(&key);
            entry.link.finish(stream);
        }
        self.tell_room(index);
    }

    /// Ends the stream of a command without the end of its body.
    fn abort_body(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(index) = self.link_of(peer) else { return };
        let Some(entry) = self.links.get_mut(index) else { return };
        if let Some(stream) = entry.bodies.remove(&key) {
            entry.link.finish(stream);
        }
    }

    pub(super) fn send_control(&mut self, peer: &NodeId, frame: &ControlFrame) {
        let Some(index) = self.link_of(peer) else { return };
        if let Some(entry) = self.links.get_mut(index) {
            entry.link.send_control(frame);
        }
    }

    /// Hands the peer's reply to the send queue.
    pub(super) fn handle_reply(
        &mut self,
        now: Instant,
        index: LinkIndex,
        peer: &NodeId,
        stream: StreamId,
        key: CommandKey,
        frame: StreamFrame,
    ) {
        let is_last = is_last(&frame);
        if let Some(entry) = self.links.get_mut(index) {
            entry.note_answer(stream, is_last);
        }
        if let Err(error) = self.send.handle_reply(now, peer, key, frame) {
            return self.close_link(index, error.close_code(), error.to_string());
        }
        self.give_room(index);
    }

    /// Has the queues told what a link can take, before they are asked what they have to say.
    pub(super) fn give_room(&mut self, index: LinkIndex) {
        self.links.note_room(index);
    }

    /// Tells the queues what those links can take now of which that may have changed.
    pub(super) fn tell_rooms(&mut self) {
        while let Some(index) = self.links.poll_room() {
            self.tell_room(index);
        }
    }

    fn tell_room(&mut self, index: LinkIndex) {
        let now = self.now();
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(up) = entry.writable() else { return };
        if self.is_draining || up.retry_after.is_some() {
            let peer = up.peer.clone();
            return self.send.handle_room(&peer, Room::default());
        }
        let (peer, receive_window) = (up.peer.clone(), up.receive_window);
        // The receiver keeps this many places ahead of what it has accepted; the rest is on its way there.
        let free_places = free_places(&self.config.receive_queue, entry.answered);
        let places = if entry.link.places() == 0 { 0 } else { free_places.saturating_sub(entry.unanswered) };
        let stats = entry.link.stats();
        let view = LinkView {
            congestion_window: stats.congestion_window,
            loss_permille: stats.loss_permille,
            send_window: self.config.transport.send_window,
            peer_receive_window: receive_window,
        };
        let budget = Budget::new(&self.config.budget, view);
        let in_flight = entry.link.in_flight();
        let written = entry.link.budgeted_bytes();
        let rated = entry.bulk_rate.as_mut().map_or(u64::MAX, |limit| limit.available(now, written));
        let budget = ClassMap::new(Class::ALL.map(|class| match class {
            Class::Urgent => budget.available(in_flight, class),
            _ => budget.available(in_flight, class).min(rated),
        }));
        let room = Room { places, budget, piece_bytes: Budget::piece_bytes(stats.bytes_per_second()) };
        self.send.handle_room(&peer, room);
        self.receive.handle_room(&peer, room);
    }

    /// Returns the link to a peer that is up.
    pub(super) fn link_of(&self, peer: &NodeId) -> Option<LinkIndex> {
        self.peers.get(peer)?.link
    }
}

/// Returns how many bytes of a body a frame carries.
pub(super) fn body_bytes(frame: &StreamFrame) -> u64 {
    match frame {
        StreamFrame::Body(content) | StreamFrame::ResultBody(content) => content.len() as u64,
        _ => 0,
    }
}

fn is_last(frame: &StreamFrame) -> bool {
    matches!(
        frame,
        StreamFrame::Outcome(_) | StreamFrame::Busy { .. } | StreamFrame::Stale | StreamFrame::Duplicate
    )
}
