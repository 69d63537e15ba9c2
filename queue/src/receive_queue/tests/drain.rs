//! A queue whose node is about to stop.

use super::*;

#[test]
fn what_runs_ends_and_nothing_else_starts() {
    let mut rig = Rig::running(ReceiveQueueConfig { running_max: 1, ..config() }, 1);
    rig.head(2, head(2));
    rig.turn();
    rig.queue.handle_draining();
    rig.finish(1, done("in time"));
    let said = rig.turn();
    said.assert_last(1, &StreamFrame::Outcome(done("in time")));
    assert_eq!(said.starts, [], "the other one waits although there is a place");
}

#[test]
fn a_new_command_is_answered_busy_and_a_known_one_attaches() {
    let mut rig = Rig::running(config(), 1);
    rig.queue.handle_draining();
    rig.head(2, head(2));
    rig.queue.handle_link_up(&ctl(), link(2), key(1).epoch, Some(key(1).epoch), &[]);
    rig.head_on(2, 5, head(1));
    rig.finish(1, done("in time"));
    let said = rig.turn();
    let is_busy = |frame: &StreamFrame| matches!(frame, StreamFrame::Busy { scope: BusyScope::Peer, .. });
    assert!(said.replies.iter().any(|(stream, frame, _)| *stream == 2 && is_busy(frame)), "{said:?}");
    said.assert_last(5, &StreamFrame::Outcome(done("in time")));
}

#[test]
fn an_outcome_is_owed_until_it_is_settled() {
    let mut rig = Rig::running(config(), 1);
    assert!(!rig.queue.owes_outcomes(&ctl()), "what runs has no outcome");
    rig.finish(1, done("in time"));
    assert!(rig.queue.owes_outcomes(&ctl()));
    rig.turn();
    assert!(rig.queue.owes_outcomes(&ctl()), "said is not settled");
    rig.settle(1);
    rig.turn();
    assert!(!rig.queue.owes_outcomes(&ctl()));
}

#[test]
fn an_outcome_that_no_stream_asks_for_is_not_owed() {
    let mut rig = Rig::running(config(), 1);
    rig.finish(1, done("in time"));
    rig.queue.handle_link_up(&ctl(), link(2), key(1).epoch, Some(key(1).epoch), &[]);
    rig.turn();
    assert!(!rig.queue.owes_outcomes(&ctl()));
    rig.head_on(2, 5, head(1));
    assert!(rig.queue.owes_outcomes(&ctl()));
}
