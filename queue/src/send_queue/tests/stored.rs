//! What is stored of durable commands: until when, and what another process finds of it.

use super::*;
use crate::error::KeyConflict;
use crate::store::{Change, Idempotency, Row, RowKey};

/// A queue and a store that takes every batch at once.
struct Stored {
    queue: SendQueue,
    now: Instant,
    rows: BTreeMap<RowKey, Row>,
}

impl Stored {
    fn new() -> Self {
        let mut stored =
            Self { queue: queue(SendQueueConfig::default()), now: Instant::now(), rows: BTreeMap::new() };
        stored.meet();
        stored
    }

    fn meet(&mut self) {
        let up = LinkUp { receiver: Some(Epoch::from_random(50)), ..link_up(1) };
        self.queue.handle_link_up(&node("w1"), up);
        self.queue.handle_room(&node("w1"), room(100));
    }

    /// Stores and drains until nothing moves. Outcomes are not taken.
    fn turn(&mut self) -> (Vec<SendEvent>, Vec<Transmit>) {
        let (mut events, mut transmits) = (Vec::new(), Vec::new());
        loop {
            transmits.extend(std::iter::from_fn(|| self.queue.poll_transmit(self.now)));
            let batch = self.queue.poll_store(self.now, &CLOCK);
            let Some(batch) = batch else {
                events.extend(std::iter::from_fn(|| self.queue.poll_event()));
                return (events, transmits);
            };
            for change in batch.changes {
                match change {
                    Change::Put(row) => drop(self.rows.insert(row.key(), row)),
                    Change::Delete(key) => drop(self.rows.remove(&key)),
                }
            }
            self.queue.handle_stored(self.now, batch.id);
        }
    }

    /// Another process goes on from the rows, at this reading of the clocks.
    fn restart(mut self, clock: ClockReading) -> Self {
        let rows: Vec<_> = self.rows.values().cloned().collect();
        self.queue = SendQueue::new(SendQueueConfig::default(), node("ctl"), Epoch::from_random(60), 2);
        self.queue.recover(self.now, &clock, &StoreRow::new(Epoch::from_random(7)), &rows);
        self.queue.handle_draining();
        self
    }

    fn submit(&mut self, new: NewCommand) -> CommandId {
        let id = self.queue.submit(self.now, new).expect("there is room");
        self.turn();
        id
    }

    fn reply(&mut self, id: &CommandId, frame: StreamFrame) {
        self.queue.handle_reply(self.now, &id.receiver, id.key, frame).expect("an allowed word");
    }

    /// The command's outcome comes and is stored.
    fn end(&mut self, id: &CommandId) -> Vec<SendEvent> {
        self.reply(id, StreamFrame::Outcome(done()));
        self.turn().0
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.queue.handle_timeout(self.now);
        self.turn();
    }
}

fn done() -> Outcome {
    Outcome::Done { result: "result".into() }
}

fn named(key: &str, fingerprint: u8) -> Idempotency {
    Idempotency { key: key.to_owned(), fingerprint: [fingerprint; 32] }
}

fn new(idempotency: Option<Idempotency>, updates: UpdatePolicy) -> NewCommand {
    let durable = Durability { body: None, idempotency, label: "label".into() };
    NewCommand { updates, durable: Some(Box::new(durable)), ..command(&node("w1"), Class::Normal) }
}

fn later(time: Duration) -> ClockReading {
    ClockReading { uptime: CLOCK.uptime + time, ..CLOCK }
}

#[test]
fn an_outcome_keeps_its_place_until_it_is_taken_and_is_found_by_the_next_process() {
    let mut stored = Stored::new();
    let id = stored.submit(new(None, UpdatePolicy::Follow));
    stored.end(&id);
    assert_eq!(stored.queue.len(), 1, "it counts in the bounds");
    let mut stored = stored.restart(later(Duration::from_secs(60)));
    let untaken: Vec<_> =
        stored.queue.untaken_outcomes().map(|(id, row)| (id, row.outcome.clone())).collect();
    assert_eq!((untaken, stored.queue.len()), (vec![(id.clone(), done())], 1));
    stored.queue.handle_outcome_taken(stored.now, &id).expect("it is kept");
    stored.turn();
    let only: Vec<_> = stored.rows.keys().collect();
    assert_eq!((only, stored.queue.len()), (vec![&RowKey::Receiver(node("w1"))], 0));
    assert_eq!(stored.submit(new(None, UpdatePolicy::Follow)).key.seq, id.key.seq.next().unwrap());
}

