//! What the receive queue writes back below Urgent: updates and result bodies, as far as credit and the link's budget go.
//!
//! They share the link with what this node sends itself, so they wait for their turn like that: by class, then by peer,
//! then by command. An outcome waits for what goes before it, and for nothing else.

use runnel_codec::{Class, CommandKey, NodeId, Part, StreamFrame};

use super::ReceiveQueue;
use super::command::{Known, State};
use super::words::{Freed, Reply};
use crate::body_log::BodyPart;
use crate::room::Room;

impl ReceiveQueue {
    /// Says what the link to a sender can take now.
    pub fn handle_room(&mut self, peer: &NodeId, room: Room) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        sender.room = room;
        for class in Class::ALL {
            if !sender.writers[class].is_empty() {
                self.scheduler.activate(class, peer);
            }
        }
    }

    /// Looks what a command has to write: its turn will come, or its outcome is said at once.
    pub(super) fn pump(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        let Some(known) = sender.known.get_mut(key) else { return };
        let Some(at) = known.at else { return };
        if let (Some(_), Some(class)) = (known.writable(), known.bulk_class()) {
            if !std::mem::replace(&mut known.is_in_ring, true) {
                sender.writers[class].push_back(key);
                self.scheduler.activate(class, peer);
            }
        } else if let State::Ended(outcome) = &known.state
            && known.is_written()
        {
            let frame = StreamFrame::Outcome(outcome.clone());
            // The stream is done; a further head gets the same answer on its own stream.
            known.at = None;
            self.reply_last(peer, at, frame);
        }
    }

    /// Writes what goes next, if any link has room for it.
    pub(super) fn write_next(&mut self) -> Option<Reply> {
        loop {
            let senders = &self.senders;
            let cost = |class, peer: &NodeId| {
                let sender = senders.get(peer)?;
                let piece = sender.room.piece(class)?;
                let bytes = sender.known.get(*sender.writers[class].front()?)?.writable()?;
                Some(bytes.min(piece) + FRAME_BYTES)
            };
            let (class, peer) = self.scheduler.next(cost)?;
            if let Some(reply) = self.write(class, &peer) {
                return Some(reply);
            }
        }
    }

    /// Takes a command out of the ring of those that have something to write.
    pub(super) fn leave_ring(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        let Some(known) = sender.known.get_mut(key) else { return };
        if let (true, Some(class)) = (std::mem::take(&mut known.is_in_ring), known.bulk_class()) {
            sender.writers[class].retain(|other| *other != key);
        }
    }

    pub(super) fn give_room(&mut self, from: &NodeId, key: CommandKey, part: Part, bytes: usize) {
        if bytes > 0 {
            self.freed.push_back(Freed { from: from.clone(), key, part, bytes });
        }
    }

    fn write(&mut self, class: Class, peer: &NodeId) -> Option<Reply> {
        let sender = self.senders.get_mut(peer)?;
        let piece_bytes = sender.room.piece(class)?;
        let key = sender.writers[class].pop_front()?;
        let known = sender.known.get_mut(key)?;
        known.is_in_ring = false;
        let at = known.at?;
        let frame = next_frame(known, piece_bytes);
        if let Some(frame) = &frame {
            sender.room.use_bytes(content_bytes(frame));
        }
        self.pump(peer, key);
        Some(Reply { peer: peer.clone(), at, frame: frame?, is_last: false })
    }
}

fn next_frame(known: &mut Known, piece_bytes: u64) -> Option<StreamFrame> {
    if let Some((number, content)) = known.log.poll() {
        return Some(StreamFrame::Update { number, content });
    }
    Some(match known.result_body.as_mut()?.poll(piece_bytes)? {
        BodyPart::Piece(content) => StreamFrame::ResultBody(content),
        BodyPart::End(end) => StreamFrame::ResultBodyEnd(end),
    })
}

fn content_bytes(frame: &StreamFrame) -> u64 {
    match frame {
        StreamFrame::Update { content, .. } | StreamFrame::ResultBody(content) => content.len() as u64,
        _ => 0,
    }
}

/// What a frame takes beside its content.
const FRAME_BYTES: u64 = 8;
