//! Messages that share streams: out as batches, in one by one through the same gate as commands, and their answers.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{Class, CloseCode, CommandKey, Head, LastWord, NodeId, Reached};
use runnel_queue::Attachment;
use runnel_transport::StreamId;

use super::Engine;
use super::link_set::{LinkIndex, StreamUse};

impl Engine {
    /// Opens a stream for messages.
    pub(super) fn open_batch(&mut self, now: Instant, peer: &NodeId, class: Class, heads: &[Head]) {
        let index = self.link_of(peer);
        let Some(entry) = index.and_then(|index| self.links.get_mut(index)) else {
            return self.lose_batch(now, peer, heads);
        };
        entry.liveness.handle_owed(now, true);
        match entry.link.open_batch(class, heads) {
            Ok(stream) => {
                entry.streams.insert(stream, StreamUse::OutgoingBatch);
                entry.unanswered += 1;
                self.messages_batched += heads.len() as u64;
            }
            Err(_) => self.lose_batch(now, peer, heads),
        }
        index.into_iter().for_each(|index| self.tell_room_after_open(index));
    }

    fn lose_batch(&mut self, now: Instant, peer: &NodeId, heads: &[Head]) {
        heads.iter().for_each(|head| self.send.handle_stream_lost(now, peer, head.key));
    }

    /// Messages of a peer have arrived.
    pub(super) fn handle_messages(
        &mut self,
        now: Instant,
        index: LinkIndex,
        stream: StreamId,
        heads: Vec<Head>,
    ) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(up) = entry.up() else {
            return self.close_link(index, CloseCode::UnexpectedFrame, "messages before the hello");
        };
        let (peer, link) = (up.peer.clone(), up.number);
        entry.liveness.handle_owed(now, true);
        let at = Attachment { link, stream: stream.to_wire(), is_batch: true };
        for head in heads {
            self.offer(now, &peer, at, head, Bytes::new());
        }
        self.links.note_places(index);
    }

    /// The peer says how far messages have come.
    pub(super) fn handle_reached(
        &mut self,
        now: Instant,
        index: LinkIndex,
        peer: &NodeId,
        reached: &Reached,
    ) {
        if let Err(error) = self.send.handle_reached(now, peer, reached) {
            return self.close_link(index, error.close_code(), error.to_string());
        }
        self.give_room(index);
    }

    /// The peer says its last word about a message.
    pub(super) fn handle_last_word(
        &mut self,
        now: Instant,
        index: LinkIndex,
        peer: &NodeId,
        key: CommandKey,
        last: LastWord,
    ) {
        if let Err(error) = self.send.handle_reply(now, peer, key, last.into_frame()) {
            return self.close_link(index, error.close_code(), error.to_string());
        }
        self.give_room(index);
    }

    /// Says what became of messages in this turn.
    pub(super) fn say_answers(&mut self) {
        while let Some((peer, frames)) = self.receive.poll_answers() {
            let Some(index) = self.link_of(&peer) else { continue };
            let Some(entry) = self.links.get_mut(index) else { continue };
            frames.iter().for_each(|frame| entry.link.send_control(frame));
            self.links.note_places(index);
        }
    }
}
