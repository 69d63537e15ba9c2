//! What this node receives: from a stream through the receive queue into a handler, and the replies back.

use std::time::Instant;

use bytes::Bytes;
use runnel_certs::Role;
use runnel_codec::{CloseCode, CommandKey, Head, NodeId, Outcome, Rejection, RejectionKind, StreamFrame};
use runnel_queue::{Attachment, Reply};
use runnel_transport::StreamId;
use tracing::trace;

use super::Engine;
use super::links::{LinkEntry, LinkIndex, StreamUse};

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
        let Some(up) = entry.up() else {
            return self.close_link(index, CloseCode::UnexpectedFrame, "a command before the hello");
        };
        let (peer, number) = (up.peer.clone(), up.number);
        let key = head.key;
        entry.streams.insert(stream, StreamUse::Incoming(key));
        let refusal = self.refusal(&peer, &head);
        let at = Attachment { link: number, stream: stream.to_wire() };
        self.receive.handle_head(now, &peer, at, head, payload);
        if let Some(rejection) = refusal {
            self.receive.reject(&peer, key, rejection);
        }
        self.give_places(index);
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
            // Bodies are not in this version's capabilities, so a peer that sends one breaks the rules.
            Some(StreamUse::Incoming(_)) => {
                self.close_link(index, CloseCode::UnexpectedFrame, "a body that the head did not announce");
            }
            None => {}
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
                entry.streams.remove(&stream);
                entry.unanswered -= usize::from(!is_answered);
                self.send.handle_stream_lost(now, &peer, key);
                self.give_room(index);
            }
            // The sender of a command ends its half once it has said everything.
            Some(StreamUse::Incoming(key)) if !is_clean => {
                entry.streams.remove(&stream);
                entry.link.reset(stream, CloseCode::Detached);
                let at = Attachment { link, stream: stream.to_wire() };
                self.receive.handle_stream_lost(&peer, key, at);
            }
            _ => {}
        }
    }

    /// Lets the receive queue say what it has to say.
    pub(super) fn drain_receive_queue(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(start) = self.receive.poll_start() {
            is_busy = true;
            let (from, key) = (start.from.clone(), start.key);
            trace!(%from, %key, name = %start.name, "calling the handler");
            if let Some(outcome) = self.dispatch.start(self.identity.node(), start) {
                self.receive.handle_finished(&from, key, outcome);
            }
        }
        while let Some(stop) = self.receive.poll_stop() {
            is_busy = true;
            self.dispatch.stop(&stop.from, stop.key, stop.reason);
        }
        while let Some((from, key, bytes)) = self.receive.poll_room() {
            is_busy = true;
            self.dispatch.give_room(&from, key, bytes);
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
        if let Some(index) = self.link_of(from) {
            self.give_places(index);
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
        entry.link.send(stream, &reply.frame);
        if reply.is_last {
            entry.link.finish(stream);
            entry.streams.remove(&stream);
            self.give_places(index);
        }
    }

    /// Keeps the stream limit at the free places and the commands that are accepted and not finished.
    pub(super) fn give_places(&mut self, index: LinkIndex) {
        let Some(peer) = self.peer_of(index) else { return };
        let places = self.config.receive_queue.free_places.get() + self.receive.places(&peer);
        if let Some(entry) = self.links.get_mut(index) {
            entry.link.set_places(places);
        }
    }

    /// Says why a command may not run here, if so.
    fn refusal(&self, peer: &NodeId, head: &Head) -> Option<Rejection> {
        let role = self.peers.get(peer).and_then(|peer| peer.role);
        if role != Some(Role::Controller) {
            let message = format!("{peer} is not a controller, so it may not send commands");
            return Some(Rejection { kind: RejectionKind::Denied, message });
        }
        if head.has_body {
            let message = "this node takes no bodies".to_owned();
            return Some(Rejection { kind: RejectionKind::BadArguments, message });
        }
        self.dispatch.check(&head.name, &head.args).err()
    }
}

impl LinkEntry {
    /// Takes note that the peer has answered on a command's stream.
    pub(super) fn note_answer(&mut self, stream: StreamId, is_last: bool) {
        let Some(StreamUse::Outgoing { is_answered, .. }) = self.streams.get_mut(&stream) else { return };
        if !*is_answered {
            *is_answered = true;
            self.unanswered -= 1;
        }
        if is_last {
            self.streams.remove(&stream);
        }
    }
}