#[test]
fn an_outcome_on_its_way_into_the_store_is_not_there_yet() {
    let mut stored = Stored::new();
    let id = stored.submit(new(None, UpdatePolicy::Follow));
    stored.reply(&id, StreamFrame::Outcome(done()));
    let batch = stored.queue.poll_store(stored.now, &CLOCK).expect("its end");
    assert_eq!((stored.queue.outcome(&id), stored.queue.untaken_outcomes().count()), (None, 0));
    assert_eq!(stored.queue.unfinished().count(), 1, "it is one of those that have not ended");
    stored.queue.repeat_outcome(&id);
    assert!(!matches!(stored.queue.poll_event(), Some(SendEvent::Outcome { .. })), "it is not said");
    stored.queue.handle_stored(stored.now, batch.id);
    assert_eq!((stored.queue.untaken_outcomes().count(), stored.queue.unfinished().count()), (1, 0));
}

#[test]
fn nobody_takes_an_outcome_and_it_is_forgotten_after_a_week() {
    let mut stored = Stored::new();
    let id = stored.submit(new(None, UpdatePolicy::Follow));
    stored.end(&id);
    let mut stored = stored.restart(later(Duration::from_secs(6 * 24 * 60 * 60)));
    stored.pass(Duration::from_secs(23 * 60 * 60));
    assert!(stored.queue.outcome(&id).is_some());
    stored.pass(Duration::from_secs(2 * 60 * 60));
    assert_eq!((stored.queue.outcome(&id), stored.queue.len()), (None, 0));
}

#[test]
fn a_name_is_one_command_for_a_day_after_its_outcome_was_taken() {
    let mut stored = Stored::new();
    let id = stored.submit(new(Some(named("a", 1)), UpdatePolicy::Follow));
    let find = |stored: &Stored, fingerprint| stored.queue.find(&node("w1"), &named("a", fingerprint));
    assert_eq!(find(&stored, 1), Ok(Some(id.clone())), "while it is under way");
    stored.end(&id);
    stored.queue.handle_outcome_taken(stored.now, &id).expect("it is kept");
    stored.turn();
    let mut stored = stored.restart(later(Duration::from_secs(60)));
    assert_eq!(find(&stored, 1), Ok(Some(id.clone())), "and for another process");
    assert_eq!(find(&stored, 2), Err(KeyConflict(id.clone())));
    assert_eq!(stored.queue.find(&node("w2"), &named("a", 1)), Ok(None), "names are of one receiver");
    assert_eq!(stored.queue.len(), 0, "it counts no more");
    stored.pass(Duration::from_secs(25 * 60 * 60));
    assert_eq!(find(&stored, 1), Ok(None));
    assert_eq!(stored.queue.outcome(&id), None);
}

#[test]
fn what_was_bound_is_sent_again_by_the_next_process_and_what_was_not_has_never_left() {
    let mut stored = Stored::new();
    let sent = stored.submit(new(None, UpdatePolicy::Follow));
    stored.queue.handle_link_down(stored.now, &node("w1"));
    let waiting = stored.submit(new(None, UpdatePolicy::Follow));
    let mut stored = stored.restart(CLOCK);
    stored.queue.abandon(&sent).expect("it is here");
    stored.queue.cancel(&waiting).expect("it is here");
    let (events, _) = stored.turn();
    let expected = [(sent, Outcome::Unknown(UnknownReason::Abandoned)), (waiting, Outcome::Cancelled)];
    assert_eq!(outcomes(&events), expected);

    let mut stored = Stored::new();
    let sent = stored.submit(new(None, UpdatePolicy::Follow));
    let mut stored = stored.restart(CLOCK);
    stored.meet();
    let (_, transmits) = stored.turn();
    let Some(Transmit::Open { key, head, .. }) = transmits.first() else { panic!("{transmits:?}") };
    assert!(*key == sent.key && head.resent, "{head:?}");
}

#[test]
fn what_was_bound_is_asked_for_even_if_its_receiver_does_not_list_its_type() {
    let mut stored = Stored::new();
    let sent = stored.submit(new(None, UpdatePolicy::Follow));
    let mut stored = stored.restart(CLOCK);
    let receiver = Some(Epoch::from_random(50));
    stored.queue.handle_link_up(&node("w1"), LinkUp { receiver, commands: BTreeSet::new(), ..link_up(1) });
    stored.queue.handle_room(&node("w1"), room(100));
    let (_, transmits) = stored.turn();
    assert!(matches!(&transmits[..], [Transmit::Open { key, .. }, ..] if *key == sent.key), "{transmits:?}");
}

