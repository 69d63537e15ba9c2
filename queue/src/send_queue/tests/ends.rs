//! How commands end without their receiver's word: given up, lost with their receivers, held back, out of time.

use super::*;
use crate::error::NotFound;

/// A queue with a link to a receiver of epoch 1, and what it was given.
fn linked(new: NewCommand) -> (SendQueue, CommandId) {
    let (mut queue, now) = (queue(SendQueueConfig::default()), Instant::now());
    meet(&mut queue, &new.to, 1);
    let id = queue.submit(now, new).unwrap();
    settle(&mut queue, now);
    (queue, id)
}

/// A link to a receiver of this epoch.
fn meet(queue: &mut SendQueue, peer: &NodeId, receiver: u64) {
    queue.handle_link_up(peer, link_up(receiver));
    queue.handle_room(peer, room(100));
}

fn normal() -> NewCommand {
    command(&node("w1"), Class::Normal)
}

fn idempotent() -> NewCommand {
    NewCommand { idempotent: true, ..normal() }
}

#[track_caller]
fn assert_ends(queue: &mut SendQueue, id: &CommandId, expected: Outcome) {
    assert_eq!(outcomes(&settle(queue, Instant::now()).0), [(id.clone(), expected)]);
    assert_eq!((queue.explain(id), queue.len()), (None, 0));
}

fn unknown(reason: UnknownReason) -> Outcome {
    Outcome::Unknown(reason)
}

#[test]
fn what_was_sent_and_is_abandoned_is_unknown_and_its_receiver_learns_that_it_is_settled() {
    let now = Instant::now();
    let (mut queue, id) = linked(normal());
    queue.abandon(&id).expect("it is in the queue");
    assert_eq!(queue.abandon(&id), Err(NotFound), "it ends once");
    let (events, transmits) = settle(&mut queue, now);
    assert_eq!(outcomes(&events), [(id.clone(), unknown(UnknownReason::Abandoned))]);
    let [Transmit::Settled { settled, .. }] = &transmits[..] else { panic!("{transmits:?}") };
    assert_eq!(settled.low, Some(id.key.seq));
}

#[test]
fn what_was_never_bound_and_is_abandoned_is_cancelled() {
    let now = Instant::now();
    let mut queue = queue(SendQueueConfig::default());
    let id = queue.submit(now, normal()).unwrap();
    queue.abandon(&id).expect("it is in the queue");
    assert_ends(&mut queue, &id, Outcome::Cancelled);
}

#[test]
fn an_outcome_that_comes_late_is_told_and_changes_nothing() {
    let now = Instant::now();
    let (mut queue, id) = linked(normal());
    queue.abandon(&id).unwrap();
    let done = Outcome::Done { result: "late".into() };
    let late = [SendEvent::Late { id: id.clone(), outcome: done.clone() }];
    queue.handle_reply(now, &id.receiver, id.key, StreamFrame::Outcome(done.clone())).unwrap();
    assert_eq!(queue.poll_event().as_slice(), late, "while its end is being stored");
    assert_ends(&mut queue, &id, unknown(UnknownReason::Abandoned));
    queue.handle_reply(now, &id.receiver, id.key, StreamFrame::Outcome(done)).unwrap();
    assert_eq!(queue.poll_event().as_slice(), late, "and afterwards");
    queue.handle_reply(now, &id.receiver, id.key, StreamFrame::Started).unwrap();
    assert_eq!(queue.poll_event(), None, "nothing but an outcome is worth it");
}

#[test]
fn an_outcome_of_a_command_that_never_was_is_not_told() {
    let (mut queue, id) = linked(normal());
    let key = CommandKey { seq: id.key.seq.next().unwrap(), ..id.key };
    queue.handle_reply(Instant::now(), &id.receiver, key, StreamFrame::Outcome(Outcome::Expired)).unwrap();
    assert_eq!(queue.poll_event(), None);
}

