//! What an outcome shows of rare paths, and how often each was seen.

use runnel::NotDone;
use runnel::codec::{FailureKind, UnknownReason};

use super::State;
use super::life::Life;
use super::restored::Restored;
use crate::sim::mark::Mark;
use crate::sim::order::Kind;

impl State {
    /// What an outcome shows of rare paths.
    pub(super) fn marks_of(&self, life: &Life, outcome: &Result<(), NotDone>) -> Vec<Mark> {
        let mut marks = Vec::new();
        match outcome {
            Ok(()) => {
                let (Some(run), 1) = (life.runs.last(), life.runs.len()) else { return marks };
                let links = self.links(life.sender.host, run.seat.host);
                if links > run.links {
                    marks.extend([Mark::KnownAgain, Mark::Resumed]);
                    if life.order.kind == Kind::Message {
                        marks.push(Mark::MessageResumed);
                    }
                    if life.order.job.body_bytes > 0 {
                        marks.push(Mark::BodyResumed);
                    }
                } else if self.hosts[run.seat.host].rebinds > run.rebinds {
                    marks.push(Mark::ResumedAfterRebind);
                }
            }
            Err(NotDone::Failed(failure)) => marks.extend(match failure.kind {
                FailureKind::Cancelled => Some(Mark::CancelledRunning),
                FailureKind::DeadlineExceeded => Some(Mark::DeadlineWhileRunning),
                FailureKind::Panicked => Some(Mark::Panicked),
                _ => None,
            }),
            Err(NotDone::Rejected(_)) => marks.push(Mark::Rejected),
            Err(NotDone::Expired) if life.is_sent => marks.push(Mark::ExpiredBeforeStart),
            Err(NotDone::Cancelled) if life.is_sent => marks.push(Mark::CancelledBeforeStart),
            Err(NotDone::Unknown(UnknownReason::ReceiverStateLost)) => marks.push(Mark::UnknownStateLost),
            Err(NotDone::Unknown(UnknownReason::HandlerLost)) => marks.push(Mark::HandlerLost),
            Err(NotDone::Unknown(_)) if life.restored == Some(Restored::Unended) => {
                marks.push(Mark::UnknownRestored);
            }
            Err(NotDone::Unknown(UnknownReason::Abandoned)) => marks.push(Mark::UnknownAbandoned),
            Err(_) => {}
        }
        marks
    }
}

/// Returns the word that outcomes are counted by.
pub(super) fn word(outcome: &Result<(), NotDone>) -> &'static str {
    match outcome {
        Ok(()) => "done",
        Err(NotDone::Failed(_)) => "failed",
        Err(NotDone::Rejected(_)) => "rejected",
        Err(NotDone::Expired) => "expired",
        Err(NotDone::Cancelled) => "cancelled",
        Err(NotDone::Unknown(_)) => "unknown",
        Err(_) => "none",
    }
}
