//! The life of one command as the outside sees it, and what may happen next in it. Pure.

use std::time::Duration;

use runnel::NotDone;
use runnel::codec::{CommandId, FailureKind, RejectionKind, UnknownReason, UpdatePolicy};

use super::restored::{Restored, Unrenewed};
use crate::sim::order::{Kind, Order};
use crate::sim::violation::Invariant;

/// A process: a host, and how often it had been started by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The host.
    pub host: usize,
    /// Which of its processes.
    pub boot: u32,
}

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With its result.
    Result,
    /// With an error.
    Error,
    /// With a panic.
    Panic,
}

/// The life of one command.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) order: Order,
    /// The process that submitted it, or that has found it since.
    pub(super) sender: Seat,
    /// Of its sender's disks, the one on which it was given its number.
    pub(super) disk: u32,
    /// The one on which it is now.
    pub(super) kept_on: u32,
    /// What a restored backup has of it.
    pub(super) restored: Option<Restored>,
    /// A backup that had no outcome of it was restored once.
    pub(super) was_given_up: bool,
    /// A restored backup that has no outcome of it was started as it was.
    pub(super) unrenewed: Option<Unrenewed>,
    /// A process after its sender's has found it.
    pub(super) was_found: bool,
    /// Updates that were seen before may come again.
    pub(super) is_resuming: bool,
    pub(super) submitted_at: Duration,
    /// When it was bound to its receiver's process, at the earliest.
    pub(super) bound_at: Duration,
    /// Once it is stored.
    pub(super) id: Option<CommandId>,
    pub(super) is_sent: bool,
    /// Its handler has left a token, which is stored.
    pub(super) has_token: bool,
    pub(super) runs: Vec<Run>,
    pub(super) updates: u32,
    pub(super) is_cancelled: bool,
    pub(super) is_abandoned: bool,
    pub(super) outcome: Option<Result<(), NotDone>>,
    /// What was its outcome until a backup of its sender's disk was restored.
    pub(super) lost_outcome: Option<Result<(), NotDone>>,
}

/// One call of a handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) seat: Seat,
    /// Which of its disks the host had.
    pub(super) disk: u32,
    pub(super) called_at: Duration,
    pub(super) ended: Option<Ended>,
    /// The newest link between the two nodes at the time.
    pub(super) links: u64,
    /// How often the receiver's NAT had forgotten its ports.
    pub(super) rebinds: u64,
    /// It has taken bytes of the body.
    pub(super) has_body: bool,
}

/// What is known of the receiver besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// What it knew of the command is gone since it was bound to it, at the earliest: its memory, or its disk.
    pub(super) has_forgotten: bool,
    /// Its process ended since the submit.
    pub(super) has_crashed: bool,
    /// It lost its memory since the last call.
    pub(super) has_forgotten_call: bool,
    /// Its journal of the last call is gone.
    pub(super) has_lost_journal: bool,
    /// It was told to stop since then.
    pub(super) was_stopped: bool,
    /// It had a double at some time since then.
    pub(super) had_double: bool,
    /// How long one of both slept since then, at most.
    pub(super) slept: Duration,
}

