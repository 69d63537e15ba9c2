//! The send queue against its promises: single rules, and random histories against a plain model.

mod batches;
mod bodies;
mod bounds;
mod credits;
mod early;
mod ends;
mod explain;
mod stored;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use runnel_codec::{BusyScope, ClassMap, LinkNumber, UnknownReason, UpdatePolicy};

use std::time::Duration;

use super::transmit::BUSY_PAUSE_MAX;
use super::*;
use crate::clock::ClockReading;
use crate::journal::BatchId;
use crate::store::StoreRow;

const CLOCK: ClockReading =
    ClockReading { machine: 1, uptime: Duration::from_secs(9), wall: Duration::from_secs(99) };

const NAME: &str = "test.note/1";

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn command(to: &NodeId, class: Class) -> NewCommand {
    NewCommand {
        to: to.clone(),
        class,
        name: NAME.parse().unwrap(),
        idempotent: false,
        is_message: false,
        args: Bytes::from_static(b"args"),
        payload: Bytes::new(),
        has_body: false,
        body_repeats: false,
        body_held_bytes: 0,
        wants_result_body: false,
        updates: UpdatePolicy::Follow,
        steps: true,
        deadline: None,
        durable: Some(Box::default()),
    }
}

fn link_up(receiver: u64) -> LinkUp {
    LinkUp {
        link: LinkNumber::FIRST,
        boot: Epoch::from_random(receiver),
        receiver: None,
        journaled: Reach::default(),
        takes_batches: true,
        commands: [NAME.parse().unwrap()].into(),
        args_bytes_max: 64 << 10,
        payload_bytes_max: 1 << 20,
    }
}

fn room(places: usize) -> Room {
    Room { places, budget: ClassMap::new([u64::MAX; 5]), piece_bytes: 64 << 10 }
}

fn queue(config: SendQueueConfig) -> SendQueue {
    let mut queue = SendQueue::new(config, node("ctl"), Epoch::from_random(6), 1);
    queue.recover(Instant::now(), &CLOCK, &StoreRow::new(Epoch::from_random(7)), &[]);
    // What can wait goes at once.
    queue.handle_draining();
    queue
}

/// Stores and drains until nothing moves.
fn settle(queue: &mut SendQueue, now: Instant) -> (Vec<SendEvent>, Vec<Transmit>) {
    let (mut events, mut transmits) = (Vec::new(), Vec::new());
    loop {
        let before = (events.len(), transmits.len());
        transmits.extend(std::iter::from_fn(|| queue.poll_transmit(now)));
        let mut is_idle = true;
        while let Some(batch) = queue.poll_store(now, &CLOCK) {
            is_idle = false;
            queue.handle_stored(now, batch.id);
        }
        let said: Vec<_> = std::iter::from_fn(|| queue.poll_event()).collect();
        for (id, _) in outcomes(&said) {
            // Of those that do not outlive the process none is kept.
            queue.handle_outcome_taken(now, &id).ok();
        }
        events.extend(said);
        if is_idle && before == (events.len(), transmits.len()) {
            return (events, transmits);
        }
    }
}

fn opened(transmits: &[Transmit]) -> Vec<(NodeId, CommandKey)> {
    let open = |transmit: &Transmit| match transmit {
        Transmit::Open { peer, key, .. } => Some((peer.clone(), *key)),
        _ => None,
    };
    transmits.iter().filter_map(open).collect()
}

fn outcomes(events: &[SendEvent]) -> Vec<(CommandId, Outcome)> {
    let outcome = |event: &SendEvent| match event {
        SendEvent::Outcome { id, outcome } => Some((id.clone(), outcome.clone())),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

#[test]
fn a_command_cancelled_in_line_does_not_hold_up_those_behind_it() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    let first = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    let second = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    queue.cancel(&first).expect("it is in the queue");
    assert_eq!(outcomes(&settle(&mut queue, now).0), [(first, Outcome::Cancelled)]);
    assert_eq!(queue.explain(&second).and_then(|waiting| waiting.position), Some(0));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    assert_eq!(opened(&settle(&mut queue, now).1), [(peer, second.key)]);
}

#[test]
fn busy_pauses_its_scope_alone_and_for_a_bounded_time() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let bulk = queue.submit(now, command(&peer, Class::Bulk)).unwrap();
    settle(&mut queue, now);
    let busy = StreamFrame::Busy { scope: BusyScope::Class, retry_after: Duration::MAX };
    queue.handle_reply(now, &peer, bulk.key, busy).expect("an allowed word");
    let high = queue.submit(now, command(&peer, Class::High)).unwrap();
    assert_eq!(opened(&settle(&mut queue, now).1), [(peer.clone(), high.key)]);
    let until = queue.poll_timeout().expect("the pause ends");
    assert!(until > now && until <= now + BUSY_PAUSE_MAX * 2);
    queue.handle_timeout(until);
    assert_eq!(opened(&settle(&mut queue, until).1), [(peer, bulk.key)]);
}