#[test]
fn a_receiver_without_its_old_journal_leaves_what_was_bound_unknown() {
    let mut stored = Stored::new();
    let sent = stored.submit(new(None, UpdatePolicy::Follow));
    let mut stored = stored.restart(CLOCK);
    let up = LinkUp { receiver: Some(Epoch::from_random(51)), ..link_up(2) };
    stored.queue.handle_link_up(&node("w1"), up);
    let (events, _) = stored.turn();
    assert_eq!(outcomes(&events), [(sent, Outcome::Unknown(UnknownReason::ReceiverStateLost))]);
}

#[test]
fn a_cancel_is_in_the_head_of_the_next_process() {
    let mut stored = Stored::new();
    let sent = stored.submit(new(None, UpdatePolicy::Follow));
    stored.queue.cancel(&sent).expect("it is here");
    stored.turn();
    let mut stored = stored.restart(CLOCK);
    stored.meet();
    let (_, transmits) = stored.turn();
    assert!(matches!(&transmits[..], [Transmit::Open { head, .. }] if head.cancelled), "{transmits:?}");
}

#[test]
fn kept_updates_are_acknowledged_once_they_are_stored_and_found_by_the_next_process() {
    let mut stored = Stored::new();
    let id = stored.submit(new(None, UpdatePolicy::Store));
    stored.reply(&id, StreamFrame::Started);
    for (number, content) in [(1, "a"), (2, "bb"), (3, "ccc")] {
        stored.reply(&id, StreamFrame::Update { number, content: content.into() });
    }
    let early: Vec<_> = std::iter::from_fn(|| stored.queue.poll_transmit(stored.now)).collect();
    assert_eq!(early, [], "what is not stored may be lost");
    let (_, transmits) = stored.turn();
    let is_held = |transmit: &Transmit| matches!(transmit, Transmit::Received { updates: 3, .. });
    assert!(transmits.iter().any(is_held), "{transmits:?}");
    stored.queue.follow(&id).expect("they are kept");
    stored.queue.handle_updates_taken(&id, 1);
    stored.turn();

    let mut stored = stored.restart(CLOCK);
    stored.meet();
    let (_, transmits) = stored.turn();
    assert!(
        matches!(&transmits[0], Transmit::Open { head, .. } if head.updates_received == 3),
        "{transmits:?}"
    );
    stored.queue.follow(&id).expect("they are kept");
    let said: Vec<_> = std::iter::from_fn(|| stored.queue.poll_event()).collect();
    let update =
        |number, content: &'static str| SendEvent::Update { id: id.clone(), number, content: content.into() };
    assert_eq!(said[said.len() - 2..], [update(2, "bb"), update(3, "ccc")], "the first was taken");
    stored.end(&id);
    stored.queue.handle_outcome_taken(stored.now, &id).expect("it is kept");
    stored.turn();
    assert!(!stored.rows.keys().any(|key| matches!(key, RowKey::Update(..))), "{:?}", stored.rows.keys());
}

#[test]
fn updates_that_a_caller_had_not_taken_come_again_with_the_outcome() {
    let mut stored = Stored::new();
    let id = stored.submit(new(None, UpdatePolicy::Follow));
    stored.reply(&id, StreamFrame::Started);
    for (number, content) in [(1, "a"), (2, "bb"), (3, "ccc")] {
        stored.reply(&id, StreamFrame::Update { number, content: content.into() });
    }
    stored.queue.handle_updates_taken(&id, 1);
    stored.end(&id);
    let mut stored = stored.restart(CLOCK);
    stored.queue.follow(&id).expect("they are kept");
    stored.queue.repeat_outcome(&id);
    let said: Vec<_> = std::iter::from_fn(|| stored.queue.poll_event()).collect();
    let update =
        |number, content: &'static str| SendEvent::Update { id: id.clone(), number, content: content.into() };
    let outcome = SendEvent::Outcome { id: id.clone(), outcome: done() };
    assert_eq!(said, [update(2, "bb"), update(3, "ccc"), outcome]);
    stored.queue.handle_outcome_taken(stored.now, &id).expect("it is kept");
    stored.turn();
    assert!(!stored.rows.keys().any(|key| matches!(key, RowKey::Update(..))), "{:?}", stored.rows.keys());
}

