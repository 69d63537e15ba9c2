//! Updates: credit, and those that are kept for a caller that comes later.

use super::*;
use crate::stream_log::StreamLog;

/// A running command with this policy and a window of 10 bytes for each.
fn running(updates: UpdatePolicy) -> (SendQueue, CommandId) {
    let config = SendQueueConfig {
        updates_window_bytes: 10,
        updates_kept_bytes_max: 10,
        ..SendQueueConfig::default()
    };
    let (mut queue, now, peer) = (queue(config), Instant::now(), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let id =
        queue.submit(now, NewCommand { updates, durable: None, ..command(&peer, Class::Normal) }).unwrap();
    settle(&mut queue, now);
    queue.handle_reply(now, &peer, id.key, StreamFrame::Started).unwrap();
    assert_eq!(queue.poll_event(), Some(SendEvent::Started(id.clone())));
    (queue, id)
}

fn update(
    queue: &mut SendQueue,
    id: &CommandId,
    number: u64,
    content: &'static str,
) -> Result<(), ProtocolError> {
    let frame = StreamFrame::Update { number, content: content.into() };
    queue.handle_reply(Instant::now(), &id.receiver, id.key, frame)
}

fn event(id: &CommandId, number: u64, content: &'static str) -> SendEvent {
    SendEvent::Update { id: id.clone(), number, content: content.into() }
}

/// The credits that are said now.
fn credits(queue: &mut SendQueue) -> Vec<u64> {
    let credit = |transmit| match transmit {
        Transmit::Credit { offset, .. } => Some(offset),
        _ => None,
    };
    settle(queue, Instant::now()).1.into_iter().filter_map(credit).collect()
}

#[test]
fn an_update_may_end_beyond_the_credit_but_not_begin_there() {
    let (mut queue, id) = running(UpdatePolicy::Follow);
    update(&mut queue, &id, 1, "123456789").expect("within the credit");
    update(&mut queue, &id, 2, "longer than the window").expect("it began within the credit");
    assert_eq!(update(&mut queue, &id, 3, "x"), Err(ProtocolError::UpdateRefused));
    let mut all = 0;
    for bytes in [9, 22] {
        queue.handle_updates_taken(&id, bytes);
        all += bytes;
        assert_eq!(credits(&mut queue), [all + 10]);
    }
    update(&mut queue, &id, 3, "x").expect("there is credit again");
}

#[test]
fn updates_are_kept_for_a_caller_that_comes_later() {
    let (mut queue, id) = running(UpdatePolicy::Store);
    update(&mut queue, &id, 1, "12345").unwrap();
    update(&mut queue, &id, 2, "67890").unwrap();
    assert_eq!(queue.poll_event(), None);
    let waiting = queue.explain(&id).expect("it runs");
    assert_eq!((waiting.waits_for, waiting.updates_held_bytes), (WaitsFor::Caller, 10), "it presses back");
    queue.follow(&id).unwrap();
    assert_eq!(queue.poll_event(), Some(event(&id, 1, "12345")));
    assert_eq!(queue.poll_event(), Some(event(&id, 2, "67890")));
    queue.handle_updates_taken(&id, 10);
    assert_eq!(credits(&mut queue), [20]);
    update(&mut queue, &id, 3, "as they come").unwrap();
    assert_eq!(queue.poll_event(), Some(event(&id, 3, "as they come")));
    queue.handle_updates_taken(&id, 12);
    queue.unfollow(&id).unwrap();
    update(&mut queue, &id, 4, "kept").unwrap();
    assert_eq!(queue.poll_event(), None);
}

#[test]
fn what_is_kept_comes_before_the_outcome() {
    let (mut queue, id) = running(UpdatePolicy::Store);
    update(&mut queue, &id, 1, "kept").unwrap();
    queue.handle_reply(Instant::now(), &id.receiver, id.key, reply(0)).unwrap();
    let (events, _) = settle(&mut queue, Instant::now());
    assert_eq!(events[0], event(&id, 1, "kept"));
    assert_eq!(outcomes(&events[1..]).len(), 1);
}

#[test]
fn a_new_stream_is_granted_what_the_kept_ones_leave() {
    let now = Instant::now();
    let (mut queue, id) = running(UpdatePolicy::Store);
    update(&mut queue, &id, 1, "1234567890").unwrap();
    queue.handle_link_up(&id.receiver, link_up(1));
    queue.handle_room(&id.receiver, room(100));
    let (_, transmits) = settle(&mut queue, now);
    let [Transmit::Open { head, .. }, ..] = &transmits[..] else { panic!("{transmits:?}") };
    assert_eq!((head.updates_received, head.updates_credit), (1, 10), "it still presses back");
}

#[test]
fn only_updates_that_are_kept_can_be_followed_later() {
    for policy in [UpdatePolicy::Follow, UpdatePolicy::Discard] {
        let (mut queue, id) = running(policy);
        assert!(queue.follow(&id).is_err() && queue.unfollow(&id).is_err());
    }
}

/// A sender and its receiver's log of updates, with a window of 10 bytes.
struct Pair {
    queue: SendQueue,
    id: CommandId,
    log: StreamLog,
    /// Updates that have come to the caller, and how many of their bytes it has not taken.
    seen: Vec<Bytes>,
    untaken: u64,
}

impl Pair {
    fn new(updates: UpdatePolicy) -> Self {
        let (queue, id) = running(updates);
        let mut log = StreamLog::default();
        log.attach(0, 10);
        Self { queue, id, log, seen: Vec::new(), untaken: 0 }
    }

    fn step(&mut self, step: u8, number: u64, records: &mut impl Iterator<Item = Bytes>) {
        match step {
            0 => {
                records.next().map(|record| self.log.push(record));
            }
            1 => {
                if let Some((number, content)) = self.log.poll() {
                    let frame = StreamFrame::Update { number, content };
                    let said = self.queue.handle_reply(Instant::now(), &self.id.receiver, self.id.key, frame);
                    said.expect("the receiver keeps to its credit");
                }
            }
            2 => {
                let bytes = number.min(self.untaken);
                self.untaken -= bytes;
                self.queue.handle_updates_taken(&self.id, bytes);
            }
            3 => {
                self.queue.handle_link_up(&self.id.receiver, link_up(1));
                self.queue.handle_room(&self.id.receiver, room(100));
            }
            4 => drop(self.queue.follow(&self.id)),
            _ => drop(self.queue.unfollow(&self.id)),
        }
        self.exchange();
    }

    /// Carries what both have to say.
    fn exchange(&mut self) {
        let (events, transmits) = settle(&mut self.queue, Instant::now());
        for event in events {
            if let SendEvent::Update { number, content, .. } = event {
                self.untaken += content.len() as u64;
                self.seen.push(content);
                assert_eq!(number, self.seen.len() as u64);
            }
        }
        for transmit in transmits {
            match transmit {
                Transmit::Open { head, .. } => {
                    self.log.attach(head.updates_received, head.updates_credit);
                    let (peer, key) = (&self.id.receiver, self.id.key);
                    self.queue.handle_reply(Instant::now(), peer, key, reply(1)).expect("an allowed word");
                }
                Transmit::Received { updates, .. } => {
                    self.log.acknowledge(updates);
                }
                Transmit::Credit { offset, .. } => self.log.grant(offset),
                _ => {}
            }
        }
    }
}

proptest! {
    /// Whatever is lost, kept and taken late: both sides agree on the credit, and each update comes once, in order.
    #[test]
    fn both_sides_agree_on_the_credit_and_every_update_comes_once(
        is_stored in any::<bool>(),
        lengths in prop::collection::vec(1..30_usize, 0..20),
        steps in prop::collection::vec((0..6_u8, 0..40_u64), 0..150),
    ) {
        let mut pair = Pair::new(if is_stored { UpdatePolicy::Store } else { UpdatePolicy::Follow });
        let all: Vec<_> = lengths.iter().map(|length| Bytes::from(vec![7; *length])).collect();
        let mut records = all.clone().into_iter();
        for (step, number) in steps {
            pair.step(step, number, &mut records);
        }
        for _ in 0..=all.len() {
            for step in [4, 0, 1, 2] {
                pair.step(step, u64::MAX, &mut records);
            }
        }
        while pair.seen.len() < all.len() {
            let before = pair.seen.len();
            pair.step(1, 0, &mut records);
            pair.step(2, u64::MAX, &mut records);
            prop_assert!(pair.seen.len() > before, "stuck at {before}");
        }
        prop_assert_eq!(pair.seen, all);
    }
}
