//! Who gets in, on which stream, and who starts next.

use super::*;

#[test]
fn a_command_keeps_its_place_from_accepted_to_its_outcome() {
    let mut rig = Rig::running(config(), 3);
    assert_eq!(rig.queue.places(&ctl()), 3);
    rig.finish(2, done(""));
    assert_eq!(rig.queue.places(&ctl()), 3, "its outcome is not stored yet");
    rig.turn();
    assert_eq!(rig.queue.places(&ctl()), 2);
    rig.queue.handle_link_down(&ctl(), link(1));
    assert_eq!(rig.queue.places(&ctl()), 2, "handlers go on without a link");
}

#[test]
fn a_new_link_takes_over_and_the_old_one_is_refused_at_the_door() {
    let mut rig = Rig::running(config(), 1);
    rig.queue.handle_link_up(&ctl(), link(2), key(1).epoch, Some(key(1).epoch), &[]);
    rig.queue.handle_room(&ctl(), room());
    rig.update(1, "on the way");
    assert!(rig.drain().is_silent(), "the old stream is void");
    rig.head_on(1, 9, head(1));
    rig.head_on(1, 13, head(2));
    assert!(rig.turn().is_silent(), "nothing of the old link is heard");

    rig.head_on(2, 5, head(1));
    assert_eq!(rig.drain().on(5), [ACCEPTED, StreamFrame::Started, update(1, "on the way")]);
    rig.queue.handle_link_down(&ctl(), link(1));
    rig.finish(1, done(""));
    let said = rig.turn();
    said.assert_last(5, &StreamFrame::Outcome(done("")));
    assert_eq!(said.starts, [], "attached, not run again");
}

#[test]
fn a_second_head_on_the_same_link_is_a_duplicate_and_the_first_goes_on() {
    let mut rig = Rig::running(config(), 1);
    rig.head(9, head(1));
    rig.drain().assert_last(9, &StreamFrame::Duplicate);
    rig.finish(1, done(""));
    let said = rig.turn();
    assert_eq!(said.on(9), []);
    said.assert_last(1, &StreamFrame::Outcome(done("")));
}

#[test]
fn a_stream_that_was_overtaken_does_not_take_over() {
    let mut rig = Rig::new(config());
    rig.head(8, head(1));
    rig.turn();
    rig.queue.handle_stream_lost(&ctl(), key(1), at(1, 8));
    rig.head(4, head(1));
    rig.drain().assert_last(4, &StreamFrame::Duplicate);
    rig.head(12, head(1));
    assert_eq!(rig.drain().on(12), [ACCEPTED, StreamFrame::Started]);
}

#[test]
fn the_loss_of_an_older_stream_does_not_detach_the_newer() {
    let mut rig = Rig::running(config(), 1);
    rig.queue.handle_stream_lost(&ctl(), key(1), at(1, 1));
    rig.head(5, head(1));
    rig.queue.handle_stream_lost(&ctl(), key(1), at(1, 1));
    rig.finish(1, done(""));
    rig.turn().assert_last(5, &StreamFrame::Outcome(done("")));
}

#[test]
fn a_head_that_comes_again_gets_the_stored_outcome() {
    let mut rig = Rig::running(config(), 1);
    rig.finish(1, done("first"));
    rig.turn();
    rig.finish(1, done("second"));
    rig.cancel(1);
    for stream in [5, 9] {
        rig.head(stream, Head { resent: true, ..cancelled(1) });
        let said = rig.turn();
        assert_eq!(said.on(stream), [StreamFrame::Outcome(done("first"))], "an outcome does not change");
        assert_eq!((said.starts, said.stops), (vec![], vec![]));
    }
    assert_eq!(rig.queue.counts().late, 1);
}

#[test]
fn a_known_command_is_never_answered_busy() {
    let mut rig = Rig::running(narrow(), 1);
    rig.queue.handle_link_up(&ctl(), link(2), key(1).epoch, Some(key(1).epoch), &[]);
    rig.queue.handle_room(&ctl(), room());
    rig.head_on(2, 5, head(2));
    assert_eq!(busy_scope(&rig.drain().on(5)), Some(BusyScope::Peer));
    rig.head_on(2, 9, head(1));
    assert_eq!(rig.drain().on(9), [ACCEPTED, StreamFrame::Started]);
}

#[test]
fn a_command_that_was_answered_busy_is_new_when_it_comes_again() {
    let mut rig = Rig::running(narrow(), 1);
    rig.head(5, head(2));
    rig.turn();
    rig.finish(1, done(""));
    rig.turn();
    rig.head(9, head(2));
    assert_eq!(rig.turn().starts, [key(2)]);
}

