//! Bodies of commands: when they are wanted, and how far they may be written.

use runnel_codec::{BodyEnd, Part};

use super::*;

/// A command with a body on a link, and the queue that holds it.
fn sent() -> (SendQueue, CommandId) {
    let (mut queue, now, peer) = (queue(SendQueueConfig::default()), Instant::now(), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let id = queue.submit(now, NewCommand { has_body: true, ..command(&peer, Class::Normal) }).unwrap();
    settle(&mut queue, now);
    (queue, id)
}

/// The receiver answers on the stream that is open. Returns whether the body is wanted now.
fn is_wanted_after(queue: &mut SendQueue, id: &CommandId, body_credit: u64) -> bool {
    let accepted = StreamFrame::Accepted { body_received: 0, body_credit };
    queue.handle_reply(Instant::now(), &id.receiver, id.key, accepted).expect("an allowed word");
    settle(queue, Instant::now()).0.contains(&SendEvent::BodyWanted { id: id.clone(), from: 0 })
}

#[test]
fn a_body_is_wanted_once_even_if_its_first_credit_was_lost_with_a_link() {
    let (mut queue, id) = sent();
    assert!(!is_wanted_after(&mut queue, &id, 0), "its handler has not been called");
    // The handler is called, and the credit is said on a link that dies.
    queue.handle_link_up(&id.receiver, link_up(1));
    queue.handle_room(&id.receiver, room(100));
    settle(&mut queue, Instant::now());
    assert!(is_wanted_after(&mut queue, &id, 100));
    queue.handle_credit(&id.receiver, id.key, Part::Body, 100).expect("an allowed word");
    let (events, _) = settle(&mut queue, Instant::now());
    assert!(!events.contains(&SendEvent::BodyWanted { id: id.clone(), from: 0 }), "it is produced once");

    queue.handle_body(&id, 0, Bytes::from(vec![7; 200]));
    let written = settle(&mut queue, Instant::now()).1.into_iter().filter_map(|transmit| match transmit {
        Transmit::Body { frame: StreamFrame::Body(content), .. } => Some(content.len()),
        _ => None,
    });
    assert_eq!(written.sum::<usize>(), 100, "as far as the credit goes");
}

/// A durable command with a body, on a link to the first process of its receiver.
fn durable_sent(body_repeats: bool) -> (SendQueue, CommandId) {
    let mut queue = queue(SendQueueConfig::default());
    meet_process(&mut queue, 1);
    let new = NewCommand { has_body: true, body_repeats, ..command(&node("w1"), Class::Normal) };
    let id = queue.submit(Instant::now(), new).unwrap();
    settle(&mut queue, Instant::now());
    (queue, id)
}

/// A link to a process of the receiver; all have the same journal.
fn meet_process(queue: &mut SendQueue, boot: u64) {
    let up = LinkUp { receiver: Some(Epoch::from_random(50)), ..link_up(boot) };
    queue.handle_link_up(&node("w1"), up);
    queue.handle_room(&node("w1"), room(100));
    settle(queue, Instant::now());
}

fn accept(queue: &mut SendQueue, id: &CommandId, body_received: u64, body_credit: u64) -> Vec<Transmit> {
    let accepted = StreamFrame::Accepted { body_received, body_credit };
    queue.handle_reply(Instant::now(), &id.receiver, id.key, accepted).expect("an allowed word");
    settle(queue, Instant::now()).1
}

/// Grants a credit. Returns from where the body is wanted now, if it is.
fn credit(queue: &mut SendQueue, id: &CommandId, offset: u64) -> Option<u64> {
    queue.handle_credit(&id.receiver, id.key, Part::Body, offset).expect("an allowed word");
    wanted(&settle(queue, Instant::now()).0)
}

fn wanted(events: &[SendEvent]) -> Option<u64> {
    events.iter().find_map(|event| match event {
        SendEvent::BodyWanted { from, .. } => Some(*from),
        _ => None,
    })
}

/// Produces what begins at `offset`. Returns what is written.
fn produce(queue: &mut SendQueue, id: &CommandId, offset: u64, content: &'static str) -> String {
    queue.handle_body(id, offset, content.into());
    let written = settle(queue, Instant::now()).1.into_iter().filter_map(|transmit| match transmit {
        Transmit::Body { frame: StreamFrame::Body(content), .. } => {
            Some(String::from_utf8_lossy(&content).into_owned())
        }
        _ => None,
    });
    written.collect()
}

#[test]
fn a_body_that_its_receiver_has_lost_is_produced_again() {
    let (mut queue, id) = durable_sent(true);
    accept(&mut queue, &id, 0, 0);
    assert_eq!(credit(&mut queue, &id, 4), Some(0));
    assert_eq!(produce(&mut queue, &id, 0, "abcdef"), "abcd");
    credit(&mut queue, &id, 8);

    meet_process(&mut queue, 2);
    assert_eq!(accept(&mut queue, &id, 0, 0), [], "its handler has not been called");
    assert_eq!(produce(&mut queue, &id, 6, "gh"), "", "the older production has not ended");
    assert_eq!(credit(&mut queue, &id, 6), Some(0));
    assert_eq!(produce(&mut queue, &id, 0, "abc"), "abc");
    assert_eq!(produce(&mut queue, &id, 8, "ij"), "", "what lies ahead comes again");
    queue.handle_body_end(&id, BodyEnd { bytes: 10, hash: [0; 32] });
    assert_eq!(produce(&mut queue, &id, 2, "cdef"), "def", "and what is here is not written twice");
    credit(&mut queue, &id, 20);
    assert_eq!(produce(&mut queue, &id, 6, "ghij"), "ghij");
    let end = BodyEnd { bytes: 10, hash: [0; 32] };
    queue.handle_body_end(&id, end);
    let ends = settle(&mut queue, Instant::now()).1;
    assert!(matches!(&ends[..], [Transmit::Body { frame: StreamFrame::BodyEnd(said), .. }] if *said == end));
}

#[test]
fn a_body_of_which_nothing_was_taken_waits_for_the_credit_of_the_next_process() {
    let (mut queue, id) = durable_sent(false);
    accept(&mut queue, &id, 0, 0);
    assert_eq!(credit(&mut queue, &id, 4), Some(0));
    assert_eq!(produce(&mut queue, &id, 0, "abcdef"), "abcd");
    meet_process(&mut queue, 2);
    assert_eq!(accept(&mut queue, &id, 0, 0), [], "its handler has not been called");
    assert_eq!(credit(&mut queue, &id, 5), None, "it is produced once");
    assert_eq!(produce(&mut queue, &id, 6, "gh"), "", "the credit is used up");
    credit(&mut queue, &id, 8);
    assert_eq!(produce(&mut queue, &id, 8, ""), "");
}

#[test]
fn each_process_of_a_receiver_learns_that_a_body_will_not_come() {
    let (mut queue, id) = durable_sent(false);
    accept(&mut queue, &id, 0, 4);
    produce(&mut queue, &id, 0, "abcdef");
    credit(&mut queue, &id, 6);
    for boot in 2..4 {
        meet_process(&mut queue, boot);
        let aborted = Transmit::BodyAborted { peer: id.receiver.clone(), key: id.key };
        assert_eq!(accept(&mut queue, &id, 0, 0), [aborted], "process {boot}");
    }
}

#[test]
fn a_credit_that_overtakes_the_word_of_how_far_a_body_is_there_does_not_begin_it() {
    let (mut queue, id) = durable_sent(true);
    assert_eq!(credit(&mut queue, &id, 9), None);
    let accepted = StreamFrame::Accepted { body_received: 7, body_credit: 8 };
    queue.handle_reply(Instant::now(), &id.receiver, id.key, accepted).expect("an allowed word");
    assert_eq!(wanted(&settle(&mut queue, Instant::now()).0), Some(7));
    assert_eq!(produce(&mut queue, &id, 7, "hijk"), "hi", "the larger credit counts");
}
