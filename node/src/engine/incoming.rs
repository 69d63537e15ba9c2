//! What this node receives: from a stream through the receive queue into a handler, and the replies back.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{
    CloseCode, CommandKey, ControlFrame, Head, NodeId, Outcome, Part, Rejection, RejectionKind, StreamFrame,
};
use runnel_queue::{Attachment, ReceiveQueueConfig, Reply};
use runnel_transport::StreamId;
use tracing::trace;

use super::Engine;
use super::link_set::{LinkEntry, LinkIndex, StreamUse};
use super::outgoing::body_bytes;

impl Engine {
    /// A peer's command has arrived.
    pub(super) fn handle_head(
        &mut self,
        now: Instant,
        index: LinkIndex,
        stream: StreamId,
        head: Head,
        payload: Bytes,
    ) {
        let Some(entry) = self.links.get_mut(index) else { return };
        if head.early && !entry.early.is_some_and(|early| early.count(head.key)) {
            return entry.drop_early(stream);
        }
        let Some(up) = entry.up() else {
            return self.close_link(index, CloseCode::UnexpectedFrame, "a command before the hello");
        };
        let (peer, number) = (up.peer.clone(), up.number);
        let key = head.key;
        entry.streams.insert(stream, StreamUse::Incoming(key));
        entry.liveness.handle_owed(now, true);
        let at = Attachment { link: number, stream: stream.to_wire(), is_batch: false };
        self.offer(now, &peer, at, head, payload);
        self.links.note_places(index);
    }

    /// Hands a head to the receive queue, with what speaks against running it.
    pub(super) fn offer(&mut self, now: Instant, peer: &NodeId, at: Attachment, head: Head, payload: Bytes) {
        let (key, refusal) = (head.key, self.refusal(peer, &head));
        self.receive.handle_head(now, peer, at, head, payload);
        if let Some(rejection) = refusal {
            self.receive.reject(peer, key, rejection);
        }
    }