#[test]
fn the_pause_before_a_command_is_sent_again_grows_until_it_is_answered() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(1000));
    let id = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    let lose = |queue: &mut SendQueue| {
        queue.handle_stream_lost(now, &peer, id.key);
        let at = queue.explain(&id).and_then(|waiting| waiting.resend_at).expect("it is sent again");
        queue.handle_timeout(at);
        assert_eq!(opened(&settle(queue, now).1).len(), 1);
        (at - now).as_millis()
    };
    let pauses: Vec<_> = (0..8).map(|_| lose(&mut queue)).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    queue.handle_reply(now, &peer, id.key, reply(1)).unwrap();
    assert_eq!([lose(&mut queue), lose(&mut queue)], [100, 200]);
}

#[test]
fn the_last_places_are_for_urgent() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(32));
    queue.submit(now, command(&peer, Class::High)).unwrap();
    let urgent = queue.submit(now, command(&peer, Class::Urgent)).unwrap();
    assert_eq!(opened(&settle(&mut queue, now).1), [(peer, urgent.key)]);
}

#[test]
fn a_reply_to_what_was_never_sent_is_ignored() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    let id = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    queue.handle_reply(now, &peer, id.key, StreamFrame::Outcome(Outcome::Expired)).expect("ignored");
    assert!(outcomes(&settle(&mut queue, now).0).is_empty());
}

#[test]
fn a_new_receiver_epoch_loses_what_was_sent_and_nothing_else() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let sent = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    queue.handle_link_down(now, &peer);
    let unbound = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    queue.handle_link_up(&peer, link_up(2));
    queue.handle_room(&peer, room(100));
    let (events, transmits) = settle(&mut queue, now);
    assert_eq!(outcomes(&events), [(sent, Outcome::Unknown(UnknownReason::ReceiverStateLost))]);
    assert_eq!(opened(&transmits), [(peer, unbound.key)]);
}

#[test]
fn what_never_left_outlives_the_receiver_that_it_was_bound_to() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    let first = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    let second = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    // The second one's binding is being stored when the receiver is replaced.
    let batch = queue.poll_store(now, &CLOCK).expect("two records");
    queue.handle_link_up(&peer, link_up(2));
    queue.handle_stored(now, batch.id);
    queue.handle_room(&peer, room(100));
    let (events, transmits) = settle(&mut queue, now);
    assert!(outcomes(&events).is_empty(), "{events:?}");
    assert_eq!(opened(&transmits), [(peer.clone(), first.key), (peer, second.key)]);
}

#[test]
fn what_a_receiver_was_too_busy_for_outlives_it() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let id = queue.submit(now, command(&peer, Class::Normal)).unwrap();
    settle(&mut queue, now);
    let busy = StreamFrame::Busy { scope: BusyScope::Peer, retry_after: Duration::from_secs(1) };
    queue.handle_reply(now, &peer, id.key, busy).expect("a word of a receiver");
    queue.handle_link_up(&peer, link_up(2));
    queue.handle_room(&peer, room(100));
    let (events, transmits) = settle(&mut queue, now);
    assert!(outcomes(&events).is_empty(), "{events:?}");
    assert_eq!(opened(&transmits), [(peer.clone(), id.key)]);

    // Sent to the new one and not answered: now nobody knows.
    queue.handle_link_up(&peer, link_up(3));
    let (events, _) = settle(&mut queue, now);
    assert_eq!(outcomes(&events), [(id, Outcome::Unknown(UnknownReason::ReceiverStateLost))]);
}