#[test]
fn whether_a_head_was_sent_before_decides_nothing() {
    let mut rig = Rig::new(config());
    rig.head(4, Head { resent: true, ..head(1) });
    assert_eq!(rig.turn().starts, [key(1)], "its first copy was lost");
    rig.queue.handle_stream_lost(&ctl(), key(1), at(1, 4));
    rig.head(8, Head { resent: false, ..head(1) });
    assert_eq!(rig.turn().on(8), [ACCEPTED, StreamFrame::Started], "it is known, so it goes on");
}

#[test]
fn a_head_that_tells_of_a_run_which_is_not_known_here_is_not_run_again() {
    let lost = StreamFrame::Outcome(Outcome::Unknown(UnknownReason::ReceiverStateLost));
    for told in [Head { updates_received: 1, ..head(1) }, Head { result_body_received: 1, ..head(1) }] {
        let mut rig = Rig::new(config());
        rig.head(4, told);
        let said = rig.turn();
        said.assert_last(4, &lost);
        assert_eq!((said.starts, rig.queue.places(&ctl())), (vec![], 0));
    }
}

#[test]
fn busy_asks_for_a_pause_with_jitter() {
    let mut rig = Rig::running(narrow(), 1);
    let mut pauses = BTreeSet::new();
    for number in 2..50 {
        rig.head(number, head(number));
        for (_, frame, is_last) in rig.drain().replies {
            let StreamFrame::Busy { retry_after, .. } = frame else { panic!("{frame:?}") };
            assert!(is_last && (500..750).contains(&retry_after.as_millis()), "{retry_after:?}");
            pauses.insert(retry_after);
        }
    }
    assert!(pauses.len() > 40, "senders that were refused together would come back together: {pauses:?}");
}

#[test]
fn the_last_places_are_for_urgent_and_busy_names_its_scope() {
    let narrow =
        ReceiveQueueConfig { commands_max: 6, urgent_reserve: 2, sender_commands_min: 0, ..config() };
    let mut rig = Rig::new(narrow);
    for number in 1..=4 {
        rig.head(number, head(number));
    }
    rig.drain();
    rig.head(5, head(5));
    assert_eq!(busy_scope(&rig.drain().on(5)), Some(BusyScope::Class));
    for number in [6, 7] {
        rig.head(number, urgent(number));
        assert_eq!(rig.drain().on(number), [ACCEPTED]);
    }
    rig.head(8, urgent(8));
    assert_eq!(busy_scope(&rig.drain().on(8)), Some(BusyScope::Peer));
}

#[test]
fn one_sender_cannot_take_the_share_of_another() {
    let mut rig = Rig::new(ReceiveQueueConfig { commands_max: 4, urgent_reserve: 0, ..config() });
    for number in 1..200 {
        rig.head(number, head(number));
    }
    rig.turn();
    let other = node("other");
    rig.queue.handle_link_up(&other, link(1), key(1).epoch, Some(key(1).epoch), &[]);
    rig.queue.handle_head(rig.now, &other, at(1, 5), head(1), Bytes::new());
    assert_eq!(rig.turn().starts, [key(1)]);
    assert_eq!((rig.queue.places(&ctl()), rig.queue.places(&other)), (32, 1));
}

#[test]
fn bytes_that_wait_are_bounded_and_free_again_once_the_handler_has_them() {
    let narrow =
        ReceiveQueueConfig { sender_bytes_max: 8, urgent_reserve_bytes: 0, running_max: 1, ..config() };
    let mut rig = Rig::running(narrow, 1);
    for number in 2..=4 {
        rig.head(number, head(number));
    }
    let said = rig.drain();
    assert_eq!((said.on(3), busy_scope(&said.on(4))), (vec![ACCEPTED], Some(BusyScope::Peer)));
    assert_eq!(rig.queue.counts().waiting_bytes, 8);
    rig.finish(1, done(""));
    assert_eq!(rig.turn().starts, [key(2)]);
    rig.head(9, head(4));
    assert_eq!(rig.drain().on(9), [ACCEPTED]);
}

