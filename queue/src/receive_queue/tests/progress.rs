//! What runs: its deadline, the wish that it stop, and its updates.

use super::*;

#[test]
fn what_runs_is_told_to_stop_and_ends_as_its_handler_says() {
    let mut rig = Rig::new(config());
    rig.head(4, due_in(1, Duration::from_secs(3)));
    rig.turn();
    rig.cancel(1);
    rig.cancel(1);
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.turn().stops, [(key(1), StopReason::Cancelled)], "it is told once");
    rig.finish(1, done("nearly"));
    rig.turn().assert_last(4, &StreamFrame::Outcome(done("nearly")));
    assert_eq!(rig.queue.poll_timeout(), None);
}

#[test]
fn what_ends_before_its_start_is_said_says_its_outcome_alone() {
    let mut rig = Rig::new(config());
    rig.head(4, head(1));
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("the start is to be stored");
    rig.queue.handle_stored(batch.id);
    rig.finish(1, done("at once"));
    let said = rig.turn();
    assert_eq!(
        (said.starts.clone(), said.on(4)),
        (vec![key(1)], vec![StreamFrame::Outcome(done("at once"))])
    );
}

#[test]
fn the_wish_in_a_head_that_comes_again_is_heard() {
    let mut rig = Rig::running(ReceiveQueueConfig { running_max: 1, ..config() }, 1);
    rig.head(2, head(2));
    rig.queue.handle_link_up(&ctl(), link(2), key(1).epoch, Some(key(1).epoch), &[]);
    rig.queue.handle_room(&ctl(), room());
    for number in [1, 2] {
        rig.head_on(2, number, cancelled(number));
    }
    let said = rig.turn();
    assert_eq!(said.stops, [(key(1), StopReason::Cancelled)], "the one that runs is told");
    said.assert_last(2, &StreamFrame::Outcome(Outcome::Cancelled));
}

#[test]
fn a_handler_that_does_not_stop_has_failed_after_a_grace() {
    for (reason, kind) in [
        (StopReason::Cancelled, FailureKind::Cancelled),
        (StopReason::DeadlineExceeded, FailureKind::DeadlineExceeded),
    ] {
        let mut rig = Rig::new(config());
        rig.head(4, due_in(1, Duration::from_secs(60)));
        rig.turn();
        match reason {
            StopReason::Cancelled => rig.cancel(1),
            StopReason::DeadlineExceeded => rig.pass(Duration::from_secs(60)),
        }
        assert_eq!(rig.turn().stops, [(key(1), reason)]);
        rig.pass(Duration::from_millis(9_999));
        assert!(rig.turn().is_silent());
        rig.pass(Duration::from_millis(1));
        let outcome = Outcome::failed(kind, "the handler did not stop in time");
        rig.turn().assert_last(4, &StreamFrame::Outcome(outcome));

        rig.finish(1, done("late"));
        rig.update(1, "later");
        let said = rig.turn();
        assert_eq!((said.replies, said.rooms), (vec![], vec![(key(1), 5)]), "a late handler is not stuck");
        assert_eq!(rig.queue.counts().late, 1);
    }
}

#[test]
fn a_handler_that_asks_for_it_has_more_time_to_stop() {
    let mut rig = Rig::running(config(), 3);
    let want = |rig: &mut Rig, number, seconds| {
        rig.queue.handle_stop_grace(rig.now, &ctl(), key(number), Duration::from_secs(seconds));
    };
    want(&mut rig, 1, 30);
    want(&mut rig, 2, 3);
    for number in 1..=3 {
        rig.cancel(number);
    }
    rig.turn();
    rig.pass(Duration::from_secs(5));
    want(&mut rig, 3, 20);
    rig.pass(Duration::from_secs(5));
    let outcome =
        StreamFrame::Outcome(Outcome::failed(FailureKind::Cancelled, "the handler did not stop in time"));
    rig.turn().assert_last(2, &outcome);
    rig.pass(Duration::from_secs(15));
    rig.turn().assert_last(3, &outcome);
    rig.pass(Duration::from_secs(5));
    rig.turn().assert_last(1, &outcome);
}

#[test]
fn the_timer_is_armed_for_the_next_deadline_or_end_of_grace() {
    let mut rig = Rig::new(config());
    rig.head(1, due_in(1, Duration::from_secs(7)));
    rig.head(2, due_in(2, Duration::from_secs(5)));
    rig.turn();
    assert_eq!(rig.queue.poll_timeout(), Some(rig.now + Duration::from_secs(5)));
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.queue.poll_timeout(), Some(rig.now + Duration::from_secs(2)));
    rig.finish(1, done(""));
    rig.turn();
    assert_eq!(rig.queue.poll_timeout(), Some(rig.now + Duration::from_secs(10)));
    rig.finish(2, done(""));
    rig.turn();
    assert_eq!(rig.queue.poll_timeout(), None);
}

