//! What this node sends: from the caller through the send queue onto a stream, and the replies back.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{Class, ClassMap, CommandId, CommandKey, ControlFrame, Head, NodeId, StreamFrame};
use runnel_queue::{Budget, DeliveryPart, LinkView, NewCommand, Room, SendEvent, Stage, Transmit};
use runnel_transport::StreamId;
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, trace, warn};

use super::link_set::{LinkIndex, StreamUse};
use super::{Engine, StoredReply};
use crate::body::{BodyReader, BodySink, Source, Whose, feed};
use crate::submission::CallerEvent;

impl Engine {
    /// Stores a caller's command.
    pub(super) fn handle_submit(&mut self, now: Instant, command: NewCommand, mut caller: Caller) {
        let wants_result_body = command.wants_result_body;
        match self.send.submit(now, command) {
            Ok(id) => {
                // Whoever submits follows; a command whose updates are not kept has nothing to follow.
                self.send.follow(&id).ok();
                if wants_result_body {
                    let whose = Whose::Ours(id.clone());
                    let (parts, reader) =
                        BodyReader::new(whose, self.inbox.to_self.clone(), self.inbox.releases.clone());
                    (caller.result_body, caller.reader) = (Some(parts), Some(reader));
                }
                self.callers.insert(id, caller);
            }
            Err(error) => {
                if let Some(reply) = caller.stored.take() {
                    reply.send(Err(error)).ok();
                }
            }
        }
    }

    /// Lets the send queue say what it has to say.
    pub(super) fn drain_send_queue(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        while let Some(event) = self.send.poll_event() {
            is_busy = true;
            self.tell_caller(event);
        }
        while let Some(transmit) = self.send.poll_transmit(now) {
            is_busy = true;
            self.transmit(now, transmit);
        }
        is_busy
    }

    fn tell_caller(&mut self, event: SendEvent) {
        match event {
            SendEvent::Stored(id) => {
                if let Some(caller) = self.callers.get_mut(&id)
                    && let Some(reply) = caller.stored.take()
                {
                    reply.send(Ok((id, caller.reader.take()))).ok();
                }
            }
            SendEvent::Sent(id) => self.tell_step(&id, Stage::Sent),
            SendEvent::Accepted(id) => self.tell_step(&id, Stage::Accepted),
            SendEvent::Started(id) => self.tell_step(&id, Stage::Started),
            SendEvent::Overdue(id) => {
                if let Some(caller) = self.callers.get(&id) {
                    caller.events.send(CallerEvent::Overdue).ok();
                }
            }
            SendEvent::Update { id, content, .. } => {
                let bytes = content.len() as u64;
                let is_taken = match self.callers.get(&id) {
                    Some(caller) => caller.events.send(CallerEvent::Update(Box::new(content))).is_ok(),
                    None => false,
                };
                if !is_taken {
                    // Nobody follows it: its updates must not press back on the handler.
                    self.send.handle_updates_taken(&id, bytes);
                }
            }
            SendEvent::Outcome { id, outcome } => {
                trace!(%id, outcome = outcome.as_str(), "outcome");
                if let Some(caller) = self.callers.remove(&id) {
                    caller.close_body();
                    caller.events.send(CallerEvent::Outcome(Box::new(outcome))).ok();
                }
            }
            SendEvent::Late { id, outcome } => {
                debug!(%id, outcome = outcome.as_str(), "an outcome came after the command had ended");
            }
            SendEvent::Held(id) => {
                warn!(%id, "held back: one link after the other died after its head; abandon or release it");
            }
            SendEvent::Again(id) => debug!(%id, "the receiver was restarted: the command is sent again"),
            SendEvent::BodyWanted(id) => self.begin_body(&id),
            SendEvent::BodyTaken { id, bytes } => {
                if let Some(room) = self.callers.get(&id).and_then(|caller| caller.body_room.as_ref()) {
                    room.add_permits(bytes);
                }
            }
            SendEvent::ResultBody { id, content } => self.tell_reader(&id, DeliveryPart::Piece(content)),
            SendEvent::ResultBodyEnd { id, end } => self.tell_reader(&id, DeliveryPart::End(end)),
        }
    }

    /// A command has come further. Each step is told once, however often the command is sent again.
    fn tell_step(&mut self, id: &CommandId, stage: Stage) {
        let Some(caller) = self.callers.get_mut(id).filter(|caller| caller.furthest < stage) else { return };
        caller.furthest = stage;
        let event = match stage {
            Stage::Sent if caller.steps => CallerEvent::Sent,
            Stage::Accepted if caller.steps => CallerEvent::Accepted,
            Stage::Started => CallerEvent::Started,
            _ => return,
        };
        caller.events.send(event).ok();
    }