#[test]
fn a_deadline_without_end_is_none() {
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    let endless = NewCommand { deadline: Some(Duration::MAX), ..command(&peer, Class::Normal) };
    queue.submit(Instant::now(), endless).unwrap();
    assert_eq!(queue.poll_timeout(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Submit { peer: usize, class: Class, idempotent: bool, deadline_ms: Option<u64> },
    Cancel(prop::sample::Index),
    Abandon(prop::sample::Index),
    Release(prop::sample::Index),
    Slept(u64),
    Up { peer: usize, receiver: u64 },
    Down(usize),
    Room { peer: usize, places: usize },
    Reply { at: prop::sample::Index, word: u8 },
    Lost(prop::sample::Index),
    Store,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..3usize;
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => (peer.clone(), 0..5u8, any::<bool>(), prop::option::of(1..500u64)).prop_map(
            |(peer, class, idempotent, deadline_ms)| {
                Step::Submit { peer, class: Class::from_wire(class).unwrap(), idempotent, deadline_ms }
            }
        ),
        1 => index().prop_map(Step::Abandon),
        1 => index().prop_map(Step::Release),
        1 => (1..300u64).prop_map(Step::Slept),
        1 => index().prop_map(Step::Cancel),
        2 => (peer.clone(), 1..3u64).prop_map(|(peer, receiver)| Step::Up { peer, receiver }),
        1 => peer.clone().prop_map(Step::Down),
        3 => (peer, 0..40usize).prop_map(|(peer, places)| Step::Room { peer, places }),
        6 => (index(), 0..6u8).prop_map(|(at, word)| Step::Reply { at, word }),
        1 => index().prop_map(Step::Lost),
        6 => Just(Step::Store),
        2 => (1..300u64).prop_map(Step::Wait),
    ]
}

/// What anybody can say about the queue from outside, in the plainest words.
struct Model {
    queue: SendQueue,
    config: SendQueueConfig,
    now: Instant,
    ids: Vec<CommandId>,
    stored: BTreeSet<CommandId>,
    sent: BTreeSet<CommandId>,
    outcomes: BTreeMap<CommandId, Outcome>,
    batches: Vec<BatchId>,
}

impl Model {
    fn new() -> Self {
        let config = SendQueueConfig {
            commands_max: 12,
            peer_commands_max: 8,
            class_commands_max: 6,
            peer_commands_min: 2,
            ..SendQueueConfig::default()
        };
        Self {
            queue: queue(config.clone()),
            config,
            now: Instant::now(),
            ids: Vec::new(),
            stored: BTreeSet::new(),
            sent: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            batches: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Submit { peer, class, idempotent, deadline_ms } => {
                let deadline = deadline_ms.map(Duration::from_millis);
                let is_message = deadline.is_none();
                let updates = if is_message { UpdatePolicy::Discard } else { UpdatePolicy::Follow };
                let new =
                    NewCommand { deadline, idempotent, is_message, updates, ..command(&worker(peer), class) };
                self.ids.extend(self.queue.submit(now, new));
            }
            Step::Cancel(at) => self.with_id(at, |queue, id| {
                // What has ended is not found, which is as good here.
                let _ = queue.cancel(id);
            }),
            Step::Abandon(at) => self.with_id(at, |queue, id| {
                let _ = queue.abandon(id);
            }),
            Step::Release(at) => self.with_id(at, |queue, id| {
                let _ = queue.release(id);
            }),
            Step::Slept(ms) => self.queue.handle_slept(Duration::from_millis(ms)),
            Step::Up { peer, receiver } => self.queue.handle_link_up(&worker(peer), link_up(receiver)),
            Step::Down(peer) => self.queue.handle_link_down(now, &worker(peer)),
            Step::Room { peer, places } => self.queue.handle_room(&worker(peer), room(places)),
            Step::Reply { at, word } => self.with_id(at, |queue, id| {
                queue.handle_reply(now, &id.receiver, id.key, reply(word)).expect("an allowed word");
            }),
            Step::Lost(at) => {
                self.with_id(at, |queue, id| queue.handle_stream_lost(now, &id.receiver, id.key))
            }
            Step::Store => {
                let batches = std::mem::take(&mut self.batches);
                batches.into_iter().for_each(|batch| self.queue.handle_stored(self.now, batch));
            }
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.queue.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn with_id(&mut self, at: prop::sample::Index, act: impl FnOnce(&mut SendQueue, &CommandId)) {
        if !self.ids.is_empty() {
            act(&mut self.queue, &self.ids[at.index(self.ids.len())]);
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.queue.poll_event() {
            match event {
                SendEvent::Stored(id) => assert!(self.stored.insert(id), "stored once"),
                SendEvent::Sent(id) => {
                    self.sent.insert(id);
                }
                SendEvent::Outcome { id, outcome } => {
                    assert!(self.stored.contains(&id), "an end comes after the storing");
                    if outcome.is_never() && !matches!(outcome, Outcome::Rejected(_)) {
                        assert!(!self.sent.contains(&id), "only the receiver ends what has left");
                    }
                    if matches!(outcome, Outcome::Done { .. }) {
                        assert!(self.sent.contains(&id), "nothing is done that has not left");
                    }
                    self.queue.handle_outcome_taken(self.now, &id).expect("it is kept until it is taken");
                    assert_eq!(self.outcomes.insert(id, outcome), None, "one outcome");
                }
                SendEvent::Late { id, .. } => {
                    assert!(self.ids.contains(&id), "it was here")
                }
                SendEvent::Again(id) => {
                    assert!(self.sent.contains(&id) && !self.outcomes.contains_key(&id));
                }
                _ => {}
            }
        }
        while let Some(transmit) = self.queue.poll_transmit(self.now) {
            let (peer, keys) = match transmit {
                Transmit::Open { peer, key, .. } => (peer, vec![key]),
                Transmit::Batch { peer, heads, .. } => (peer, heads.iter().map(|head| head.key).collect()),
                _ => continue,
            };
            for key in keys {
                let id = CommandId { sender: node("ctl"), receiver: peer.clone(), key };
                assert!(self.stored.contains(&id), "never sent before it is stored");
                assert!(!self.outcomes.contains_key(&id), "never sent after its end");
            }
        }
        self.batches
            .extend(std::iter::from_fn(|| self.queue.poll_store(self.now, &CLOCK)).map(|batch| batch.id));
        self.check_bounds();
    }

    fn check_bounds(&self) {
        let counts = self.queue.counts();
        let open: Vec<_> = self.ids.iter().filter(|id| !self.outcomes.contains_key(id)).collect();
        assert_eq!(counts.queued + counts.in_flight, open.len(), "none is lost, none is left over");
        assert!(open.len() <= self.config.commands_max + 3 * self.config.peer_commands_min);
        for peer in 0..3 {
            let count = open.iter().filter(|id| id.receiver == worker(peer)).count();
            assert!(count <= self.config.peer_commands_max);
        }
    }

    /// The network heals: every command must end, however its history went.
    fn finish(&mut self) {
        for peer in 0..3 {
            self.apply(Step::Up { peer, receiver: 1 });
        }
        for _ in 0..20 {
            for peer in 0..3 {
                self.apply(Step::Room { peer, places: 100 });
            }
            self.apply(Step::Store);
            self.apply(Step::Wait(60_000));
            for id in self.ids.clone() {
                // What is held for the links that died goes on only by somebody's word.
                let _ = self.queue.release(&id);
                self.queue.handle_reply(self.now, &id.receiver, id.key, reply(0)).expect("an allowed word");
            }
            self.drain();
        }
        let ended: BTreeSet<_> = self.outcomes.keys().cloned().collect();
        assert_eq!(ended, self.ids.iter().cloned().collect(), "every command ends");
        assert!(self.queue.is_empty());
        assert_eq!(self.queue.total, TotalUsage::default(), "and leaves nothing in the bounds");
    }
}

fn worker(number: usize) -> NodeId {
    node(&format!("w{number}"))
}

fn reply(word: u8) -> StreamFrame {
    match word {
        0 => StreamFrame::Outcome(Outcome::Done { result: Bytes::new() }),
        1 => StreamFrame::Accepted { body_received: 0, body_credit: 0 },
        2 => StreamFrame::Started,
        3 => StreamFrame::Busy { scope: BusyScope::Peer, retry_after: Duration::from_millis(50) },
        4 => StreamFrame::Busy { scope: BusyScope::Class, retry_after: Duration::from_millis(50) },
        _ => StreamFrame::Duplicate,
    }
}

proptest! {
    #[test]
    fn every_history_keeps_the_promises(steps in prop::collection::vec(step(), 0..150)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
        }
        model.finish();
    }
}