    /// A frame on the stream of a command.
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        index: LinkIndex,
        stream: StreamId,
        frame: StreamFrame,
    ) {
        let Some(peer) = self.peer_of(index) else { return };
        let known = self.links.get_mut(index).and_then(|entry| entry.streams.get(&stream).copied());
        match known {
            Some(StreamUse::Outgoing { key, .. }) => self.handle_reply(now, index, &peer, stream, key, frame),
            Some(StreamUse::Incoming(key)) => self.handle_body_frame(index, &peer, stream, key, frame),
            Some(StreamUse::OutgoingBatch) | None => {}
        }
    }

    fn handle_body_frame(
        &mut self,
        index: LinkIndex,
        peer: &NodeId,
        stream: StreamId,
        key: CommandKey,
        frame: StreamFrame,
    ) {
        let Some(link) = self.links.get_mut(index).and_then(|entry| entry.up()).map(|up| up.number) else {
            return;
        };
        let at = Attachment { link, stream: stream.to_wire(), is_batch: false };
        if let Err(error) = self.receive.handle_frame(peer, key, at, frame) {
            self.close_link(index, error.close_code(), error.to_string());
        }
    }

    /// A stream has ended on the peer's side, cleanly or not.
    pub(super) fn handle_stream_end(
        &mut self,
        now: Instant,
        index: LinkIndex,
        stream: StreamId,
        is_clean: bool,
    ) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(up) = entry.up() else { return };
        let (peer, link) = (up.peer.clone(), up.number);
        match entry.streams.get(&stream).copied() {
            Some(StreamUse::Outgoing { key, is_answered }) => {
                entry.forget_outgoing(stream, key);
                entry.unanswered -= usize::from(!is_answered);
                self.send.handle_stream_lost(now, &peer, key);
                self.give_room(index);
            }
            // The peer has read the whole batch. A batch that is not read whole ends its link.
            Some(StreamUse::OutgoingBatch) => {
                entry.streams.remove(&stream);
                entry.unanswered -= 1;
                self.give_room(index);
            }
            // The sender of a command ends its half once it has said everything, or gives its body up.
            Some(StreamUse::Incoming(key)) if is_clean => {
                let at = Attachment { link, stream: stream.to_wire(), is_batch: false };
                self.receive.handle_stream_finished(&peer, key, at);
            }
            Some(StreamUse::Incoming(key)) => {
                entry.streams.remove(&stream);
                entry.link.reset(stream, CloseCode::Detached);
                let at = Attachment { link, stream: stream.to_wire(), is_batch: false };
                self.receive.handle_stream_lost(&peer, key, at);
            }
            None => {}
        }
    }

    /// Lets the receive queue say what it has to say.
    pub(super) fn drain_receive_queue(&mut self) -> bool {
        let mut is_busy = self.poll_tokens();
        while let Some(start) = self.poll_start() {
            is_busy = true;
            let (from, key) = (start.from.clone(), start.key);
            trace!(%from, %key, name = %start.name, "calling the handler");
            if let Some(outcome) = self.dispatch.start(self.identity.node(), start) {
                self.receive.handle_finished(&from, key, outcome);
                self.end_token(&from, key);
            }
        }
        while let Some(stop) = self.receive.poll_stop() {
            is_busy = true;
            self.dispatch.stop(&stop.from, stop.key, stop.reason);
        }
        while let Some(freed) = self.receive.poll_freed() {
            is_busy = true;
            self.dispatch.give_room(freed);
        }
        while let Some(delivery) = self.receive.poll_delivery() {
            is_busy = true;
            self.deliver(delivery);
        }
        while let Some((peer, key, offset)) = self.receive.poll_credit() {
            is_busy = true;
            self.send_control(&peer, &ControlFrame::Credit { key, part: Part::Body, offset });
        }
        while let Some(reply) = self.receive.poll_reply() {
            is_busy = true;
            self.reply(reply);
        }
        is_busy
    }

    /// A handler has ended.
    pub(super) fn handle_finished(&mut self, from: &NodeId, key: CommandKey, outcome: Outcome) {
        self.dispatch.finish(from, key);
        self.receive.handle_finished(from, key, outcome);
        self.end_token(from, key);
        if let Some(index) = self.link_of(from) {
            self.links.note_places(index);
        }
    }

    fn reply(&mut self, reply: Reply) {
        // What is for a stream of an older link has nobody to hear it any more.
        let Some(index) = self.link_of(&reply.peer) else { return };
        let Some(entry) = self.links.get_mut(index) else { return };
        if entry.up().is_none_or(|up| up.number != reply.at.link) {
            return;
        }
        let stream = StreamId::from_wire(reply.at.stream);
        match reply.is_last {
            true => entry.link.send_last(stream, &reply.frame),
            false => entry.link.send(stream, &reply.frame),
        }
        self.body_bytes_written += body_bytes(&reply.frame);
        if reply.frame.is_bulk() {
            self.give_room(index);
        } else if reply.is_last {
            entry.streams.remove(&stream);
            self.links.note_places(index);
        }
    }

    /// Keeps free places beside those of the commands that are accepted and not finished, on links where that may have
    /// changed.
    pub(super) fn give_places(&mut self) {
        while let Some(index) = self.links.poll_places() {
            let Some(entry) = self.links.get_mut(index) else { continue };
            let Some(used) = entry.up().map(|up| self.receive.places(&up.peer)) else { continue };
            entry
                .link
                .set_places(used, free_places(&self.config.receive_queue, entry.link.streams_accepted()));
        }
    }

    /// Says why a command may not run here, if so.
    fn refusal(&self, peer: &NodeId, head: &Head) -> Option<Rejection> {
        let role = self.peers.get(peer).and_then(|peer| peer.role);
        if let Err(message) = self.policy.decide(peer, role, &head.name) {
            return Some(Rejection { kind: RejectionKind::Denied, message });
        }
        self.dispatch.check(&head.name, &head.args).err()
    }
}

/// Returns how many places are kept free on a link on which so many streams have been used. QUIC holds memory for each
/// place from when it is given, so a link that carries little has few.
pub(super) fn free_places(config: &ReceiveQueueConfig, streams: u64) -> usize {
    let (free, at_first) = (config.free_places.get(), config.free_places_at_first.get());
    if streams >= at_first as u64 / 2 { free } else { free.min(at_first) }
}

impl LinkEntry {
    /// Takes note that the peer has answered on a command's stream.
    pub(super) fn note_answer(&mut self, stream: StreamId, is_last: bool) {
        let Some(StreamUse::Outgoing { key, is_answered }) = self.streams.get_mut(&stream) else { return };
        let key = *key;
        if !*is_answered {
            *is_answered = true;
            self.unanswered -= 1;
            self.answered += 1;
        }
        if is_last {
            self.forget_outgoing(stream, key);
        }
    }

    /// Lets go of the stream of a command of ours. What it has not said of its body is not wanted any more.
    fn forget_outgoing(&mut self, stream: StreamId, key: CommandKey) {
        self.streams.remove(&stream);
        if self.bodies.get(&key) == Some(&stream) {
            self.bodies.remove(&key);
            self.link.reset(stream, CloseCode::Stopped);
        }
    }
}
