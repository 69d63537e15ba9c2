//! What is stored: enough to go on from, and no more than that.

use runnel_codec::{BodyEnd, Lineage, UnknownReason};

use super::*;
use crate::positions::Regressed;
use crate::store::{Change, Row};

/// A store that takes every batch at once.
#[derive(Default)]
struct Rows(BTreeMap<RowKey, Row>);

impl Rows {
    fn take(&mut self, rig: &mut Rig) -> Said {
        loop {
            match rig.queue.poll_store(rig.now, &CLOCK) {
                Some(batch) => {
                    for change in batch.changes {
                        match change {
                            Change::Put(row) => drop(self.0.insert(row.key(), row)),
                            Change::Delete(key) => drop(self.0.remove(&key)),
                        }
                    }
                    rig.queue.handle_stored(batch.id);
                }
                None => return rig.drain(),
            }
        }
    }

    /// Another process goes on from the rows, at this reading of the clocks, with a link up.
    fn restart(&self, clock: ClockReading) -> Rig {
        let mut queue = ReceiveQueue::new(config(), 2);
        let rows: Vec<_> = self.0.values().cloned().collect();
        queue.recover(Instant::now(), &clock, &StoreRow::new(Epoch::from_random(99)), &rows);
        queue.durable.close();
        let mut rig = Rig { queue, now: Instant::now() };
        meet(&mut rig, 2, 7);
        rig
    }
}

/// A link from a sender whose store has this epoch.
fn meet(rig: &mut Rig, link_number: u64, store: u64) {
    let (boot, store) = (Epoch::from_random(1000 + link_number), Epoch::from_random(store));
    rig.queue.handle_link_up(&ctl(), link(link_number), boot, Some(store), &[]);
    rig.queue.handle_room(&ctl(), room());
}

fn is_run(key: &RowKey) -> bool {
    matches!(key, RowKey::Run(..) | RowKey::Token(..) | RowKey::Output(..) | RowKey::ResultPiece(..))
}

#[test]
fn what_its_sender_lacks_of_an_ended_command_is_said_by_the_next_process() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, head(1));
    rows.take(&mut rig);
    rig.queue.handle_stream_lost(&ctl(), key(1), at(1, 4));
    for content in ["a", "bb", "ccc"] {
        rig.update(1, content);
    }
    rig.queue.handle_received(&ctl(), key(1), 1, 0);
    rig.finish(1, done("yes"));
    rows.take(&mut rig);

    let mut rig = rows.restart(CLOCK);
    rig.head_on(2, 8, Head { updates_received: 1, resent: true, ..head(1) });
    let said = rows.take(&mut rig);
    let expected = [
        ACCEPTED,
        StreamFrame::Started,
        update(2, "bb"),
        update(3, "ccc"),
        StreamFrame::Outcome(done("yes")),
    ];
    assert_eq!((said.on(8), said.starts), (expected.to_vec(), vec![]));

    rig.settle(1);
    rows.take(&mut rig);
    assert!(!rows.0.keys().any(is_run), "{:?}", rows.0.keys());
    let mut rig = rows.restart(CLOCK);
    rig.head_on(2, 12, head(1));
    rows.take(&mut rig).assert_last(12, &StreamFrame::Stale);
}

/// A batch that deletes the rows of settled commands may be lost while an earlier one has told that they are settled.
#[test]
fn what_was_settled_before_a_crash_leaves_nothing_behind() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    for number in 1..=2 {
        rig.head(4 * number, Head { idempotent: true, ..head(number) });
    }
    rows.take(&mut rig);
    rig.finish(1, done("yes"));
    rows.take(&mut rig);
    let runs: Vec<_> = rows.0.values().filter(|row| is_run(&row.key())).cloned().collect();
    assert_eq!(runs.len(), 2, "one has ended, one is at work");
    rig.settle(2);
    rows.take(&mut rig);
    rows.0.extend(runs.into_iter().map(|row| (row.key(), row)));

    let mut rig = rows.restart(CLOCK);
    rig.settle(2);
    assert!(rows.take(&mut rig).is_silent());
    assert_eq!(rig.queue.counts().remembered, 0);
    assert!(!rows.0.keys().any(is_run), "{:?}", rows.0.keys());
}

