//! Nothing is said before it is stored, and nothing is remembered once it is settled.

use super::*;
use crate::journal::Batch;
use crate::store::{Change, Row};

/// The runs that a batch writes, with their outcomes.
fn runs(batch: &Batch) -> Vec<(CommandKey, Option<Outcome>)> {
    let run = |change: &Change| match change {
        Change::Put(Row::Run(_, key, row)) => Some((*key, row.outcome.clone())),
        _ => None,
    };
    batch.changes.iter().filter_map(run).collect()
}

#[test]
fn a_handler_is_called_and_its_start_said_once_the_record_is_stored() {
    let mut rig = Rig::new(config());
    rig.queue.handle_head(rig.now, &ctl(), at(1, 4), head(1), Bytes::from_static(b"payload"));
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("the start is to be stored");
    assert_eq!(runs(&batch), [(key(1), None)]);
    assert_eq!(rig.drain().on(4), [ACCEPTED], "nothing more is said yet");

    rig.queue.handle_stored(batch.id);
    let start = rig.queue.poll_start().expect("the handler is called");
    assert_eq!((start.key, start.args, start.payload), (key(1), "args".into(), "payload".into()));
    assert_eq!(rig.drain().on(4), [StreamFrame::Started]);
}

#[test]
fn an_outcome_is_said_once_its_record_is_stored() {
    let mut rig = Rig::running(config(), 1);
    rig.finish(1, done("yes"));
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("the end is to be stored");
    assert_eq!(runs(&batch), [(key(1), Some(done("yes")))]);
    assert!(rig.drain().is_silent());
    rig.queue.handle_stored(batch.id);
    rig.drain().assert_last(1, &StreamFrame::Outcome(done("yes")));
}

