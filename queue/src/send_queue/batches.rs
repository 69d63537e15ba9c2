//! Small messages that share a stream: what a peer's class has to say in one go leaves as one batch.
//!
//! The scheduler chooses them one by one, like all others. Those for one peer and class gather until nothing more can be
//! chosen or the batch is full: nobody waits for more to come. How far they have come is said in ranges.

use std::time::Instant;

use runnel_codec::{
    BATCH_BYTES_MAX, Class, ClassMap, Head, NodeId, Outcome, Reached, Step, StreamFrame, UpdatePolicy,
    message_encoded_len,
};

use super::SendQueue;
use super::entry::{Entry, NewCommand};
use super::peer::Peer;
use super::words::Transmit;
use crate::config::SendQueueConfig;
use crate::error::ProtocolError;
use crate::peers::{LocalId, PeerIndex};

/// Messages of one class that leave together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    heads: Vec<Head>,
    /// What they take on the stream.
    bytes: usize,
}

impl SendQueue {
    /// A receiver has said how far messages of batches have come. Those that have ended, or were never sent, are passed over.
    ///
    /// # Errors
    ///
    /// See [`ProtocolError`].
    pub fn handle_reached(
        &mut self,
        now: Instant,
        peer: &NodeId,
        reached: &Reached,
    ) -> Result<(), ProtocolError> {
        let Some(peer) = self.peers.find(peer) else { return Ok(()) };
        for range in &reached.ranges {
            let found = self.peers[peer].entries.range(reached.epoch, *range);
            for key in found.map(|(key, _)| key).collect::<Vec<_>>() {
                self.handle_word(now, LocalId { peer, key }, frame_of(reached.step))?;
            }
        }
        Ok(())
    }

    /// Adds a message to the batch of its class. Returns the one before it if that has no room for it.
    pub(super) fn gather(&mut self, peer: PeerIndex, head: Head) -> Option<Transmit> {
        let (class, bytes) = (head.class, message_encoded_len(&head));
        let Peer { batches, room, .. } = &mut self.peers[peer];
        let batch = &mut batches[class];
        let full = if batch.has_room(bytes) { None } else { std::mem::take(batch).into_transmit() };
        if batch.heads.is_empty() {
            room.places = room.places.saturating_sub(1);
            self.gathering.push_back((peer, class));
        }
        batch.heads.push(head);
        batch.bytes += bytes;
        full.map(|(class, heads)| self.transmit_of(peer, class, heads))
    }

    /// Returns the next batch to which nothing more comes for now.
    pub(super) fn poll_batch(&mut self) -> Option<Transmit> {
        while let Some((peer, class)) = self.gathering.pop_front() {
            let batch = std::mem::take(&mut self.peers[peer].batches[class]);
            if let Some((class, heads)) = batch.into_transmit() {
                return Some(self.transmit_of(peer, class, heads));
            }
        }
        None
    }

    /// One alone has a stream of its own, on which it is answered.
    fn transmit_of(&self, peer: PeerIndex, class: Class, mut heads: Vec<Head>) -> Transmit {
        let peer = self.peers.name(peer).clone();
        match heads.pop() {
            Some(head) if heads.is_empty() => {
                Transmit::Open { peer, key: head.key, head, payload: Default::default() }
            }
            last => {
                heads.extend(last);
                Transmit::Batch { peer, class, heads }
            }
        }
    }
}

impl Batch {
    /// Returns whether one more message of so many bytes fits in.
    fn has_room(&self, bytes: usize) -> bool {
        STREAM_KIND_BYTES + self.bytes + bytes <= BATCH_BYTES_MAX
    }

    fn into_transmit(self) -> Option<(Class, Vec<Head>)> {
        let class = self.heads.first()?.class;
        Some((class, self.heads))
    }
}

impl Peer {
    /// Returns whether a command may leave in a batch.
    pub(super) fn may_batch(&self, entry: &Entry) -> bool {
        entry.is_small_message
            && entry.links_died <= LINKS_DIED_MAX
            && self.presumed.is_none()
            && self.link.as_ref().is_some_and(|link| link.takes_batches)
    }

    /// Returns whether a command needs no stream place of its own: a batch that is being gathered has one.
    pub(super) fn joins_batch(&self, entry: &Entry) -> bool {
        let batch = &self.batches[entry.command.class];
        let bytes = entry.command.args.len() + HEAD_BYTES_LONGEST;
        !batch.heads.is_empty() && batch.has_room(bytes) && self.may_batch(entry)
    }

    /// Returns the stream places that batches will take that are being gathered.
    pub(super) fn places_gathered(&self) -> usize {
        self.batches.iter().filter(|(_, batch)| !batch.heads.is_empty()).count()
    }

    /// The link is another one, or gone: what was gathered for it is sent again like all that was on it.
    pub(super) fn drop_batches(&mut self) {
        self.batches = ClassMap::default();
    }
}

/// Returns whether a command may share a stream with others: it is a message, small, and needs nothing else of its stream.
/// What is urgent goes alone, since a stream of its own is copied where packets are lost.
pub(super) fn is_small_message(config: &SendQueueConfig, command: &NewCommand) -> bool {
    command.is_message
        && command.class != Class::Urgent
        && command.args.len() <= config.batched_bytes_max.min(BATCHED_BYTES_LONGEST)
        && command.payload.is_empty()
        && !command.has_body
        && !command.wants_result_body
        && command.updates == UpdatePolicy::Discard
}

/// Returns what would be said on a stream of a message that has come so far.
fn frame_of(step: Step) -> StreamFrame {
    match step {
        Step::Accepted => StreamFrame::Accepted { body_received: 0, body_credit: 0 },
        Step::Started => StreamFrame::Started,
        Step::Done => StreamFrame::Outcome(Outcome::Done { result: Default::default() }),
    }
}

/// The kind of a stream takes as much.
const STREAM_KIND_BYTES: usize = 1;

/// The longest head takes no more beside its arguments.
const HEAD_BYTES_LONGEST: usize = 256;

/// Longest arguments in a batch: at least two of them fit in one.
const BATCHED_BYTES_LONGEST: usize = BATCH_BYTES_MAX / 2 - HEAD_BYTES_LONGEST;

/// Links that may have died after a message before it goes alone: it may be what they died of.
const LINKS_DIED_MAX: u32 = 1;
