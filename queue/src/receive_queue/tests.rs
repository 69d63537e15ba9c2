//! The receive queue against the protocol's rules, one test a rule; `history` holds it against a plain model.
//! Here is what they share: a queue with its driver and clock, and heads.

mod admission;
mod batches;
mod drain;
mod history;
mod journal;
mod progress;
mod restart;
mod stored;

use std::time::Duration;

use runnel_codec::{Class, ClassMap, Epoch, FailureKind, RejectionKind, Seq, UpdatePolicy};

use super::*;
use crate::clock::ClockReading;
use crate::room::Room;
use crate::store::StoreRow;

const CLOCK: ClockReading =
    ClockReading { machine: 1, uptime: Duration::from_secs(9), wall: Duration::from_secs(99) };

/// A receive queue, its driver and its clock.
struct Rig {
    queue: ReceiveQueue,
    now: Instant,
}

/// What a queue had to say.
#[derive(Debug, Default)]
struct Said {
    starts: Vec<CommandKey>,
    stops: Vec<(CommandKey, StopReason)>,
    /// Stream, frame, and whether it is the last.
    replies: Vec<(u64, StreamFrame, bool)>,
    rooms: Vec<(CommandKey, usize)>,
}

/// Brings a command to the queue, or does something to one.
type Bring<'a> = &'a dyn Fn(&mut Rig);

impl Rig {
    /// A queue with a link from `ctl` up.
    fn new(config: ReceiveQueueConfig) -> Self {
        let mut queue = new_queue(config);
        queue.handle_link_up(&ctl(), link(1), key(1).epoch, Some(key(1).epoch), &[]);
        queue.handle_room(&ctl(), room());
        Self { queue, now: Instant::now() }
    }

    /// Brings a head on a stream of link 1.
    fn head(&mut self, stream: u64, head: Head) {
        self.head_on(1, stream, head);
    }

    fn head_on(&mut self, link_number: u64, stream: u64, head: Head) {
        self.queue.handle_head(self.now, &ctl(), at(link_number, stream), head, Bytes::new());
    }

    /// Brings commands and runs until their handlers are called.
    fn running(config: ReceiveQueueConfig, count: u64) -> Self {
        let mut rig = Self::new(config);
        for number in 1..=count {
            rig.head(number, head(number));
        }
        assert_eq!(rig.turn().starts.len() as u64, count);
        rig
    }

    /// Drains without storing anything.
    fn drain(&mut self) -> Said {
        let queue = &mut self.queue;
        Said {
            starts: std::iter::from_fn(|| queue.poll_start()).map(|start| start.key).collect(),
            stops: std::iter::from_fn(|| queue.poll_stop()).map(|stop| (stop.key, stop.reason)).collect(),
            rooms: std::iter::from_fn(|| queue.poll_freed()).map(|freed| (freed.key, freed.bytes)).collect(),
            replies: std::iter::from_fn(|| queue.poll_reply())
                .map(|reply| (reply.at.stream, reply.frame, reply.is_last))
                .collect(),
        }
    }

    /// Stores everything, until nothing moves, and drains.
    fn turn(&mut self) -> Said {
        loop {
            match self.queue.poll_store(self.now, &CLOCK) {
                Some(batch) => self.queue.handle_stored(batch.id),
                None => return self.drain(),
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.queue.handle_timeout(self.now);
    }

    fn cancel(&mut self, number: u64) {
        self.queue.handle_cancel(self.now, &ctl(), key(number));
    }

    fn update(&mut self, number: u64, content: &'static str) {
        self.queue.handle_update(&ctl(), key(number), content.into());
    }

    fn finish(&mut self, number: u64, outcome: Outcome) {
        self.queue.handle_finished(&ctl(), key(number), outcome);
    }

    fn settle(&mut self, low: u64) {
        self.queue.handle_settled(&ctl(), &settled(low));
    }
}

/// A queue with an empty store.
fn new_queue(config: ReceiveQueueConfig) -> ReceiveQueue {
    let mut queue = ReceiveQueue::new(config, 1);
    queue.recover(Instant::now(), &CLOCK, &StoreRow::new(Epoch::from_random(99)), &[]);
    // What can wait to be stored goes at once.
    queue.durable.close();
    queue
}

impl Said {
    /// Frames of one stream.
    fn on(&self, stream: u64) -> Vec<StreamFrame> {
        self.replies.iter().filter(|(at, ..)| *at == stream).map(|(_, frame, _)| frame.clone()).collect()
    }

    #[track_caller]
    fn assert_last(&self, stream: u64, expected: &StreamFrame) {
        let last = self.replies.iter().rfind(|(at, ..)| *at == stream);
        assert_eq!(last.map(|(_, frame, is_last)| (frame, *is_last)), Some((expected, true)), "{self:?}");
    }

    fn is_silent(&self) -> bool {
        self.starts.is_empty() && self.stops.is_empty() && self.replies.is_empty() && self.rooms.is_empty()
    }
}

/// A link that can take anything.
fn room() -> Room {
    Room { places: 0, budget: ClassMap::new([u64::MAX; 5]), piece_bytes: 64 << 10 }
}

fn ctl() -> NodeId {
    node("ctl")
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn link(number: u64) -> LinkNumber {
    LinkNumber::from_wire(number).unwrap()
}

fn at(link_number: u64, stream: u64) -> Attachment {
    Attachment { link: link(link_number), stream, is_batch: false }
}

fn key(number: u64) -> CommandKey {
    CommandKey { epoch: Epoch::from_random(7), seq: Seq::from_wire(number).unwrap() }
}

fn settled(low: u64) -> Settled {
    Settled { epoch: key(1).epoch, low: Seq::from_wire(low), ranges: Vec::new() }
}

fn head(number: u64) -> Head {
    Head {
        key: key(number),
        class: Class::Normal,
        name: "test.note/1".parse().unwrap(),
        idempotent: false,
        cancelled: false,
        resent: false,
        started: false,
        early: false,
        updates: UpdatePolicy::Follow,
        deadline_remaining: None,
        updates_received: 0,
        result_body_received: 0,
        updates_credit: 100,
        result_body_credit: 0,
        payload_bytes: 0,
        has_body: false,
        args: Bytes::from_static(b"args"),
    }
}

fn urgent(number: u64) -> Head {
    Head { class: Class::Urgent, ..head(number) }
}

fn cancelled(number: u64) -> Head {
    Head { cancelled: true, ..head(number) }
}

fn due_in(number: u64, remaining: Duration) -> Head {
    Head { deadline_remaining: Some(remaining), ..head(number) }
}

fn done(result: &'static str) -> Outcome {
    Outcome::Done { result: result.into() }
}

fn update(number: u64, content: &'static str) -> StreamFrame {
    StreamFrame::Update { number, content: content.into() }
}

fn busy_scope(frames: &[StreamFrame]) -> Option<BusyScope> {
    match frames {
        [StreamFrame::Busy { scope, .. }] => Some(*scope),
        _ => None,
    }
}

const ACCEPTED: StreamFrame = StreamFrame::Accepted { body_received: 0, body_credit: 0 };

fn config() -> ReceiveQueueConfig {
    ReceiveQueueConfig::default()
}

/// Bounds of one command for each sender, with nothing that softens them.
fn narrow() -> ReceiveQueueConfig {
    ReceiveQueueConfig { sender_commands_max: 1, urgent_reserve: 0, sender_commands_min: 0, ..config() }
}
