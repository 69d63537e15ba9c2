//! Updates: credit, and those that are kept for a caller that comes later.

use super::*;

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
    let id = queue.submit(now, NewCommand { updates, ..command(&peer, Class::Normal) }).unwrap();
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
    let [Transmit::Open { head, .. }] = &transmits[..] else { panic!("{transmits:?}") };
    assert_eq!((head.updates_received, head.updates_credit), (1, 10), "it still presses back");
}

#[test]
fn only_updates_that_are_kept_can_be_followed_later() {
    for policy in [UpdatePolicy::Follow, UpdatePolicy::Discard] {
        let (mut queue, id) = running(policy);
        assert!(queue.follow(&id).is_err() && queue.unfollow(&id).is_err());
    }
}