#[test]
fn an_idempotent_command_is_run_again_when_its_receiver_is_lost_but_not_for_ever() {
    let now = Instant::now();
    let (mut queue, id) = linked(idempotent());
    for receiver in 2..=3 {
        queue.handle_reply(now, &id.receiver, id.key, StreamFrame::Started).unwrap();
        meet(&mut queue, &id.receiver, receiver);
        let (events, transmits) = settle(&mut queue, now);
        assert!(events.contains(&SendEvent::Again(id.clone())), "{events:?}");
        let [Transmit::Open { head, .. }] = &transmits[..] else { panic!("{transmits:?}") };
        assert!(!head.resent, "for this receiver it is new");
    }
    assert_eq!(queue.explain(&id).map(|waiting| waiting.runs_lost), Some(2));
    meet(&mut queue, &id.receiver, 4);
    assert_ends(&mut queue, &id, unknown(UnknownReason::Poisoned));
}

#[test]
fn what_a_second_run_would_repeat_before_its_caller_is_not_run_again() {
    let now = Instant::now();
    let lost = unknown(UnknownReason::ReceiverStateLost);
    let with_body = NewCommand { has_body: true, ..idempotent() };
    for new in [normal(), with_body] {
        let (mut queue, id) = linked(new);
        meet(&mut queue, &id.receiver, 2);
        assert_ends(&mut queue, &id, lost.clone());
    }
    let (mut queue, id) = linked(idempotent());
    queue.handle_reply(now, &id.receiver, id.key, StreamFrame::Started).unwrap();
    let update = StreamFrame::Update { number: 1, content: "seen".into() };
    queue.handle_reply(now, &id.receiver, id.key, update).unwrap();
    meet(&mut queue, &id.receiver, 2);
    settle_until_outcome(&mut queue, &id, &lost);

    let (mut queue, id) = linked(idempotent());
    queue.cancel(&id).unwrap();
    meet(&mut queue, &id.receiver, 2);
    assert_ends(&mut queue, &id, lost);
}

#[test]
fn a_body_that_can_be_produced_again_does_not_keep_a_command_from_running_again() {
    let (mut queue, id) = linked(NewCommand { has_body: true, body_repeats: true, ..idempotent() });
    meet(&mut queue, &id.receiver, 2);
    assert!(settle(&mut queue, Instant::now()).0.contains(&SendEvent::Again(id)));
}

#[track_caller]
fn settle_until_outcome(queue: &mut SendQueue, id: &CommandId, expected: &Outcome) {
    let (events, _) = settle(queue, Instant::now());
    assert_eq!(outcomes(&events), [(id.clone(), expected.clone())]);
}

#[test]
fn never_is_not_said_of_what_may_have_run_before() {
    let now = Instant::now();
    let lost = unknown(UnknownReason::ReceiverStateLost);
    let again = || {
        let (mut queue, id) = linked(NewCommand { deadline: Some(Duration::from_secs(9)), ..idempotent() });
        queue.handle_link_up(&id.receiver, link_up(2));
        settle(&mut queue, now);
        (queue, id)
    };
    let (mut queue, id) = again();
    queue.cancel(&id).unwrap();
    assert_ends(&mut queue, &id, lost.clone());
    let (mut queue, id) = again();
    queue.handle_timeout(now + Duration::from_secs(10));
    assert_ends(&mut queue, &id, lost.clone());
    let (mut queue, id) = again();
    queue.abandon(&id).unwrap();
    assert_ends(&mut queue, &id, unknown(UnknownReason::Abandoned));
    let (mut queue, id) = again();
    meet(&mut queue, &id.receiver, 2);
    settle(&mut queue, now);
    queue.handle_reply(now, &id.receiver, id.key, StreamFrame::Outcome(Outcome::Expired)).unwrap();
    assert_ends(&mut queue, &id, lost);
}

