//! Small messages that share a stream: what goes together, what goes alone, and how both are answered.

use runnel_codec::{BATCH_BYTES_MAX, Head, Reached, Step as Come, message_encoded_len};

use super::*;

fn message(class: Class) -> NewCommand {
    NewCommand {
        is_message: true,
        updates: UpdatePolicy::Discard,
        durable: None,
        ..command(&node("w1"), class)
    }
}

/// A queue with a link and so many places.
fn linked(places: usize) -> SendQueue {
    let mut queue = queue(SendQueueConfig { urgent_places: 0, ..SendQueueConfig::default() });
    queue.handle_link_up(&node("w1"), link_up(1));
    queue.handle_room(&node("w1"), room(places));
    queue
}

fn submit(queue: &mut SendQueue, commands: impl IntoIterator<Item = NewCommand>) -> Vec<CommandId> {
    commands.into_iter().map(|new| queue.submit(Instant::now(), new).unwrap()).collect()
}

fn batches(transmits: &[Transmit]) -> Vec<Vec<CommandKey>> {
    let batch = |transmit: &Transmit| match transmit {
        Transmit::Batch { heads, .. } => Some(heads.iter().map(|head| head.key).collect()),
        _ => None,
    };
    transmits.iter().filter_map(batch).collect()
}

fn keys(ids: &[CommandId]) -> Vec<CommandKey> {
    ids.iter().map(|id| id.key).collect()
}

fn reached(step: Come, ids: &[CommandId]) -> Reached {
    Reached { step, epoch: ids[0].key.epoch, ranges: vec![(ids[0].key.seq, ids[ids.len() - 1].key.seq)] }
}

#[test]
fn messages_of_a_class_leave_together_and_are_answered_in_ranges() {
    let (mut queue, now) = (linked(2), Instant::now());
    let ids = submit(&mut queue, vec![message(Class::Normal); 10]);
    let low = submit(&mut queue, vec![message(Class::Low); 2]);
    let (_, transmits) = settle(&mut queue, now);
    assert_eq!(batches(&transmits), [keys(&ids), keys(&low)], "in two places");
    assert_eq!(transmits.len(), 2);

    queue.handle_reached(now, &node("w1"), &reached(Come::Started, &ids[..4])).unwrap();
    assert_eq!(queue.stage(&ids[3]), Some(Stage::Started));
    assert_eq!(queue.stage(&ids[4]), Some(Stage::Sent));
    queue.handle_reached(now, &node("w1"), &reached(Come::Done, &ids[1..8])).unwrap();
    let ended: Vec<_> = outcomes(&settle(&mut queue, now).0).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ended, ids[1..8]);
}

#[test]
fn nothing_follows_from_numbers_that_were_never_sent_or_have_ended() {
    let (mut queue, now) = (linked(0), Instant::now());
    let ids = submit(&mut queue, vec![message(Class::Normal); 3]);
    settle(&mut queue, now);
    let all = (Seq::FIRST, Seq::from_wire(u64::MAX).unwrap());
    for epoch in [ids[0].key.epoch, Epoch::from_random(99)] {
        let reached = Reached { step: Come::Done, epoch, ranges: vec![all] };
        queue.handle_reached(now, &node("w1"), &reached).unwrap();
        queue.handle_reached(now, &node("w9"), &reached).unwrap();
    }
    assert_eq!(outcomes(&settle(&mut queue, now).0), []);
    assert_eq!(queue.len(), 3);
}

#[test]
fn what_needs_a_stream_of_its_own_or_is_alone_has_one() {
    let normal = || message(Class::Normal);
    let alone = [
        message(Class::Urgent),
        NewCommand { is_message: false, ..normal() },
        NewCommand { args: vec![7; 2049].into(), ..normal() },
        NewCommand { payload: "payload".into(), ..normal() },
        NewCommand { has_body: true, ..normal() },
        NewCommand { wants_result_body: true, ..normal() },
        NewCommand { updates: UpdatePolicy::Follow, ..normal() },
    ];
    for new in alone {
        let (mut queue, now) = (linked(100), Instant::now());
        let ids = submit(&mut queue, [new.clone(), new, normal()]);
        let (_, transmits) = settle(&mut queue, now);
        assert_eq!(opened(&transmits).len(), ids.len(), "{transmits:?}");
    }
    let (mut queue, now) = (linked(100), Instant::now());
    queue.handle_link_up(&node("w1"), LinkUp { takes_batches: false, ..link_up(1) });
    queue.handle_room(&node("w1"), room(100));
    submit(&mut queue, vec![normal(); 5]);
    assert_eq!(opened(&settle(&mut queue, now).1).len(), 5, "the peer knows no batches");
}

