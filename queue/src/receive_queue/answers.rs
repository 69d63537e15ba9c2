//! What is said to senders at once: that commands are accepted, have started, have ended, or are not taken.
//!
//! How far a command has come is said when its turn comes, not when it comes so far. What ends in the meantime, as it does
//! under an inline handler, says its outcome alone: one frame instead of three.

use runnel_codec::StreamFrame;

use super::ReceiveQueue;
use super::command::Known;
use super::words::{Attachment, Reply};
use crate::body_intake::BodyIntake;
use crate::peers::LocalId;

/// A turn to say something.
#[derive(Debug)]
pub(super) enum Answer {
    /// How far a command has come, if that is still to be said.
    Progress(LocalId),
    /// The last frame of a stream.
    Last(LocalId, Attachment, StreamFrame),
}

/// What is still to be said on a command's stream of how far it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsaid {
    pub(super) accepted: bool,
    pub(super) started: bool,
}

impl ReceiveQueue {
    /// Begins the answers on a command's stream.
    pub(super) fn greet(&mut self, id: LocalId) {
        let Some(known) = self.known_mut(id) else { return };
        known.unsaid = Unsaid { accepted: known.accepted.is_some(), started: known.was_called };
        self.say(id);
    }

    /// Has said what is still to be said of a command.
    pub(super) fn say(&mut self, id: LocalId) {
        self.answers.push_back(Answer::Progress(id));
    }

    /// Says the last word on a stream.
    pub(super) fn reply_last(&mut self, id: LocalId, at: Attachment, frame: StreamFrame) {
        self.answers.push_back(Answer::Last(id, at, frame));
    }

    /// Returns the next frame of those that wait for nothing.
    pub(super) fn next_answer(&mut self) -> Option<Reply> {
        while let Some(answer) = self.answers.pop_front() {
            let id = match answer {
                Answer::Last(id, at, frame) if at.is_batch => {
                    self.answer_message(id, at, frame);
                    continue;
                }
                Answer::Last(id, at, frame) => {
                    return Some(Reply {
                        peer: self.senders.name(id.peer).clone(),
                        at,
                        frame,
                        is_last: true,
                    });
                }
                Answer::Progress(id) => id,
            };
            let Some(known) = self.known_mut(id) else { continue };
            // Without a stream it waits for the next one, and is then said from its beginning.
            let Some(at) = known.at else { continue };
            let Some(frame) = known.next_progress() else { continue };
            if known.unsaid.started {
                self.answers.push_front(Answer::Progress(id));
            }
            if at.is_batch {
                self.answer_message(id, at, frame);
                continue;
            }
            return Some(Reply { peer: self.senders.name(id.peer).clone(), at, frame, is_last: false });
        }
        None
    }
}

impl Known {
    fn next_progress(&mut self) -> Option<StreamFrame> {
        if std::mem::take(&mut self.unsaid.accepted) {
            let (body_received, body_credit) = self.body.as_deref_mut().map_or((0, 0), BodyIntake::offsets);
            return Some(StreamFrame::Accepted { body_received, body_credit });
        }
        std::mem::take(&mut self.unsaid.started).then_some(StreamFrame::Started)
    }
}
