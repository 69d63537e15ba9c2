//! What is to be said of messages that came in batches: gathered, and said in ranges on the control stream.

use std::collections::BTreeMap;

use runnel_codec::{
    CommandKey, ControlFrame, Epoch, Failure, FailureKind, LastWord, Limits, NodeId, Outcome, Reached, Seq,
    Step, StreamFrame, control_encoded_len,
};

use super::ReceiveQueue;
use super::words::Attachment;
use crate::peers::LocalId;

/// What is to be said to one sender, on its link.
#[derive(Debug, Default)]
pub(super) struct BatchAnswers {
    reached: BTreeMap<(Epoch, Step), Vec<Seq>>,
    ended: Vec<ControlFrame>,
}

impl BatchAnswers {
    /// Takes a frame that would be written to the message's stream, if it had one.
    pub(super) fn note(&mut self, key: CommandKey, frame: StreamFrame) {
        let step = match &frame {
            StreamFrame::Accepted { .. } => Step::Accepted,
            StreamFrame::Started => Step::Started,
            StreamFrame::Outcome(Outcome::Done { result }) if result.is_empty() => Step::Done,
            _ => return self.ended.extend(ended(key, frame)),
        };
        self.reached.entry((key.epoch, step)).or_default().push(key.seq);
    }

    fn is_empty(&self) -> bool {
        self.reached.is_empty() && self.ended.is_empty()
    }

    /// Returns the frames that say all of it, and forgets it. A message that is done is not said to have come less far.
    pub(super) fn take(&mut self) -> impl Iterator<Item = ControlFrame> {
        let mut reached = std::mem::take(&mut self.reached);
        reached.values_mut().for_each(|seqs| seqs.sort_unstable());
        let epochs: Vec<_> =
            reached.keys().filter(|(_, step)| *step == Step::Done).map(|(epoch, _)| *epoch).collect();
        for epoch in epochs {
            let done = reached.get(&(epoch, Step::Done)).cloned().unwrap_or_default();
            for step in [Step::Accepted, Step::Started] {
                if let Some(seqs) = reached.get_mut(&(epoch, step)) {
                    seqs.retain(|seq| done.binary_search(seq).is_err());
                }
            }
        }
        let reached = reached.into_iter().flat_map(|((epoch, step), seqs)| {
            let ranges = ranges_of(&seqs);
            let frames = ranges
                .chunks(RANGES_MAX)
                .map(|ranges| ControlFrame::Reached(Reached { step, epoch, ranges: ranges.to_vec() }));
            frames.collect::<Vec<_>>()
        });
        reached.chain(std::mem::take(&mut self.ended))
    }
}

impl ReceiveQueue {
    /// Takes a frame for a message that came in a batch, unless its link is gone.
    pub(super) fn answer_message(&mut self, id: LocalId, at: Attachment, frame: StreamFrame) {
        let sender = &mut self.senders[id.peer];
        if sender.link != Some(at.link) {
            return;
        }
        if sender.batch_answers.is_empty() {
            self.answering.push_back(id.peer);
        }
        sender.batch_answers.note(id.key, frame);
    }

    /// Returns what is to be said to a sender of its messages that came in batches, in frames of the control stream. It is
    /// gathered until this is called, which saves words: a driver calls it last.
    pub fn poll_answers(&mut self) -> Option<(NodeId, Vec<ControlFrame>)> {
        let peer = self.answering.pop_front()?;
        let frames = self.senders[peer].batch_answers.take().collect();
        Some((self.senders.name(peer).clone(), frames))
    }
}

/// Makes the last word about a message; `None` if the frame is none. Of a message no other frame comes.
fn ended(key: CommandKey, frame: StreamFrame) -> Option<ControlFrame> {
    let ended = |last| ControlFrame::Ended { key, last };
    let frame = LastWord::from_frame(frame).map(ended)?;
    if control_encoded_len(&frame) <= Limits::default().control_bytes_max {
        return Some(frame);
    }
    // Its handler is that of another type: a message has no result, so nobody could read this one.
    let message = "the handler's result is too long for a message".to_owned();
    Some(ended(LastWord::Outcome(Outcome::Failed(Failure { kind: FailureKind::Handler, message }))))
}

/// Makes ranges of numbers that ascend.
fn ranges_of(seqs: &[Seq]) -> Vec<(Seq, Seq)> {
    let mut ranges = Vec::<(Seq, Seq)>::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if *last >= *seq => {}
            Some((_, last)) if last.next() == Some(*seq) => *last = *seq,
            _ => ranges.push((*seq, *seq)),
        }
    }
    ranges
}

/// Ranges in one frame: half of what the longest control frame holds.
const RANGES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(seq: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(7), seq: Seq::from_wire(seq).expect("not 0") }
    }

    fn done() -> StreamFrame {
        StreamFrame::Outcome(Outcome::Done { result: Bytes::new() })
    }

    fn reached(step: Step, ranges: &[(u64, u64)]) -> ControlFrame {
        let ranges = ranges.iter().map(|(first, last)| (key(*first).seq, key(*last).seq)).collect();
        ControlFrame::Reached(Reached { step, epoch: key(1).epoch, ranges })
    }

    #[test]
    fn what_is_done_is_said_in_ranges_and_nothing_else_of_it() {
        let mut answers = BatchAnswers::default();
        for seq in [5, 1, 2, 9, 3] {
            answers.note(key(seq), StreamFrame::Accepted { body_received: 0, body_credit: 0 });
            answers.note(key(seq), StreamFrame::Started);
        }
        for seq in [3, 1, 2, 5] {
            answers.note(key(seq), done());
        }
        let frames: Vec<_> = answers.take().collect();
        let nine = &[(9, 9)];
        let expected = [
            reached(Step::Accepted, nine),
            reached(Step::Started, nine),
            reached(Step::Done, &[(1, 3), (5, 5)]),
        ];
        assert_eq!(frames, expected);
        assert_eq!(answers.take().next(), None);
    }

    #[test]
    fn other_last_words_come_one_by_one() {
        let mut answers = BatchAnswers::default();
        answers.note(key(4), StreamFrame::Stale);
        answers.note(key(6), StreamFrame::Outcome(Outcome::Done { result: vec![7; 9].into() }));
        answers.note(key(8), StreamFrame::Outcome(Outcome::Done { result: vec![7; 70_000].into() }));
        let words: Vec<_> = answers.take().collect();
        assert_eq!(words[0], ControlFrame::Ended { key: key(4), last: LastWord::Stale });
        let result = Outcome::Done { result: vec![7; 9].into() };
        assert_eq!(words[1], ControlFrame::Ended { key: key(6), last: LastWord::Outcome(result) });
        let ControlFrame::Ended { last: LastWord::Outcome(Outcome::Failed(failure)), .. } = &words[2] else {
            panic!("{words:?}");
        };
        assert_eq!(failure.kind, FailureKind::Handler);
    }

    #[test]
    fn many_gaps_are_said_in_several_frames() {
        let mut answers = BatchAnswers::default();
        for seq in 1..=3000 {
            answers.note(key(2 * seq), done());
        }
        let ranges = answers.take().map(|frame| match frame {
            ControlFrame::Reached(reached) => reached.ranges.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(ranges.collect::<Vec<_>>(), [2048, 952]);
    }
}