#[test]
fn a_handler_that_left_a_token_is_called_again_with_it_and_goes_on_counting_its_updates() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, head(1));
    rows.take(&mut rig);
    rig.queue.handle_token(&ctl(), key(1), "its folder".into());
    assert_eq!(rig.queue.poll_token_stored(), None, "not before it is stored");
    rows.take(&mut rig);
    assert_eq!(rig.queue.poll_token_stored(), Some((ctl(), key(1))));

    let mut rig = rows.restart(CLOCK);
    let start = rig.queue.poll_start().expect("it is called again");
    assert_eq!((start.key, start.recover, start.args), (key(1), Some("its folder".into()), Bytes::new()));
    assert_eq!(rig.queue.counts().running, 1);
    rig.queue.handle_resumed(&ctl(), key(1), 2, 20);
    rig.head_on(2, 8, Head { updates_received: 3, updates_credit: 100, resent: true, ..head(1) });
    rig.update(1, "the third again");
    rig.update(1, "the fourth");
    rig.finish(1, done(""));
    let said = rows.take(&mut rig);
    let expected = [ACCEPTED, StreamFrame::Started, update(4, "the fourth"), StreamFrame::Outcome(done(""))];
    assert_eq!(said.on(8), expected);
}

#[test]
fn an_idempotent_command_is_run_by_three_processes_at_most() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    for run in 1..=3 {
        rig.head_on(run, run * 4, Head { idempotent: true, ..head(1) });
        assert_eq!(rows.take(&mut rig).starts, [key(1)], "run {run}");
        rig = rows.restart(CLOCK);
        meet(&mut rig, run + 1, 7);
    }
    rig.head_on(4, 40, Head { idempotent: true, ..head(1) });
    let poisoned = StreamFrame::Outcome(Outcome::Unknown(UnknownReason::Poisoned));
    rows.take(&mut rig).assert_last(40, &poisoned);
}

#[test]
fn an_interrupted_idempotent_command_that_has_said_something_lost_its_handler_and_not_the_journal() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, Head { idempotent: true, ..head(1) });
    rows.take(&mut rig);
    let mut rig = rows.restart(CLOCK);
    rig.head_on(2, 8, Head { idempotent: true, updates_received: 1, resent: true, ..head(1) });
    let said = rows.take(&mut rig);
    let lost = StreamFrame::Outcome(Outcome::Unknown(UnknownReason::HandlerLost));
    said.assert_last(8, &lost);
    assert_eq!(said.starts, []);
    // The next process says the same and nothing before it: it never accepted the command.
    let mut rig = rows.restart(CLOCK);
    rig.head_on(2, 8, Head { idempotent: true, updates_received: 1, resent: true, ..head(1) });
    assert_eq!(rows.take(&mut rig).on(8), [lost]);
}

#[test]
fn a_deadline_goes_on_while_the_process_does_not() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, due_in(1, Duration::from_secs(10)));
    rows.take(&mut rig);
    rig.queue.handle_token(&ctl(), key(1), "t".into());
    rows.take(&mut rig);
    let later = ClockReading { uptime: CLOCK.uptime + Duration::from_secs(9), ..CLOCK };
    let mut rig = rows.restart(later);
    rig.pass(Duration::from_millis(1_100));
    assert_eq!(rig.turn().stops, [(key(1), StopReason::DeadlineExceeded)]);
}

#[test]
fn a_forgotten_sender_has_a_new_journal_and_nothing_of_the_old_one_is_kept() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    for number in 1..=2 {
        rig.head(number * 4, head(number));
    }
    rows.take(&mut rig);
    rig.finish(1, done(""));
    rows.take(&mut rig);
    let before = rig.queue.receiver_epoch(&ctl(), Some(key(1).epoch));
    rig.queue.handle_link_down(&ctl(), link(1));
    rig.queue.forget(&ctl()).expect("it is known");
    rows.take(&mut rig);
    assert!(!rows.0.keys().any(is_run), "{:?}", rows.0.keys());
    let after = rig.queue.receiver_epoch(&ctl(), Some(key(1).epoch));
    assert!(before.is_some() && before != after);
    rig.finish(2, done(""));
    assert!(rows.take(&mut rig).is_silent(), "the handler goes on unheard");
    assert!(!rows.0.keys().any(is_run) && rig.queue.counts().remembered == 0);
    assert_eq!(
        rows.restart(CLOCK).queue.receiver_epoch(&ctl(), Some(key(1).epoch)),
        after,
        "and that is stored"
    );
}

