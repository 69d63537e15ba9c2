//! What this node sends: from the caller through the send queue onto a stream, and the replies back.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{Class, ClassMap, CommandId, CommandKey, ControlFrame, Head, NodeId, StreamFrame};
use runnel_queue::{Budget, LinkView, NewCommand, Room, SendEvent, SubmitError as QueueError, Transmit};
use runnel_transport::StreamId;
use tokio::sync::{mpsc, oneshot};
use tracing::trace;

use super::Engine;
use super::links::{LinkIndex, StreamUse};
use crate::submission::CallerEvent;

impl Engine {
    /// Stores a caller's command.
    pub(super) fn handle_submit(
        &mut self,
        now: Instant,
        command: NewCommand,
        events: mpsc::UnboundedSender<CallerEvent>,
        reply: oneshot::Sender<Result<CommandId, QueueError>>,
    ) {
        match self.send.submit(now, command) {
            Ok(id) => {
                self.callers.insert(id.clone(), Caller { events, stored: Some(reply) });
            }
            Err(error) => {
                reply.send(Err(error)).ok();
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
                    reply.send(Ok(id)).ok();
                }
            }
            SendEvent::Started(id) => {
                if let Some(caller) = self.callers.get(&id) {
                    caller.events.send(CallerEvent::Started).ok();
                }
            }
            SendEvent::Update { id, content, .. } => {
                let bytes = content.len() as u64;
                let is_taken = match self.callers.get(&id) {
                    Some(caller) => caller.events.send(CallerEvent::Update(content)).is_ok(),
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
                    caller.events.send(CallerEvent::Outcome(outcome)).ok();
                }
            }
            _ => {}
        }
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        match transmit {
            Transmit::Open { peer, key, head, payload } => self.open(now, &peer, key, &head, payload),
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
                entry.link.finish(stream);
                entry.streams.insert(stream, StreamUse::Outgoing { key, is_answered: false });
                entry.unanswered += 1;
            }
            Err(_) => self.send.handle_stream_lost(now, peer, key),
        }
        self.give_room(index);
    }

    fn send_control(&mut self, peer: &NodeId, frame: &ControlFrame) {
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
            return self.close_link(index, error.close_code(), &error.to_string());
        }
        self.give_room(index);
    }

    /// Tells the send queue what a link can take now.
    pub(super) fn give_room(&mut self, index: LinkIndex) {
        let free_places = self.config.receive_queue.free_places.get();
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(up) = entry.up() else { return };
        let (peer, receive_window) = (up.peer.clone(), up.receive_window);
        // The receiver keeps this many places ahead of what it has accepted; the rest is on its way there.
        let places = if entry.link.places() == 0 { 0 } else { free_places.saturating_sub(entry.unanswered) };
        let view = LinkView {
            congestion_window: entry.link.stats().congestion_window,
            send_window: self.config.transport.send_window,
            peer_receive_window: receive_window,
        };
        let budget = Budget::new(&self.config.budget, view);
        let in_flight = entry.link.in_flight();
        let budget = ClassMap::new(Class::ALL.map(|class| budget.available(in_flight, class)));
        self.send.handle_room(&peer, Room { places, budget });
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
    stored: Option<oneshot::Sender<Result<CommandId, QueueError>>>,
}

fn is_last(frame: &StreamFrame) -> bool {
    matches!(
        frame,
        StreamFrame::Outcome(_) | StreamFrame::Busy { .. } | StreamFrame::Stale | StreamFrame::Duplicate
    )
}