#[test]
fn what_was_bound_and_has_not_left_is_bound_to_the_next_receiver() {
    let now = Instant::now();
    let (mut queue, peer) = (queue(SendQueueConfig::default()), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    let stored = queue.submit(now, normal()).unwrap();
    settle(&mut queue, now);
    let storing = queue.submit(now, normal()).unwrap();
    let batch = queue.poll_store(now, &CLOCK).expect("its records");
    queue.handle_link_up(&peer, link_up(2));
    queue.handle_stored(now, batch.id);
    queue.handle_room(&peer, room(100));
    let (events, transmits) = settle(&mut queue, now);
    assert_eq!(outcomes(&events), []);
    assert_eq!(opened(&transmits), [(peer.clone(), stored.key), (peer, storing.key)]);
}

#[test]
fn a_head_after_which_links_die_is_held_until_it_is_released() {
    let now = Instant::now();
    let (mut queue, id) = linked(normal());
    for _ in 0..4 {
        queue.handle_link_down(now, &id.receiver);
        meet(&mut queue, &id.receiver, 1);
        assert_eq!(opened(&settle(&mut queue, now).1).len(), 1);
    }
    queue.handle_link_down(now, &id.receiver);
    assert_eq!(queue.poll_event(), Some(SendEvent::Held(id.clone())));
    meet(&mut queue, &id.receiver, 1);
    let other = queue.submit(now, normal()).unwrap();
    assert_eq!(opened(&settle(&mut queue, now).1), [(id.receiver.clone(), other.key)], "others go on");
    let waiting = queue.explain(&id).expect("it is in the queue");
    assert_eq!((waiting.waits_for, waiting.links_died), (WaitsFor::Release, 5));
    assert_eq!(queue.release(&other), Err(NotFound), "it is not held");
    queue.release(&id).unwrap();
    assert_eq!(opened(&settle(&mut queue, now).1), [(id.receiver.clone(), id.key)]);
}

#[test]
fn a_held_command_can_be_abandoned_and_is_not_held_from_another_process() {
    let now = Instant::now();
    let hold = |new| {
        let (mut queue, id) = linked(new);
        for _ in 0..5 {
            meet(&mut queue, &id.receiver, 1);
            settle(&mut queue, now);
        }
        assert_eq!(queue.explain(&id).map(|waiting| waiting.waits_for), Some(WaitsFor::Release));
        (queue, id)
    };
    let (mut queue, id) = hold(normal());
    queue.abandon(&id).unwrap();
    assert_ends(&mut queue, &id, unknown(UnknownReason::Abandoned));
    let (mut queue, id) = hold(idempotent());
    meet(&mut queue, &id.receiver, 2);
    assert_eq!(opened(&settle(&mut queue, now).1), [(id.receiver.clone(), id.key)]);
}

#[test]
fn a_head_that_was_answered_is_not_what_links_die_of() {
    let now = Instant::now();
    let (mut queue, id) = linked(normal());
    for _ in 0..20 {
        queue.handle_reply(now, &id.receiver, id.key, reply(1)).unwrap();
        queue.handle_link_down(now, &id.receiver);
        meet(&mut queue, &id.receiver, 1);
        assert_eq!(opened(&settle(&mut queue, now).1).len(), 1);
    }
}

#[test]
fn a_deadline_passes_while_the_machine_sleeps() {
    let now = Instant::now();
    let mut queue = queue(SendQueueConfig::default());
    let due_in = |seconds| NewCommand { deadline: Some(Duration::from_secs(seconds)), ..normal() };
    let passed = queue.submit(now, due_in(60)).unwrap();
    let open = queue.submit(now, due_in(3600)).unwrap();
    queue.submit(now, normal()).unwrap();
    settle(&mut queue, now);
    queue.handle_slept(Duration::from_secs(100));
    assert!(queue.poll_timeout().is_some_and(|at| at <= now), "it is to be looked at now");
    queue.handle_timeout(now);
    assert_eq!(outcomes(&settle(&mut queue, now).0), [(passed, Outcome::Expired)]);
    assert_eq!(queue.poll_timeout(), Some(now + Duration::from_secs(3500)));
    meet(&mut queue, &open.receiver, 1);
    let (_, transmits) = settle(&mut queue, now);
    let remaining = transmits.iter().find_map(|transmit| match transmit {
        Transmit::Open { key, head, .. } if *key == open.key => head.deadline_remaining,
        _ => None,
    });
    assert_eq!(remaining, Some(Duration::from_secs(3500)), "the receiver is told what is left");
}
