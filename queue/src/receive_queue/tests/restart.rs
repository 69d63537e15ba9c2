//! What becomes of a sender's commands when it comes back as another process.

use super::*;

#[test]
fn what_an_older_process_sent_is_called_off_forgotten_or_runs_on_unheard() {
    let mut rig =
        Rig::running(ReceiveQueueConfig { running_max: 2, urgent_running_reserve: 0, ..config() }, 2);
    rig.head(3, head(3));
    rig.head(4, cancelled(4));
    rig.update(2, "unread");
    rig.turn();
    restart(&mut rig, 2, 8);
    let said = rig.turn();
    assert_eq!(said.rooms, [(key(2), 6)], "the handler does not wait for a reader that is gone");
    assert_eq!((said.starts, said.stops), (vec![], vec![]), "what waited is called off, what runs goes on");
    assert!(!rig.queue.owes(&ctl()), "nobody waits for an answer");
    assert_eq!(rig.queue.counts(), ReceiveCounts { running: 2, unfinished: 2, remembered: 2, ..no_counts() });

    rig.update(2, "more");
    assert_eq!(rig.turn().rooms, [(key(2), 4)]);
    rig.finish(1, done(""));
    rig.finish(2, done(""));
    assert!(rig.turn().is_silent());
    assert_eq!(rig.queue.counts(), no_counts());
    assert_eq!(rig.queue.poll_timeout(), None);
}

#[test]
fn a_late_head_of_an_older_process_is_stale_and_its_cancel_leaves_no_tombstone() {
    let mut rig = Rig::running(config(), 1);
    restart(&mut rig, 2, 8);
    rig.turn();
    for (stream, number) in [(4, 1), (8, 2)] {
        rig.head_on(2, stream, head(number));
        rig.turn().assert_last(stream, &StreamFrame::Stale);
    }
    rig.cancel(3);
    rig.settle(9);
    assert!(rig.turn().is_silent());
    assert_eq!(rig.queue.counts().remembered, 1, "the handler that runs");
    let again = Head { key: CommandKey { epoch: Epoch::from_random(8), ..key(1) }, ..head(1) };
    rig.head_on(2, 12, again);
    assert_eq!(rig.turn().starts.len(), 1, "the same number of the new process is another command");
}

#[test]
fn a_sender_that_is_restarted_again_and_again_is_not_kept_out() {
    let mut rig = Rig::new(ReceiveQueueConfig { journal_max: 3, ..config() });
    for boot in 8..100 {
        restart(&mut rig, boot, boot);
        rig.turn();
        for number in 1..=3 {
            let key = CommandKey { epoch: Epoch::from_random(boot), ..key(number) };
            rig.head_on(boot, number, Head { key, ..head(number) });
            assert_eq!(rig.turn().starts, [key]);
            rig.queue.handle_finished(&ctl(), key, done(""));
            rig.turn();
        }
    }
    assert_eq!(rig.queue.counts().remembered, 3);
}

#[test]
fn the_same_process_on_a_new_link_keeps_everything() {
    let mut rig = Rig::running(config(), 1);
    restart(&mut rig, 2, 7);
    rig.finish(1, done(""));
    rig.turn();
    rig.head_on(2, 4, head(1));
    rig.turn().assert_last(4, &StreamFrame::Outcome(done("")));
}

#[test]
fn a_body_that_an_older_process_was_sending_is_broken_off() {
    let mut rig = Rig::new(config());
    rig.head(4, Head { has_body: true, ..head(1) });
    rig.turn();
    restart(&mut rig, 2, 8);
    let delivery = rig.queue.poll_delivery().expect("the handler is told");
    assert_eq!((delivery.key, delivery.part), (key(1), DeliveryPart::Aborted));
    assert_eq!(rig.queue.poll_delivery(), None);
}

/// A link from a process of this epoch.
fn restart(rig: &mut Rig, link_number: u64, epoch: u64) {
    rig.queue.handle_link_up(
        &ctl(),
        link(link_number),
        Epoch::from_random(epoch),
        Some(Epoch::from_random(epoch)),
        &[],
    );
    rig.queue.handle_room(&ctl(), room());
}

fn no_counts() -> ReceiveCounts {
    ReceiveCounts::default()
}