#[test]
fn a_deadline_beyond_the_clock_never_passes() {
    let mut rig = Rig::new(config());
    rig.head(4, due_in(1, Duration::MAX));
    assert_eq!(rig.turn().starts, [key(1)]);
    assert_eq!(rig.queue.poll_timeout(), None);
}

#[test]
fn deadlines_pass_while_the_machine_sleeps_but_the_time_to_stop_does_not() {
    let mut rig = Rig::new(ReceiveQueueConfig { running_max: 2, urgent_running_reserve: 0, ..config() });
    rig.head(1, due_in(1, Duration::from_secs(60)));
    rig.head(2, due_in(2, Duration::from_secs(3600)));
    rig.head(3, due_in(3, Duration::from_secs(60)));
    rig.turn();
    rig.cancel(2);
    rig.turn();
    rig.queue.handle_slept(Duration::from_secs(100));
    rig.pass(Duration::ZERO);
    let said = rig.turn();
    assert_eq!(said.stops, [(key(1), StopReason::DeadlineExceeded)]);
    said.assert_last(3, &StreamFrame::Outcome(Outcome::Expired));
    assert_eq!(rig.queue.poll_timeout(), Some(rig.now + Duration::from_secs(10)), "handlers slept too");
    for number in [1, 2] {
        rig.finish(number, done(""));
    }
    rig.turn();
    assert_eq!(rig.queue.poll_timeout(), None);
}

#[test]
fn updates_are_written_as_far_as_credit_goes_and_the_outcome_behind_them() {
    let mut rig = Rig::new(config());
    rig.head(4, Head { updates_credit: 3, ..head(1) });
    rig.turn();
    rig.update(1, "aaa");
    rig.update(1, "");
    rig.update(1, "bbb");
    rig.finish(1, done(""));
    assert_eq!(rig.turn().on(4), [update(1, "aaa")]);
    rig.queue.handle_credit(&ctl(), key(1), Part::ResultBody, 100);
    rig.queue.handle_credit(&ctl(), key(1), Part::Updates, 2);
    assert!(rig.turn().is_silent(), "credit never shrinks, and another part's is not its own");
    rig.queue.handle_credit(&ctl(), key(1), Part::Updates, 4);
    assert_eq!(rig.turn().on(4), [update(2, "bbb"), StreamFrame::Outcome(done(""))]);
}

#[test]
fn a_new_stream_goes_on_behind_the_updates_that_were_received() {
    let mut rig = Rig::running(config(), 1);
    for content in ["a", "bb", "ccc"] {
        rig.update(1, content);
    }
    rig.turn();
    rig.queue.handle_stream_lost(&ctl(), key(1), at(1, 1));
    rig.finish(1, done(""));
    assert!(rig.turn().replies.is_empty());
    rig.head(5, Head { updates_received: 2, resent: true, ..head(1) });
    let said = rig.turn();
    let expected = [ACCEPTED, StreamFrame::Started, update(3, "ccc"), StreamFrame::Outcome(done(""))];
    assert_eq!(said.on(5), expected);
    assert_eq!(said.rooms, [], "what was received may still be lost there");
}

#[test]
fn acknowledged_updates_give_room_to_their_handler() {
    let mut rig = Rig::running(config(), 1);
    rig.update(1, "aaa");
    rig.update(1, "bb");
    rig.turn();
    rig.queue.handle_received(&ctl(), key(1), 1, 0);
    rig.queue.handle_received(&ctl(), key(1), 1, 0);
    assert_eq!(rig.turn().rooms, [(key(1), 3)]);
    rig.queue.handle_received(&ctl(), key(1), 9, 0);
    assert_eq!(rig.turn().rooms, [(key(1), 2)], "a claim beyond what there is gives no more");
}

#[test]
fn an_outcome_that_waits_only_for_what_the_sender_holds_already_is_said() {
    let mut rig = Rig::new(config());
    rig.head(4, Head { updates_credit: 0, ..head(1) });
    rig.turn();
    rig.update(1, "aaa");
    rig.finish(1, done(""));
    rig.turn();
    rig.queue.handle_received(&ctl(), key(1), 1, 0);
    rig.turn().assert_last(4, &StreamFrame::Outcome(done("")));
}

#[test]
fn discarded_updates_are_not_sent_and_give_their_room_back_at_once() {
    let mut rig = Rig::new(config());
    rig.head(4, Head { updates: UpdatePolicy::Discard, ..head(1) });
    rig.turn();
    rig.update(1, "aaa");
    let said = rig.turn();
    assert_eq!((said.replies, said.rooms), (vec![], vec![(key(1), 3)]));
}