#[test]
fn never_is_journaled_before_it_is_said() {
    let reject = |rig: &mut Rig| {
        rig.head(4, head(1));
        let rejection = Rejection { kind: RejectionKind::Denied, message: "no".to_owned() };
        rig.queue.reject(&ctl(), key(1), rejection);
    };
    let expire = |rig: &mut Rig| {
        rig.head(4, due_in(1, Duration::from_secs(1)));
        rig.pass(Duration::from_secs(1));
    };
    let cases: [(Bring<'_>, Outcome); 5] = [
        (&reject, Outcome::rejected(RejectionKind::Denied, "no")),
        (&expire, Outcome::Expired),
        (&|rig| rig.head(4, due_in(1, Duration::ZERO)), Outcome::Expired),
        (&|rig| rig.head(4, cancelled(1)), Outcome::Cancelled),
        (
            &|rig| {
                rig.head(4, head(1));
                rig.cancel(1);
            },
            Outcome::Cancelled,
        ),
    ];
    for (bring, outcome) in cases {
        let mut rig = Rig::new(config());
        bring(&mut rig);
        let is_outcome = |(_, frame, _): &(u64, StreamFrame, bool)| matches!(frame, StreamFrame::Outcome(_));
        assert!(!rig.drain().replies.iter().any(is_outcome), "{outcome:?} is said too early");
        let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("a tombstone");
        assert_eq!(runs(&batch), [(key(1), Some(outcome.clone()))]);
        rig.queue.handle_stored(batch.id);
        let said = rig.turn();
        said.assert_last(4, &StreamFrame::Outcome(outcome));
        assert_eq!(said.starts, []);
    }
}

#[test]
fn a_cancel_that_overtakes_its_head_is_kept_for_it() {
    let mut rig = Rig::new(config());
    rig.cancel(1);
    assert!(rig.turn().is_silent());
    rig.head(4, head(1));
    let said = rig.turn();
    assert_eq!(said.on(4), [StreamFrame::Outcome(Outcome::Cancelled)]);
    assert_eq!((said.starts, rig.queue.places(&ctl())), (vec![], 0));
}

#[test]
fn what_is_called_off_while_its_start_is_being_stored_is_not_run() {
    let cancel = |rig: &mut Rig| rig.cancel(1);
    let expire = |rig: &mut Rig| rig.pass(Duration::from_secs(5));
    let cases: [(Bring<'_>, Outcome); 2] = [(&cancel, Outcome::Cancelled), (&expire, Outcome::Expired)];
    for (call_off, outcome) in cases {
        let mut rig = Rig::new(config());
        rig.head(4, due_in(1, Duration::from_secs(5)));
        let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("the start is to be stored");
        call_off(&mut rig);
        rig.queue.handle_stored(batch.id);
        let said = rig.turn();
        assert_eq!(said.on(4), [StreamFrame::Outcome(outcome)]);
        assert_eq!((said.starts, said.stops), (vec![], vec![]));
        assert_eq!(rig.queue.counts().running, 0);
    }
}

#[test]
fn a_settled_command_is_stale_and_never_run_not_even_before_that_is_stored() {
    let mut rig = Rig::new(config());
    let ranges = vec![(key(5).seq, key(6).seq)];
    let settled = Settled { ranges, ..settled(2) };
    rig.queue.handle_link_up(
        &ctl(),
        link(2),
        key(1).epoch,
        Some(key(1).epoch),
        std::slice::from_ref(&settled),
    );
    rig.queue.handle_room(&ctl(), room());
    for number in [1, 2, 5, 6] {
        rig.head_on(2, number, head(number));
        rig.drain().assert_last(number, &StreamFrame::Stale);
    }
    rig.head_on(2, 3, head(3));
    assert_eq!(rig.turn().starts, [key(3)]);
    rig.cancel(1);
    assert_eq!(rig.queue.counts().remembered, 1, "a cancel of it leaves no tombstone");
}

#[test]
fn the_journal_is_pruned_once_the_settling_is_stored() {
    let mut rig = Rig::running(config(), 2);
    rig.finish(1, done(""));
    rig.turn();
    rig.settle(1);
    assert_eq!(rig.queue.counts().remembered, 2);
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("the settling is to be stored");
    assert!(batch.changes.contains(&Change::Delete(RowKey::Run(ctl(), key(1)))));
    rig.queue.handle_stored(batch.id);
    assert_eq!(rig.queue.counts().remembered, 1);
    rig.settle(1);
    assert_eq!(rig.queue.poll_store(rig.now, &CLOCK), None, "what is said again is not stored again");
}

#[test]
fn what_its_sender_gave_up_is_not_started_and_not_remembered() {
    let mut rig = Rig::running(ReceiveQueueConfig { running_max: 1, ..config() }, 1);
    rig.head(2, head(2));
    rig.settle(2);
    assert_eq!(rig.turn().starts, []);
    assert_eq!(rig.queue.counts().waiting, 0);
    rig.finish(1, done(""));
    rig.turn();
    assert!(!rig.queue.owes(&ctl()), "what ran has ended and is forgotten as well");
    assert_eq!(rig.queue.counts(), ReceiveCounts::default());
}

#[test]
fn what_is_given_up_while_its_start_is_being_stored_is_not_run() {
    let mut rig = Rig::new(config());
    rig.head(4, head(1));
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("the start is to be stored");
    rig.settle(1);
    rig.queue.handle_stored(batch.id);
    assert_eq!(rig.turn().starts, []);
    assert_eq!(rig.queue.counts(), ReceiveCounts::default());
}

#[test]
fn urgent_records_are_stored_first_but_none_overtakes_an_earlier_one_of_its_command() {
    let mut rig = Rig::new(config());
    rig.head(1, head(1));
    rig.turn();
    rig.finish(1, done(""));
    rig.head(3, urgent(3));
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("two records");
    assert_eq!(runs(&batch), [(key(3), None), (key(1), Some(done("")))]);
    rig.turn();
    let mut rig = Rig::new(config());
    rig.head(1, urgent(1));
    rig.turn();
    rig.settle(1);
    rig.finish(1, done(""));
    let batch = rig.queue.poll_store(rig.now, &CLOCK).expect("two records");
    assert_eq!(runs(&batch), [], "the end of what was given up does not overtake the settling");
    assert!(batch.changes.contains(&Change::Delete(RowKey::Run(ctl(), key(1)))));
}