#[test]
fn a_batch_is_never_longer_than_its_bound_and_each_takes_a_place() {
    let (mut queue, now) = (linked(3), Instant::now());
    let new = NewCommand { args: vec![7; 1000].into(), ..message(Class::Normal) };
    let ids = submit(&mut queue, vec![new; 100]);
    let (_, transmits) = settle(&mut queue, now);
    let heads: Vec<&Vec<Head>> = transmits
        .iter()
        .map(|transmit| match transmit {
            Transmit::Batch { heads, .. } => heads,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heads.len(), 3, "as many as there are places");
    for heads in &heads {
        let bytes = 1 + heads.iter().map(message_encoded_len).sum::<usize>();
        assert!(bytes <= BATCH_BYTES_MAX && bytes > BATCH_BYTES_MAX - 2 * 1100, "{bytes}");
    }
    let sent: Vec<_> = heads.into_iter().flatten().map(|head| head.key).collect();
    assert_eq!(sent, keys(&ids[..sent.len()]));
    queue.handle_room(&node("w1"), room(100));
    let (_, transmits) = settle(&mut queue, now);
    assert_eq!(batches(&transmits).concat(), keys(&ids[sent.len()..]));
}

#[test]
fn what_a_batch_takes_of_the_budget_holds_up_the_next() {
    let (mut queue, now) = (linked(100), Instant::now());
    queue.handle_room(&node("w1"), Room { budget: ClassMap::new([1000; 5]), ..room(100) });
    submit(&mut queue, vec![message(Class::Normal); 50]);
    let sent = batches(&settle(&mut queue, now).1).concat().len();
    assert!((8..14).contains(&sent), "{sent} of 100 bytes each, more or less");
}

#[test]
fn busy_messages_come_again_and_leave_together_once_the_pause_is_over() {
    let (mut queue, now) = (linked(100), Instant::now());
    let ids = submit(&mut queue, vec![message(Class::Normal); 4]);
    settle(&mut queue, now);
    for id in &ids {
        let busy = StreamFrame::Busy { scope: BusyScope::Class, retry_after: Duration::from_millis(50) };
        queue.handle_reply(now, &node("w1"), id.key, busy).unwrap();
    }
    assert_eq!(batches(&settle(&mut queue, now).1), Vec::<Vec<_>>::new());
    let later = now + Duration::from_secs(1);
    queue.handle_timeout(later);
    assert_eq!(batches(&settle(&mut queue, later).1), [keys(&ids)]);
}

#[test]
fn messages_of_a_dead_link_are_sent_again_and_one_by_one_after_the_second() {
    let (mut queue, now, peer) = (linked(100), Instant::now(), node("w1"));
    let ids = submit(&mut queue, vec![message(Class::Normal); 4]);
    settle(&mut queue, now);
    for deaths in 1..=2 {
        queue.handle_link_down(now, &peer);
        queue.handle_link_up(&peer, link_up(1));
        queue.handle_room(&peer, room(100));
        let (_, transmits) = settle(&mut queue, now);
        match deaths {
            1 => assert_eq!(batches(&transmits), [keys(&ids)]),
            _ => assert_eq!(opened(&transmits).len(), 4, "each may be what the links die of"),
        }
    }
}

#[test]
fn what_was_gathered_for_a_link_that_dies_leaves_once_on_the_next() {
    let (mut queue, now, peer) = (linked(100), Instant::now(), node("w1"));
    let mut new = vec![message(Class::Normal); 4];
    // It leaves at once, while the messages are still being gathered.
    new.push(NewCommand { is_message: false, ..message(Class::Normal) });
    let ids = submit(&mut queue, new);
    assert!(matches!(queue.poll_transmit(now), Some(Transmit::Open { .. })));
    queue.handle_link_down(now, &peer);
    queue.handle_link_up(&peer, link_up(1));
    queue.handle_room(&peer, room(100));
    let (_, transmits) = settle(&mut queue, now);
    assert_eq!(batches(&transmits), [keys(&ids[..4])]);
    assert_eq!(opened(&transmits), [(peer, ids[4].key)]);
}
