//! What the receive queue writes back below Urgent: updates and result bodies, as far as credit and the link's budget go.
//!
//! They share the link with what this node sends itself, so they wait for their turn like that: by class, then by peer,
//! then by command. An outcome waits for what goes before it, and for nothing else.

use runnel_codec::{Class, NodeId, Part, StreamFrame};

use super::ReceiveQueue;
use super::command::{Known, State};
use super::words::{Freed, Reply};
use crate::body_log::BodyPart;
use crate::peers::{LocalId, PeerIndex};
use crate::room::Room;

impl ReceiveQueue {
    /// Says what the link to a sender can take now.
    pub fn handle_room(&mut self, peer: &NodeId, room: Room) {
        let Some(peer) = self.senders.find(peer) else { return };
        let sender = &mut self.senders[peer];
        sender.room = room;
        for class in Class::ALL {
            if !sender.writers[class].is_empty() {
                self.scheduler.activate(class, peer);
            }
        }
    }

    /// Looks what a command has to write: its turn will come, or its outcome is said at once.
    pub(super) fn pump(&mut self, id: LocalId) {
        let sender = &mut self.senders[id.peer];
        let Some(known) = sender.known.get_mut(id.key) else { return };
        let Some(at) = known.at else { return };
        if let (Some(_), Some(class)) = (known.writable(), known.bulk_class()) {
            if !std::mem::replace(&mut known.is_in_ring, true) {
                sender.writers[class].push_back(id.key);
                self.scheduler.activate(class, id.peer);
            }
        } else if let State::Ended(outcome) = &known.state
            && known.is_written()
        {
            let frame = StreamFrame::Outcome(outcome.clone());
            // The stream is done; a further head gets the same answer on its own stream.
            known.at = None;
            self.reply_last(id, at, frame);
        }
    }

    /// Writes what goes next, if any link has room for it.
    pub(super) fn write_next(&mut self) -> Option<Reply> {
        loop {
            let senders = &self.senders;
            let cost = |class, peer: PeerIndex| {
                let sender = &senders[peer];
                let piece = sender.room.piece(class)?;
                let bytes = sender.known.get(*sender.writers[class].front()?)?.writable()?;
                Some(bytes.min(piece) + FRAME_BYTES)
            };
            let (class, peer) = self.scheduler.next(cost)?;
            if let Some(reply) = self.write(class, peer) {
                return Some(reply);
            }
        }
    }

    /// Takes a command out of the ring of those that have something to write.
    pub(super) fn leave_ring(&mut self, id: LocalId) {
        let sender = &mut self.senders[id.peer];
        let Some(known) = sender.known.get_mut(id.key) else { return };
        if let (true, Some(class)) = (std::mem::take(&mut known.is_in_ring), known.bulk_class()) {
            sender.writers[class].retain(|other| *other != id.key);
        }
    }

    pub(super) fn give_room(&mut self, id: LocalId, part: Part, bytes: usize) {
        if bytes > 0 {
            let from = self.senders.name(id.peer).clone();
            self.freed.push_back(Freed { from, key: id.key, part, bytes });
        }
    }

    fn write(&mut self, class: Class, peer: PeerIndex) -> Option<Reply> {
        let sender = &mut self.senders[peer];
        let piece_bytes = sender.room.piece(class)?;
        let key = sender.writers[class].pop_front()?;
        let known = sender.known.get_mut(key)?;
        known.is_in_ring = false;
        let at = known.at?;
        let frame = next_frame(known, piece_bytes);
        if let Some(frame) = &frame {
            sender.room.use_bytes(content_bytes(frame));
        }
        self.pump(LocalId { peer, key });
        Some(Reply { peer: self.senders.name(peer).clone(), at, frame: frame?, is_last: false })
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