/// Which invariant is broken, and how.
pub(super) type Breach = (Invariant, &'static str);

impl Life {
    /// Judges a call of the handler.
    pub(super) fn judge_call(&self, seat: Seat, facts: &Facts) -> Result<(), Breach> {
        if seat.host != self.order.worker {
            return Err((Invariant::NoGhosts, "a command ran at another worker"));
        }
        match self.outcome.as_ref().or(self.lost_outcome.as_ref()) {
            // README: "until then the node goes by the backup", in which it waits.
            Some(Err(NotDone::Rejected(_) | NotDone::Expired | NotDone::Cancelled))
                if self.unrenewed.is_none() =>
            {
                return Err((Invariant::TrueOutcome, "a command started that never would"));
            }
            Some(Err(NotDone::Unknown(UnknownReason::ReceiverStateLost))) if !facts.had_double => {
                return Err((
                    Invariant::NoGhosts,
                    "a command started after its receiver was found to have forgotten it",
                ));
            }
            _ => {}
        }
        match self.order.kind {
            Kind::Unheard => Err((Invariant::TrueOutcome, "a command without a handler started")),
            // README: "until then the node goes by the backup", and sends what it has not sent according to that.
            Kind::Once | Kind::Kept | Kind::Inline | Kind::Message
                if !self.runs.is_empty() && !facts.has_lost_journal =>
            {
                Err((Invariant::NothingTwice, "a handler was called twice"))
            }
            Kind::Idempotent if !self.runs.is_empty() && !facts.has_forgotten_call => {
                Err((Invariant::NothingTwice, "an idempotent command ran again though nothing was forgotten"))
            }
            _ => Ok(()),
        }
    }

    /// Judges that a handler is found again by its token: the same run, in another process.
    pub(super) fn judge_recovery(&self, seat: Seat, facts: &Facts) -> Result<(), Breach> {
        match self.runs.last() {
            None => Err((Invariant::TrueOutcome, "a command that never ran was recovered")),
            Some(run) if run.seat.host != seat.host => {
                Err((Invariant::NoGhosts, "a command was recovered at another worker"))
            }
            Some(_) if !facts.has_forgotten_call => {
                Err((Invariant::NothingTwice, "a command was recovered though its handler was not lost"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes the next update, or after a crash of the sender one that was seen before. Returns whether it is one of these,
    /// byte by byte, and has the number that it had at the handler.
    pub(super) fn take_update(&mut self, number: u64, content: &[u8]) -> bool {
        let is_resuming = std::mem::take(&mut self.is_resuming);
        let place = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let is_next = place == self.updates || (is_resuming && place < self.updates);
        self.updates = place.saturating_add(1);
        is_next && self.order.job.update(place) == content
    }

    /// Judges an outcome that comes `elapsed` after the submit.
    pub(super) fn judge_outcome(
        &self,
        outcome: &Result<(), NotDone>,
        elapsed: Duration,
        facts: &Facts,
    ) -> Result<(), Breach> {
        if self.outcome.is_some() {
            return Err((Invariant::OneOutcome, "a second outcome"));
        }
        if let Some(restored) = &self.restored {
            self.judge_restored(restored, outcome)?;
        }
        match outcome {
            // README: "until then the node goes by the backup". That something ran it can know from the receiver only.
            Err(NotDone::Expired | NotDone::Cancelled | NotDone::Unknown(_))
                if matches!(self.restored, Some(Restored::EndedUnrenewed(_))) =>
            {
                Ok(())
            }
            Ok(()) => self.judge_done(),
            Err(NotDone::Failed(failure)) => self.judge_failed(failure.kind, elapsed, facts),
            Err(NotDone::Rejected(rejection)) => ensure(
                self.order.kind == Kind::Unheard && rejection.kind == RejectionKind::UnknownCommand,
                "rejected without reason",
            ),
            Err(NotDone::Expired) => {
                ensure(self.runs.is_empty(), "expired though it ran")?;
                ensure(self.has_expired(elapsed, facts), "expired before its time")
            }
            Err(NotDone::Cancelled) => {
                ensure(self.runs.is_empty(), "cancelled though it ran")?;
                ensure(self.is_cancelled || self.is_abandoned, "cancelled though nobody wanted it")
            }
            Err(NotDone::Unknown(reason)) => self.judge_unknown(*reason, facts),
            Err(NotDone::Malformed(_)) => Err((Invariant::SameBytes, "the outcome does not decode")),
            Err(_) => Ok(()),
        }
    }

    fn judge_done(&self) -> Result<(), Breach> {
        ensure(self.has_ended(Ended::Result), "done though no handler returned")?;
        let expected = match self.order.updates {
            UpdatePolicy::Discard => 0,
            UpdatePolicy::Follow | UpdatePolicy::Store => self.order.job.updates,
        };
        // Empty ones that come again do not show it.
        let is_countable = self.order.job.update_bytes > 0 || !self.was_found;
        if self.order.kind != Kind::Inline && is_countable && self.updates != expected {
            return Err((Invariant::SameBytes, "done with updates missing"));
        }
        Ok(())
    }

    fn judge_failed(&self, kind: FailureKind, elapsed: Duration, facts: &Facts) -> Result<(), Breach> {
        ensure(!self.runs.is_empty(), "failed though it never ran")?;
        match kind {
            FailureKind::Handler => ensure(self.has_ended(Ended::Error), "failed though no handler did"),
            FailureKind::Panicked => ensure(self.has_ended(Ended::Panic), "panicked though no handler did"),
            FailureKind::Cancelled => {
                ensure(self.is_cancelled || facts.was_stopped, "stopped though nobody wanted it")
            }
            FailureKind::DeadlineExceeded => {
                ensure(self.has_expired(elapsed, facts), "out of time before its time")
            }
            FailureKind::BodyBroken | FailureKind::BodyChanged => Err((Invariant::SameBytes, "a body broke")),
        }
    }

    fn judge_unknown(&self, reason: UnknownReason, facts: &Facts) -> Result<(), Breach> {
        let is_true = match reason {
            UnknownReason::ReceiverStateLost => facts.has_forgotten || self.cannot_be_run_again(facts),
            UnknownReason::Abandoned => self.is_abandoned || self.was_given_up,
            UnknownReason::Poisoned => {
                self.order.kind == Kind::Idempotent && (facts.has_forgotten || facts.has_crashed)
            }
            // Without a journal on a disk nothing of a call survives its process. With one, what was called survives, or
            // was about to be, though not how it was about to end.
            UnknownReason::HandlerLost => {
                self.order.is_durable && facts.has_crashed && (!self.has_token || facts.has_forgotten)
            }
        };
        ensure(is_true, "unknown without reason")
    }

    /// An idempotent command that lost its handler is run again, unless its sender holds a part of what that said: another
    /// run need not say the same.
    fn cannot_be_run_again(&self, facts: &Facts) -> bool {
        let has_said = self.updates > 0 || self.order.job.result_body_bytes > 0;
        self.order.is_durable && self.order.kind == Kind::Idempotent && facts.has_crashed && has_said
    }

    fn has_ended(&self, ended: Ended) -> bool {
        self.runs.iter().any(|run| run.ended == Some(ended))
    }

    fn has_expired(&self, elapsed: Duration, facts: &Facts) -> bool {
        self.order.deadline.is_some_and(|deadline| deadline <= elapsed + facts.slept + TICK)
    }
}

fn ensure(holds: bool, otherwise: &'static str) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err((Invariant::TrueOutcome, otherwise)) }
}

/// Deadlines travel in whole milliseconds, and the clock ticks in them.
const TICK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::order::Job;

    const WORKER: Seat = Seat { host: 1, boot: 1 };

    fn life(kind: Kind) -> Life {
        Life {
            order: Order { kind, ..Order::plain(Job::short(1), WORKER.host) },
            sender: Seat { host: 0, boot: 1 },
            disk: 0,
            kept_on: 0,
            restored: None,
            was_given_up: false,
            unrenewed: None,
            was_found: false,
            is_resuming: false,
            submitted_at: Duration::ZERO,
            bound_at: Duration::ZERO,
            id: None,
            is_sent: true,
            has_token: false,
            runs: Vec::new(),
            updates: 0,
            is_cancelled: false,
            is_abandoned: false,
            outcome: None,
            lost_outcome: None,
        }
    }

    fn ran(kind: Kind, ended: Option<Ended>) -> Life {
        let run = Run {
            seat: WORKER,
            disk: 0,
            called_at: Duration::ZERO,
            ended,
            links: 1,
            rebinds: 0,
            has_body: false,
        };
        Life { runs: vec![run], ..life(kind) }
    }

    fn judged(life: &Life, outcome: Result<(), NotDone>, facts: Facts) -> Option<Invariant> {
        life.judge_outcome(&outcome, Duration::from_secs(5), &facts).err().map(|(invariant, _)| invariant)
    }

    #[test]
    fn a_second_call_is_allowed_for_lost_idempotent_commands_only() {
        let (nothing, lost) = (Facts::default(), Facts { has_forgotten_call: true, ..Facts::default() });
        let called = |kind, facts: &Facts| ran(kind, None).judge_call(WORKER, facts).is_ok();
        assert!(!called(Kind::Once, &nothing) && !called(Kind::Once, &lost));
        assert!(!called(Kind::Idempotent, &nothing) && called(Kind::Idempotent, &lost));
    }

    #[test]
    fn never_means_never() {
        let cancelled = Life { is_cancelled: true, ..life(Kind::Once) };
        assert_eq!(judged(&cancelled, Err(NotDone::Cancelled), Facts::default()), None);
        let ended = Life { outcome: Some(Err(NotDone::Cancelled)), ..cancelled };
        assert!(ended.judge_call(WORKER, &Facts::default()).is_err());
        let ran = Life { is_cancelled: true, ..ran(Kind::Once, None) };
        assert_eq!(judged(&ran, Err(NotDone::Cancelled), Facts::default()), Some(Invariant::TrueOutcome));
    }

    #[test]
    fn unknown_needs_a_loss_and_done_a_handler() {
        let lost = Facts { has_forgotten: true, ..Facts::default() };
        let unknown = || Err(NotDone::Unknown(UnknownReason::ReceiverStateLost));
        assert_eq!(judged(&life(Kind::Once), unknown(), lost), None);
        assert_eq!(judged(&life(Kind::Once), unknown(), Facts::default()), Some(Invariant::TrueOutcome));
        assert_eq!(judged(&life(Kind::Once), Ok(()), lost), Some(Invariant::TrueOutcome));
        assert_eq!(judged(&ran(Kind::Once, Some(Ended::Result)), Ok(()), lost), None);
    }

    #[test]
    fn only_a_durable_handler_is_lost_and_only_by_a_crash() {
        let lost = || Err(NotDone::Unknown(UnknownReason::HandlerLost));
        let crashed = Facts { has_crashed: true, ..Facts::default() };
        let mut ran = ran(Kind::Once, None);
        assert_eq!(judged(&ran, lost(), crashed), Some(Invariant::TrueOutcome));
        ran.order.is_durable = true;
        assert_eq!(judged(&ran, lost(), crashed), None);
        assert_eq!(judged(&ran, lost(), Facts::default()), Some(Invariant::TrueOutcome));
    }

    #[test]
    fn a_handler_that_left_a_token_is_recovered_once_its_process_is_gone_and_is_not_lost() {
        let crashed = Facts { has_crashed: true, has_forgotten_call: true, ..Facts::default() };
        let mut kept = ran(Kind::Kept, None);
        assert!(kept.judge_recovery(WORKER, &crashed).is_ok());
        assert!(kept.judge_recovery(WORKER, &Facts::default()).is_err());
        assert!(
            kept.judge_call(WORKER, &crashed).is_err()
                && life(Kind::Kept).judge_recovery(WORKER, &crashed).is_err()
        );
        (kept.order.is_durable, kept.has_token) = (true, true);
        let lost = || Err(NotDone::Unknown(UnknownReason::HandlerLost));
        assert_eq!(judged(&kept, lost(), crashed), Some(Invariant::TrueOutcome));
        assert_eq!(judged(&kept, lost(), Facts { has_forgotten: true, ..crashed }), None);
    }

    #[test]
    fn updates_come_in_order_and_again_only_after_a_crash_of_the_sender() {
        let mut life = life(Kind::Once);
        life.order.job = Job { updates: 5, update_bytes: 9, ..Job::short(1) };
        let update = |place| life.order.job.update(place);
        let updates = [0, 1, 2, 3].map(update);
        assert!(life.take_update(1, &updates[0]) && life.take_update(2, &updates[1]));
        life.is_resuming = true;
        assert!(life.take_update(1, &updates[0]) && life.take_update(2, &updates[1]));
        assert!(!life.take_update(1, &updates[0]), "once more");
        assert!(!life.take_update(3, &updates[2]), "one is missing");
        assert!(!life.take_update(4, &updates[2]), "with the number of another");
    }

    #[test]
    fn an_outcome_does_not_come_twice_or_before_its_time() {
        let done = Life { outcome: Some(Ok(())), ..ran(Kind::Once, Some(Ended::Result)) };
        assert_eq!(judged(&done, Ok(()), Facts::default()), Some(Invariant::OneOutcome));
        let mut early = life(Kind::Once);
        early.order.deadline = Some(Duration::from_secs(6));
        assert_eq!(judged(&early, Err(NotDone::Expired), Facts::default()), Some(Invariant::TrueOutcome));
        let slept = Facts { slept: Duration::from_secs(2), ..Facts::default() };
        assert_eq!(judged(&early, Err(NotDone::Expired), slept), None);
    }
}