    /// The receiver wants a command's body: whoever produces it may begin.
    fn begin_body(&mut self, id: &CommandId) {
        let Some(caller) = self.callers.get_mut(id) else { return };
        let Some(source) = caller.body.take() else { return };
        let room = Arc::new(Semaphore::new(self.config.node.body_held_bytes()));
        caller.body_room = Some(room.clone());
        let sink = BodySink {
            whose: Whose::Ours(id.clone()),
            room,
            inbox: self.inbox.to_self.clone(),
            releases: self.inbox.releases.clone(),
        };
        self.env.spawn_handler(Box::pin(feed(source, sink)));
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        match transmit {
            Transmit::Open { peer, key, head, payload } => self.open(now, &peer, key, &head, payload),
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
    fn open(&mut self, now: Instant, peer: &NodeId, key: CommandKey, head: &Head, payload: Bytes) {
        let Some(index) = self.link_of(peer) else {
            return self.send.handle_stream_lost(now, peer, key);
        };
        let Some(entry) = self.links.get_mut(index) else { return };
        match entry.link.open_command(head, payload) {
            Ok(stream) => {
                if head.has_body {
                    entry.bodies.insert(key, stream);
                } else {
                    entry.link.finish(stream);
                }
                entry.streams.insert(stream, StreamUse::Outgoing { key, is_answered: false });
                entry.unanswered += 1;
            }
            Err(_) => self.send.handle_stream_lost(now, peer, key),
        }
        if entry.link.places() == 0 {
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
        let free_places = self.config.receive_queue.free_places.get();
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(up) = entry.up() else { return };
        if self.is_draining || up.retry_after.is_some() {
            let peer = up.peer.clone();
            return self.send.handle_room(&peer, Room::default());
        }
        let (peer, receive_window) = (up.peer.clone(), up.receive_window);
        // The receiver keeps this many places ahead of what it has accepted; the rest is on its way there.
        let places = if entry.link.places() == 0 { 0 } else { free_places.saturating_sub(entry.unanswered) };
        let stats = entry.link.stats();
        let view = LinkView {
            congestion_window: stats.congestion_window,
            send_window: self.config.transport.send_window,
            peer_receive_window: receive_window,
        };
        let budget = Budget::new(&self.config.budget, view);
        let in_flight = entry.link.in_flight();
        let budget = ClassMap::new(Class::ALL.map(|class| budget.available(in_flight, class)));
        let room = Room { places, budget, piece_bytes: Budget::piece_bytes(stats.bytes_per_second()) };
        self.send.handle_room(&peer, room);
        self.receive.handle_room(&peer, room);
    }

    /// Returns the link to a peer that is up.
    pub(super) fn link_of(&self, peer: &NodeId) -> Option<LinkIndex> {
        self.peers.get(peer)?.link
    }
}

/// Who waits for a command of this node.
#[derive(Debug)]
pub(super) struct Caller {
    events: mpsc::UnboundedSender<CallerEvent>,
    /// It wants to know of each step.
    steps: bool,
    /// The furthest step that it was told, or would have been.
    furthest: Stage,
    /// Where its body comes from, until the receiver wants it.
    body: Option<Source>,
    /// How much more of its body may be held, once that is under way.
    body_room: Option<Arc<Semaphore>>,
    /// Where the parts of its result's body go, and the other end until the command is stored.
    pub(super) result_body: Option<mpsc::UnboundedSender<DeliveryPart>>,
    reader: Option<BodyReader>,
    stored: Option<StoredReply>,
}

impl Caller {
    pub(super) fn new(
        body: Option<Source>,
        steps: bool,
        events: mpsc::UnboundedSender<CallerEvent>,
        reply: StoredReply,
    ) -> Self {
        Self {
            events,
            steps,
            furthest: Stage::Storing,
            body,
            body_room: None,
            result_body: None,
            reader: None,
            stored: Some(reply),
        }
    }

    /// Its body goes nowhere any more.
    fn close_body(&self) {
        if let Some(room) = &self.body_room {
            room.close();
        }
    }
}

fn is_last(frame: &StreamFrame) -> bool {
    matches!(
        frame,
        StreamFrame::Outcome(_) | StreamFrame::Busy { .. } | StreamFrame::Stale | StreamFrame::Duplicate
    )
}
