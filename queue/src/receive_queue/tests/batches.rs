//! Messages that came in batches: the same gate as for commands, and answers on the control stream of their link.

use runnel_codec::{ControlFrame, LastWord, Reached, Step};

use super::*;

fn batch(link_number: u64, stream: u64) -> Attachment {
    Attachment { is_batch: true, ..at(link_number, stream) }
}

fn message(number: u64) -> Head {
    Head { updates: UpdatePolicy::Discard, updates_credit: 0, result_body_credit: 0, ..head(number) }
}

/// Brings messages in a batch.
fn bring(rig: &mut Rig, at: Attachment, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        rig.queue.handle_head(rig.now, &ctl(), at, message(number), Bytes::new());
    }
}

fn answers(rig: &mut Rig) -> Vec<ControlFrame> {
    let said = std::iter::from_fn(|| rig.queue.poll_answers());
    said.flat_map(|(peer, frames)| {
        assert_eq!(peer, ctl());
        frames
    })
    .collect()
}

fn reached(step: Step, first: u64, last: u64) -> ControlFrame {
    let ranges = vec![(key(first).seq, key(last).seq)];
    ControlFrame::Reached(Reached { step, epoch: key(1).epoch, ranges })
}

fn done() -> Outcome {
    Outcome::Done { result: Bytes::new() }
}

#[test]
fn messages_are_started_and_answered_in_ranges() {
    let mut rig = Rig::new(ReceiveQueueConfig::default());
    bring(&mut rig, batch(1, 4), 1..=5);
    let said = rig.turn();
    assert_eq!(said.starts, (1..=5).map(key).collect::<Vec<_>>());
    assert!(said.replies.is_empty(), "nothing is said on a batch's stream");
    assert_eq!(answers(&mut rig), [reached(Step::Accepted, 1, 5), reached(Step::Started, 1, 5)]);
    (1..=4).for_each(|number| rig.finish(number, done()));
    assert_eq!(answers(&mut rig), [], "not before it is stored");
    rig.turn();
    assert_eq!(answers(&mut rig), [reached(Step::Done, 1, 4)]);
    assert_eq!(answers(&mut rig), []);
}

#[test]
fn a_message_that_ends_at_once_is_only_said_to_be_done() {
    let mut rig = Rig::new(ReceiveQueueConfig::default());
    bring(&mut rig, batch(1, 4), 1..=3);
    rig.turn();
    (1..=3).for_each(|number| rig.finish(number, done()));
    rig.turn();
    assert_eq!(answers(&mut rig), [reached(Step::Done, 1, 3)]);
}

#[test]
fn a_message_that_is_known_goes_on_and_is_not_run_again() {
    let mut rig = Rig::new(ReceiveQueueConfig::default());
    bring(&mut rig, batch(1, 4), [1, 2, 2]);
    assert_eq!(rig.turn().starts, [key(1), key(2)]);
    let duplicate = ControlFrame::Ended { key: key(2), last: LastWord::Duplicate };
    let expected = [reached(Step::Accepted, 1, 2), reached(Step::Started, 1, 2), duplicate];
    assert_eq!(answers(&mut rig), expected);
    rig.finish(1, done());
    rig.turn();
    // What was to be said of it goes down with the link.
    rig.queue.handle_link_up(&ctl(), link(2), key(1).epoch, Some(key(1).epoch), &[]);
    assert_eq!(answers(&mut rig), []);
    bring(&mut rig, batch(1, 8), [1]);
    assert_eq!(answers(&mut rig), [], "the older link is not heard any more");
    bring(&mut rig, batch(2, 4), [1]);
    rig.head_on(2, 8, message(2));
    assert_eq!(rig.turn().starts, []);
    assert_eq!(answers(&mut rig), [reached(Step::Done, 1, 1)], "and the other is on a stream now");
    rig.finish(2, done());
    rig.turn().assert_last(8, &StreamFrame::Outcome(done()));
}

#[test]
fn messages_that_are_not_taken_are_answered_one_by_one() {
    let config = ReceiveQueueConfig { journal_max: 8, ..ReceiveQueueConfig::default() };
    let mut rig = Rig::new(config);
    rig.settle(1);
    bring(&mut rig, batch(1, 4), 1..=3);
    rig.queue.reject(&ctl(), key(3), Rejection { kind: RejectionKind::Denied, message: "no".into() });
    rig.cancel(2);
    rig.turn();
    let words: Vec<_> = answers(&mut rig)
        .into_iter()
        .filter_map(|frame| match frame {
            ControlFrame::Ended { key, last } => Some((key, last)),
            _ => None,
        })
        .collect();
    let expected = [
        (key(1), LastWord::Stale),
        (key(2), LastWord::Outcome(Outcome::Cancelled)),
        (key(3), LastWord::Outcome(Outcome::rejected(RejectionKind::Denied, "no"))),
    ];
    assert_eq!(words.len(), 3);
    assert!(expected.iter().all(|word| words.contains(word)), "{words:?}");
    bring(&mut rig, batch(1, 8), 10..=40);
    let busy =
        |frame: &ControlFrame| matches!(frame, ControlFrame::Ended { last: LastWord::Busy { .. }, .. });
    rig.turn();
    assert!(answers(&mut rig).iter().any(busy), "the journal is full");
}