#[test]
fn the_journal_of_a_sender_is_bounded_for_tombstones_too() {
    let mut rig = Rig::new(ReceiveQueueConfig { journal_max: 3, ..config() });
    rig.head(1, cancelled(1));
    rig.head(2, due_in(2, Duration::ZERO));
    rig.cancel(3);
    rig.cancel(4);
    rig.turn();
    for (stream, head) in [(11, head(11)), (12, cancelled(12)), (13, due_in(13, Duration::ZERO))] {
        rig.head(stream, head);
        assert_eq!(busy_scope(&rig.turn().on(stream)), Some(BusyScope::Peer));
    }
    assert_eq!(rig.queue.counts().remembered, 3);
    rig.settle(1);
    rig.turn();
    rig.head(21, head(21));
    assert_eq!(rig.drain().on(21), [ACCEPTED], "what is settled makes room");
}

#[test]
fn bytes_kept_for_a_sender_that_does_not_settle_are_bounded() {
    let mut rig = Rig::running(ReceiveQueueConfig { journal_bytes_max: 10, ..config() }, 1);
    rig.update(1, "update");
    rig.finish(1, done("0123456789"));
    rig.turn();
    assert_eq!(rig.queue.counts().kept_bytes, 16);
    rig.head(5, head(2));
    assert_eq!(busy_scope(&rig.drain().on(5)), Some(BusyScope::Peer));
    rig.settle(1);
    rig.turn();
    assert_eq!(rig.queue.counts().kept_bytes, 0);
    rig.head(9, head(2));
    assert_eq!(rig.drain().on(9), [ACCEPTED]);
}

#[test]
fn commands_start_by_class_and_then_fairly_by_sender() {
    let mut rig = Rig::running(ReceiveQueueConfig { running_max: 1, ..config() }, 1);
    let other = node("other");
    rig.queue.handle_link_up(&other, link(1), key(1).epoch, Some(key(1).epoch), &[]);
    for number in 2..=4 {
        rig.head(number, head(number));
    }
    rig.queue.handle_head(rig.now, &other, at(1, 1), head(11), Bytes::new());
    rig.queue.handle_head(rig.now, &other, at(1, 5), urgent(12), Bytes::new());
    let (mut order, mut previous) = (Vec::new(), (ctl(), key(1)));
    for _ in 0..5 {
        rig.queue.handle_finished(&previous.0, previous.1, done(""));
        while let Some(batch) = rig.queue.poll_store(rig.now, &CLOCK) {
            rig.queue.handle_stored(batch.id);
        }
        let start = rig.queue.poll_start().expect("a place is free");
        assert_eq!(rig.queue.poll_start(), None, "only one place is free");
        order.push(start.key);
        previous = (start.from, start.key);
    }
    assert_eq!(order, [12, 2, 11, 3, 4].map(key));
}

#[test]
fn an_urgent_command_starts_though_others_take_all_the_places_they_may() {
    for (reserve, expected) in [(1, 3), (32, 2), (0, 4)] {
        let mut rig =
            Rig::new(ReceiveQueueConfig { running_max: 4, urgent_running_reserve: reserve, ..config() });
        for number in 1..=5 {
            rig.head(number, head(number));
        }
        assert_eq!(rig.turn().starts.len(), expected, "with a reserve of {reserve}");
        for number in 6..=9 {
            rig.head(number, urgent(number));
        }
        assert_eq!(rig.turn().starts.len(), 4 - expected, "the reserve is for urgent ones");
        rig.finish(1, done(""));
        assert_eq!(rig.turn().starts.len(), 1, "the next urgent one goes first");
    }
}

#[test]
fn the_reserve_is_not_handed_on_to_others_by_an_urgent_command_that_ends() {
    let mut rig =
        Rig::running(ReceiveQueueConfig { running_max: 2, urgent_running_reserve: 1, ..config() }, 1);
    rig.head(2, head(2));
    rig.head(3, urgent(3));
    assert_eq!(rig.turn().starts, [key(3)]);
    rig.finish(3, done(""));
    assert_eq!(rig.turn().starts, []);
    rig.finish(1, done(""));
    assert_eq!(rig.turn().starts, [key(2)]);
}

#[test]
fn a_limit_on_a_type_holds_up_that_type_alone() {
    let running_max_by_name = [("test.note/1".to_owned(), 1)].into();
    let mut rig = Rig::new(ReceiveQueueConfig { running_max_by_name, ..config() });
    rig.head(1, head(1));
    rig.head(2, head(2));
    rig.head(3, Head { name: "test.other/1".parse().unwrap(), ..head(3) });
    let said = rig.turn();
    assert_eq!(said.starts, [key(1), key(3)]);
    assert_eq!(said.on(2), [ACCEPTED], "the limit is no reason for Busy");
    rig.finish(1, done(""));
    assert_eq!(rig.turn().starts, [key(2)]);
}