#[test]
fn a_store_that_comes_back_after_it_was_replaced_meets_another_journal() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, head(1));
    rows.take(&mut rig);
    let (old, new) = (Some(Epoch::from_random(7)), Some(Epoch::from_random(8)));
    let journal = |rig: &Rig, store| rig.queue.receiver_epoch(&ctl(), store);
    let (of_old, of_new) = (journal(&rig, old), journal(&rig, new));
    meet(&mut rig, 2, 8);
    rows.take(&mut rig);
    assert!(!rows.0.keys().any(is_run), "what the older store sent is gone");
    assert_eq!(journal(&rig, new), of_new, "the new one was told the right one before it was met");
    assert_ne!(journal(&rig, old), of_old);
    let mut rig = rows.restart(CLOCK);
    assert_ne!(journal(&rig, old), of_old, "and that is stored");
    meet(&mut rig, 3, 7);
    rig.head_on(3, 4, head(2));
    assert_eq!(rows.take(&mut rig).starts, [key(2)]);
}

#[test]
fn a_store_that_has_forgotten_what_is_known_here_is_found_out() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, head(5));
    rows.take(&mut rig);
    let store = Some(key(1).epoch);
    let check =
        |rig: &Rig, store, sent: &[Reach]| rig.queue.check_store(&ctl(), store, &Lineage::default(), sent);
    let sent = |position| [Reach { process: 1, position }];
    assert!(check(&rig, store, &sent(5)).is_ok());
    assert!(check(&rig, store, &sent(4)).is_err());
    assert!(check(&rig, Some(Epoch::from_random(8)), &[]).is_ok(), "a new one has promised nothing");
    let rig = rows.restart(CLOCK);
    assert!(check(&rig, store, &sent(4)).is_err());
    assert!(!rig.queue.journaled_positions(&ctl()).is_empty());
}

/// The process of this number, in a store that these processes have had.
fn met(boots: &[u64]) -> (Lineage, Option<StoreProcess>) {
    let mut lineage = Lineage::default();
    boots.iter().for_each(|boot| lineage.push(Epoch::from_random(*boot)));
    let newest = lineage.newest();
    (lineage, newest)
}

#[test]
fn of_two_copies_the_one_that_is_met_first_stays() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    let store = Some(key(1).epoch);
    let (before, process) = met(&[20]);
    rig.queue.handle_process_met(&ctl(), process);
    let (copy, process) = met(&[20, 21]);
    let check = |rig: &Rig, lineage: &Lineage| rig.queue.check_store(&ctl(), store, lineage, &[]);
    assert!(check(&rig, &copy).is_ok(), "it may be the next process of the same store");
    rig.queue.handle_process_met(&ctl(), process);
    rig.head(4, head(1));
    rows.take(&mut rig);
    let rig = rows.restart(CLOCK);
    for other in [before, met(&[20, 22]).0, met(&[20, 22, 23]).0] {
        let refused = rig.queue.check_store(&ctl(), store, &other, &[Reach { process: 2, position: 9 }]);
        assert!(matches!(refused, Err(Regressed::Process { .. })), "{refused:?}");
    }
    let next = met(&[20, 21, 24]).0;
    let sent = [Reach { process: 2, position: 1 }];
    assert!(rig.queue.check_store(&ctl(), store, &next, &sent).is_ok(), "and its restarts are let in");
}

