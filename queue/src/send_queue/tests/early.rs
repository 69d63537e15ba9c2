//! What is sent behind a hello that is not answered yet.

use super::*;

/// A queue whose peer was met as process 1 and is away, with one command that is not bound.
fn met(to: &NodeId, command: NewCommand) -> (SendQueue, CommandId) {
    let now = Instant::now();
    let mut queue = queue(SendQueueConfig::default());
    queue.handle_link_up(to, link_up(1));
    queue.handle_link_down(now, to);
    let id = queue.submit(now, command).expect("there is room");
    settle(&mut queue, now);
    (queue, id)
}

/// Says hello to a peer that is presumed to be process 1, and returns what follows the hello.
fn presume(queue: &mut SendQueue, peer: &NodeId) -> Vec<(NodeId, CommandKey)> {
    queue.presume_link_up(peer, link_up(1), Presumed::Unchanged);
    queue.handle_room(peer, room(100));
    opened(&settle(queue, Instant::now()).1)
}

fn memory(to: &NodeId) -> NewCommand {
    NewCommand { durable: None, ..command(to, Class::Normal) }
}

#[test]
fn what_follows_a_hello_is_not_sent_again_once_that_is_answered_as_expected() {
    let peer = node("w1");
    for command in [command(&peer, Class::Normal), memory(&peer)] {
        let (mut queue, id) = met(&peer, command);
        assert_eq!(presume(&mut queue, &peer), [(peer.clone(), id.key)]);
        assert!(queue.handle_link_answered(&peer, link_up(1)));
        queue.handle_room(&peer, room(100));
        assert_eq!(opened(&settle(&mut queue, Instant::now()).1), []);
        let done = StreamFrame::Outcome(Outcome::Done { result: Bytes::new() });
        queue.handle_reply(Instant::now(), &peer, id.key, done).expect("an allowed word");
        assert_eq!(outcomes(&settle(&mut queue, Instant::now()).0).len(), 1);
    }
}

#[test]
fn what_reached_nobody_is_sent_again_to_another_process_and_is_not_unknown() {
    let (now, peer) = (Instant::now(), node("w1"));
    for command in [command(&peer, Class::Normal), memory(&peer)] {
        let (mut queue, id) = met(&peer, command);
        presume(&mut queue, &peer);
        assert!(!queue.handle_link_answered(&peer, link_up(2)));
        queue.handle_room(&peer, room(100));
        let (events, transmits) = settle(&mut queue, now);
        assert_eq!(opened(&transmits), [(peer.clone(), id.key)]);
        assert_eq!(outcomes(&events), []);
        // Nor is it taken for sent before.
        queue.handle_link_up(&peer, link_up(2));
        queue.handle_room(&peer, room(0));
        queue.cancel(&id).expect("it is in the queue");
        assert_eq!(outcomes(&settle(&mut queue, now).0), [], "it is at process 2 by now");
    }
}

#[test]
fn what_is_refused_with_its_hello_ends_as_if_it_had_not_left() {
    let (now, peer) = (Instant::now(), node("w1"));
    let (mut queue, id) = met(&peer, memory(&peer));
    presume(&mut queue, &peer);
    queue.handle_early_refused(now, &peer);
    queue.handle_link_up(&peer, link_up(2));
    queue.handle_room(&peer, room(0));
    settle(&mut queue, now);
    assert_eq!(queue.stage(&id), Some(Stage::Waiting));
    queue.handle_room(&peer, room(100));
    assert_eq!(opened(&settle(&mut queue, now).1), [(peer, id.key)]);
}

#[test]
fn what_was_sent_before_stays_known_when_its_early_head_is_refused() {
    let (now, peer) = (Instant::now(), node("w1"));
    let mut queue = queue(SendQueueConfig::default());
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let id = queue.submit(now, memory(&peer)).expect("there is room");
    settle(&mut queue, now);
    queue.handle_link_down(now, &peer);
    assert_eq!(presume(&mut queue, &peer), [(peer.clone(), id.key)]);
    assert!(!queue.handle_link_answered(&peer, link_up(2)));
    let lost = Outcome::Unknown(UnknownReason::ReceiverStateLost);
    assert_eq!(outcomes(&settle(&mut queue, now).0), [(id, lost)]);
}

#[test]
fn a_hello_without_an_answer_leaves_open_whether_what_followed_it_came() {
    let (now, peer) = (Instant::now(), node("w1"));
    let (mut queue, id) = met(&peer, memory(&peer));
    presume(&mut queue, &peer);
    queue.handle_link_down(now, &peer);
    queue.handle_link_up(&peer, link_up(2));
    let lost = Outcome::Unknown(UnknownReason::ReceiverStateLost);
    assert_eq!(outcomes(&settle(&mut queue, now).0), [(id, lost)]);
}

#[test]
fn hellos_without_an_answer_hold_no_command_back() {
    let (now, peer) = (Instant::now(), node("w1"));
    let (mut queue, id) = met(&peer, memory(&peer));
    for _ in 0..20 {
        assert_eq!(presume(&mut queue, &peer), [(peer.clone(), id.key)]);
        queue.handle_link_down(now, &peer);
    }
}

#[test]
fn what_is_durable_waits_for_the_answer_of_a_process_that_was_never_met() {
    let (now, peer) = (Instant::now(), node("w1"));
    let mut queue = queue(SendQueueConfig::default());
    let first = queue.submit(now, command(&peer, Class::Normal)).expect("there is room");
    let memory_before = queue.submit(now, memory(&peer)).expect("there is room");
    settle(&mut queue, now);
    queue.presume_link_up(&peer, LinkUp { commands: BTreeSet::new(), ..link_up(1) }, Presumed::Process);
    queue.handle_room(&peer, room(100));
    let second = queue.submit(now, command(&peer, Class::Normal)).expect("there is room");
    let memory_behind = queue.submit(now, memory(&peer)).expect("there is room");
    let mut early = opened(&settle(&mut queue, now).1);
    early.sort();
    assert_eq!(early, [(peer.clone(), memory_before.key), (peer.clone(), memory_behind.key)]);
    let receiver = Some(Epoch::from_random(50));
    assert!(queue.handle_link_answered(&peer, LinkUp { receiver, ..link_up(1) }));
    queue.handle_room(&peer, room(100));
    let durable = opened(&settle(&mut queue, now).1);
    assert_eq!(durable, [(peer.clone(), first.key), (peer.clone(), second.key)]);
    // They are bound to its journal: another process with the same one loses nothing.
    queue.handle_link_up(&peer, LinkUp { receiver, ..link_up(2) });
    let lost: Vec<_> = outcomes(&settle(&mut queue, now).0).into_iter().map(|(id, _)| id).collect();
    assert_eq!(lost, [memory_before, memory_behind]);
}

#[test]
fn what_is_durable_does_not_miss_its_turn_when_the_answer_does_not_come() {
    let (now, peer) = (Instant::now(), node("w1"));
    let mut queue = queue(SendQueueConfig::default());
    let id = queue.submit(now, command(&peer, Class::Normal)).expect("there is room");
    settle(&mut queue, now);
    queue.presume_link_up(&peer, link_up(1), Presumed::Process);
    queue.handle_room(&peer, room(100));
    assert_eq!(opened(&settle(&mut queue, now).1), []);
    queue.handle_link_down(now, &peer);
    queue.handle_link_up(&peer, link_up(2));
    queue.handle_room(&peer, room(100));
    assert_eq!(opened(&settle(&mut queue, now).1), [(peer, id.key)]);
}