#[test]
fn a_receiver_that_has_the_whole_body_gets_no_word_of_it_from_the_next_process() {
    let mut stored = Stored::new();
    let mut command = new(None, UpdatePolicy::Follow);
    command.has_body = true;
    command.durable.as_mut().expect("it is durable").body = Some("a file".into());
    let id = stored.submit(command);
    let mut stored = stored.restart(CLOCK);
    stored.meet();
    stored.turn();
    stored.reply(&id, StreamFrame::Accepted { body_received: 7, body_credit: 0 });
    let failure = Outcome::failed(runnel_codec::FailureKind::Handler, "its own");
    stored.reply(&id, StreamFrame::Outcome(failure.clone()));
    let (events, transmits) = stored.turn();
    assert_eq!(outcomes(&events), [(id, failure)], "what failed there is what failed");
    assert!(!transmits.iter().any(|transmit| matches!(transmit, Transmit::BodyAborted { .. })));
}

#[test]
fn a_store_without_room_takes_nothing_new_and_lets_go_what_is_there() {
    let mut stored = Stored::new();
    let id = stored.submit(new(None, UpdatePolicy::Follow));
    stored.queue.handle_store_space(StoreSpace::Low);
    let retry_after = SendQueueConfig::default().retry_after;
    let refused = stored.queue.submit(stored.now, new(None, UpdatePolicy::Follow));
    assert_eq!(refused, Err(SubmitError::StoreFull { retry_after }));
    let memory = NewCommand { durable: None, ..new(None, UpdatePolicy::Follow) };
    stored.queue.submit(stored.now, memory).expect("it needs no store");
    stored.end(&id);
    assert!(stored.rows.values().any(|row| matches!(row, Row::Outcome(..))), "{:?}", stored.rows.keys());
    stored.queue.handle_store_space(StoreSpace::Enough);
    assert_eq!(stored.submit(new(None, UpdatePolicy::Follow)).key.seq, id.key.seq.next().expect("a number"));
}

#[test]
fn without_a_store_nothing_is_durable() {
    let mut queue = SendQueue::new(SendQueueConfig::default(), node("ctl"), Epoch::from_random(6), 1);
    let refused = queue.submit(Instant::now(), new(None, UpdatePolicy::Follow));
    assert_eq!(refused, Err(SubmitError::NoStore));
    let memory = NewCommand { durable: None, ..new(None, UpdatePolicy::Follow) };
    queue.submit(Instant::now(), memory).expect("there is room");
    assert_eq!(queue.poll_store(Instant::now(), &CLOCK), None);
}

#[test]
fn that_a_command_has_started_goes_with_the_next_batch_and_the_next_process_says_so() {
    let mut stored = Stored::new();
    let ids = [1, 2].map(|_| stored.submit(command(&node("w1"), Class::Normal)));
    for id in &ids {
        stored.queue.handle_reply(stored.now, &id.receiver, id.key, StreamFrame::Started).unwrap();
    }
    assert_eq!(stored.queue.poll_store(stored.now, &CLOCK), None, "nobody waits for it");
    let ended = StreamFrame::Outcome(done());
    stored.queue.handle_reply(stored.now, &ids[1].receiver, ids[1].key, ended).unwrap();
    stored.turn();
    let mut stored = stored.restart(CLOCK);
    stored.meet();
    let heads = stored.turn().1.into_iter().filter_map(|transmit| match transmit {
        Transmit::Open { head, .. } => Some((head.key, head.started)),
        _ => None,
    });
    assert_eq!(heads.collect::<Vec<_>>(), [(ids[0].key, true)]);
}

#[test]
fn what_was_heard_to_start_is_unknown_to_a_receiver_that_says_it_never_will() {
    let mut stored = Stored::new();
    let id = stored.submit(command(&node("w1"), Class::Normal));
    let never = StreamFrame::Outcome(Outcome::Cancelled);
    for frame in [StreamFrame::Started, never] {
        stored.queue.handle_reply(stored.now, &id.receiver, id.key, frame).unwrap();
    }
    let lost = Outcome::Unknown(UnknownReason::ReceiverStateLost);
    assert!(stored.turn().0.contains(&SendEvent::Outcome { id, outcome: lost }));
}