#[test]
fn a_copy_whose_numbers_have_passed_those_of_the_original_is_found_out() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.queue.handle_process_met(&ctl(), met(&[20]).1);
    rig.head(4, head(3));
    rows.take(&mut rig);
    let (store, copy) = (Some(key(1).epoch), met(&[20, 21]).0);
    let reach = |process, position| Reach { process, position };
    let refused = rig.queue.check_store(&ctl(), store, &copy, &[reach(1, 2), reach(2, 7)]);
    assert_eq!(refused, Err(Regressed::Sender { claimed: 2, known: 3 }), "it gave 3 to another command");
    assert!(rig.queue.check_store(&ctl(), store, &copy, &[reach(1, 3), reach(2, 7)]).is_ok());
}

#[test]
fn a_command_that_is_said_to_have_started_is_not_run_by_a_journal_that_does_not_know_it() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, Head { started: true, resent: true, ..head(1) });
    let said = rows.take(&mut rig);
    assert!(said.starts.is_empty());
    let lost = StreamFrame::Outcome(Outcome::Unknown(UnknownReason::ReceiverStateLost));
    assert_eq!(said.on(4), [lost]);
}

#[test]
fn an_idempotent_command_is_run_again_though_it_is_said_to_have_started() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    let idempotent = Head { idempotent: true, ..head(1) };
    rig.head(4, idempotent.clone());
    assert_eq!(rows.take(&mut rig).starts, [key(1)]);
    let mut rig = rows.restart(CLOCK);
    rig.head_on(2, 8, Head { started: true, resent: true, ..idempotent });
    assert_eq!(rows.take(&mut rig).starts, [key(1)]);
}

#[test]
fn what_its_sender_has_of_a_result_body_is_not_said_again_by_the_next_process() {
    let end = BodyEnd { bytes: 6, hash: [0; 32] };
    for (received, rest) in [(0, &b"abcdef"[..]), (4, b"ef"), (6, b"")] {
        let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
        rig.head(4, Head { result_body_credit: 100, ..head(1) });
        rows.take(&mut rig);
        rig.queue.handle_result_body(&ctl(), key(1), Bytes::from_static(b"abc"));
        rig.queue.handle_result_body(&ctl(), key(1), Bytes::from_static(b"def"));
        rig.queue.handle_result_body_end(&ctl(), key(1), end);
        rig.finish(1, done("yes"));
        rows.take(&mut rig);

        let mut rig = rows.restart(CLOCK);
        let resent =
            Head { result_body_received: received, result_body_credit: 100, resent: true, ..head(1) };
        rig.head_on(2, 8, resent);
        let said = rows.take(&mut rig).on(8);
        assert_eq!(result_bytes(&said), rest, "{received} bytes were received");
        let last = [StreamFrame::ResultBodyEnd(end), StreamFrame::Outcome(done("yes"))];
        assert_eq!(said[said.len() - 2..], last, "{received} bytes were received");
    }
}

/// A handler that left a token, in the next process.
fn recovered(head: Head) -> (Rig, Rows) {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    rig.head(4, head);
    rows.take(&mut rig);
    rig.queue.handle_token(&ctl(), key(1), "t".into());
    rows.take(&mut rig);
    let rig = rows.restart(CLOCK);
    (rig, rows)
}

#[test]
fn a_recovered_handler_gets_its_body_again_from_the_beginning_once_it_wants_it() {
    let with_body = Head { has_body: true, ..head(1) };
    let (mut rig, mut rows) = recovered(with_body.clone());
    assert!(rig.queue.poll_start().is_some_and(|start| start.has_body));
    rig.head_on(2, 8, Head { resent: true, ..with_body.clone() });
    assert_eq!(rows.take(&mut rig).on(8), [ACCEPTED, StreamFrame::Started], "nothing may be written");
    assert_eq!(rig.queue.poll_credit(), None);
    rig.queue.handle_body_wanted(&ctl(), key(1));
    let window = config().body_window_bytes;
    assert_eq!(rig.queue.poll_credit(), Some((ctl(), key(1), window)));
    rig.queue.handle_frame(&ctl(), key(1), at(2, 8), StreamFrame::Body("abc".into())).unwrap();
    let delivery = rig.queue.poll_delivery().expect("it is read");
    assert_eq!(delivery.part, DeliveryPart::Piece("abc".into()));

    meet(&mut rig, 3, 7);
    rig.head_on(3, 4, Head { resent: true, ..with_body });
    let accepted = StreamFrame::Accepted { body_received: 3, body_credit: window };
    assert_eq!(rows.take(&mut rig).on(4), [accepted, StreamFrame::Started], "and goes on from there");
}

