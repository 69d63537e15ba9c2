//! Bodies of commands: when they are wanted, and how far they may be written.

use runnel_codec::Part;

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

    queue.handle_body(&id, Bytes::from(vec![7; 200]));
    let written = settle(&mut queue, Instant::now()).1.into_iter().filter_map(|transmit| match transmit {
        Transmit::Body { frame: StreamFrame::Body(content), .. } => Some(content.len()),
        _ => None,
    });
    assert_eq!(written.sum::<usize>(), 100, "as far as the credit goes");
}