#[test]
fn a_body_that_a_recovered_handler_does_not_want_is_not_sent() {
    let with_body = Head { has_body: true, ..head(1) };
    let (mut rig, mut rows) = recovered(with_body.clone());
    rig.head_on(2, 8, Head { resent: true, ..with_body });
    rig.queue.handle_body_dropped(&ctl(), key(1));
    rig.finish(1, done("yes"));
    rows.take(&mut rig).assert_last(8, &StreamFrame::Outcome(done("yes")));
    assert_eq!(rig.queue.poll_credit(), None);
}

#[test]
fn a_recovered_handler_writes_its_result_body_again_and_what_its_sender_has_is_passed_over() {
    let end = BodyEnd { bytes: 6, hash: [0; 32] };
    for (received, rest) in [(0, &b"abcdef"[..]), (4, b"ef"), (6, b"")] {
        let asking = Head { result_body_credit: 100, ..head(1) };
        let (mut rig, mut rows) = recovered(asking.clone());
        rig.queue.handle_result_body(&ctl(), key(1), Bytes::from_static(b"abc"));
        rig.head_on(2, 8, Head { result_body_received: received, resent: true, ..asking });
        rig.queue.handle_result_body(&ctl(), key(1), Bytes::from_static(b"def"));
        rig.queue.handle_result_body_end(&ctl(), key(1), end);
        rig.finish(1, done("yes"));
        let said = rows.take(&mut rig);
        let freed: usize = said.rooms.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(freed as u64, received, "what is passed over makes room");
        let said = said.on(8);
        assert_eq!(result_bytes(&said), rest, "{received} bytes were received");
        let last = [StreamFrame::ResultBodyEnd(end), StreamFrame::Outcome(done("yes"))];
        assert_eq!(said[said.len() - 2..], last, "{received} bytes were received");
    }
}

fn result_bytes(said: &[StreamFrame]) -> Vec<u8> {
    let body = said.iter().filter_map(|frame| match frame {
        StreamFrame::ResultBody(content) => Some(content.to_vec()),
        _ => None,
    });
    body.collect::<Vec<_>>().concat()
}

#[test]
fn a_store_without_room_is_busy_for_new_durable_commands_and_for_no_other() {
    let (mut rig, mut rows) = (Rig::new(config()), Rows::default());
    let boot = Epoch::from_random(1002);
    rig.queue.handle_link_up(&ctl(), link(2), boot, Some(key(1).epoch), &[]);
    rig.queue.handle_room(&ctl(), room());
    rig.head_on(2, 4, head(1));
    rows.take(&mut rig);
    rig.queue.handle_store_space(StoreSpace::Low);
    rig.head_on(2, 8, head(2));
    let is_busy = |said: &Said, stream| {
        matches!(said.on(stream)[..], [StreamFrame::Busy { scope: BusyScope::Class, .. }])
    };
    assert!(is_busy(&rows.take(&mut rig), 8));
    // What runs ends, what is called off is told so, and what needs no store is taken.
    rig.finish(1, done("yes"));
    rig.head_on(2, 16, Head { cancelled: true, ..head(3) });
    let memory = CommandKey { epoch: boot, ..key(4) };
    rig.head_on(2, 20, Head { key: memory, ..head(4) });
    let said = rows.take(&mut rig);
    assert_eq!(said.on(4), [StreamFrame::Outcome(done("yes"))]);
    assert_eq!(said.on(16), [StreamFrame::Outcome(Outcome::Cancelled)]);
    assert_eq!(said.on(20), [ACCEPTED, StreamFrame::Started]);
    rig.queue.handle_store_space(StoreSpace::Enough);
    rig.head_on(2, 24, Head { resent: true, ..head(2) });
    assert_eq!(rows.take(&mut rig).on(24), [ACCEPTED, StreamFrame::Started]);
}
