//! The caller's side of one command: its updates and its outcome.

use std::marker::PhantomData;
use std::sync::Arc;

use runnel_codec::{Command, CommandId, DecodeError, Failure, Outcome, Rejection, UnknownReason};

use crate::body::BodyReader;
use crate::caller_events::{CallerEvent, CallerEvents, Step};
use crate::engine::{Release, Request, Ways};

/// A stored command, for following its updates and waiting for its outcome.
///
/// Dropping it does not cancel the command: its updates are then discarded.
#[derive(Debug)]
#[must_use = "the outcome of a command should be looked at; to send and forget, drop it explicitly"]
pub struct Submission<C> {
    id: CommandId,
    events: CallerEvents,
    result_body: Option<BodyReader>,
    ways: Arc<Ways>,
    /// Bytes of updates that are taken and not reported.
    taken: u64,
    /// Whether somebody else says what is taken.
    holds_updates: bool,
    last_update: UpdateMark,
    /// The command has ended.
    is_over: bool,
    /// Its outcome, until it is taken.
    outcome: Option<Outcome>,
    command: PhantomData<fn() -> C>,
}

/// Which update of a command one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateMark {
    /// Its number: the first has 1, and a restart of this node changes none.
    pub number: u64,
    /// Its length as it travelled, in bytes.
    pub bytes: u64,
}

/// What happened to a command while it was followed.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<U> {
    /// It has left this node; told only if [`SubmitOptions::steps`](crate::SubmitOptions::steps) asks for it.
    Sent,
    /// It is in the receiver's queue; told only if [`SubmitOptions::steps`](crate::SubmitOptions::steps) asks for it.
    Accepted,
    /// Its handler has been called.
    Started,
    /// Its deadline has passed and nobody knows yet what became of it. This is no outcome.
    Overdue,
    /// It sent a record of progress.
    Update(U),
}

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDone {
    /// It started and did not succeed.
    #[error("failed ({:?}): {}", .0.kind, .0.message)]
    Failed(Failure),
    /// It has not started and never will: the receiver would not take it.
    #[error("rejected ({:?}): {}", .0.kind, .0.message)]
    Rejected(Rejection),
    /// It has not started and never will: its deadline passed.
    #[error("the deadline passed before it started")]
    Expired,
    /// It has not started and never will: it was cancelled.
    #[error("cancelled before it started")]
    Cancelled,
    /// Nobody can say whether it ran, or how it ended.
    #[error("nobody knows whether it ran ({0:?})")]
    Unknown(UnknownReason),
    /// The receiver sent something that is not of the command's types.
    #[error("the receiver's answer is not of this command's types")]
    Malformed(#[from] DecodeError),
    /// This node shut down before the outcome was known.
    #[error("this node shut down before the outcome was known")]
    NodeStopped,
}

impl<C: Command> Submission<C> {
    pub(crate) fn new(
        id: CommandId,
        events: CallerEvents,
        result_body: Option<BodyReader>,
        ways: Arc<Ways>,
    ) -> Self {
        Self {
            id,
            events,
            result_body,
            ways,
            taken: 0,
            holds_updates: false,
            last_update: UpdateMark::default(),
            is_over: false,
            outcome: None,
            command: PhantomData,
        }
    }

    /// Returns the command's id.
    pub fn id(&self) -> &CommandId {
        &self.id
    }

    /// Returns the reader of the result's body, once, if [`SubmitOptions::result_body`](crate::SubmitOptions::result_body)
    /// asked for one.
    ///
    /// It and the signs of progress come each at its own pace: read them side by side.
    pub fn result_body(&mut self) -> Option<BodyReader> {
        self.result_body.take()
    }

    /// Leaves it to [`NodeHandle::take_updates`](crate::NodeHandle::take_updates) to say what is taken of the updates: those
    /// that are stored are until then, and come again to whoever attaches to the command after a restart.
    pub fn hold_updates(&mut self) {
        self.holds_updates = true;
    }

    /// Returns which update was the last that came; all zero before the first.
    pub fn last_update(&self) -> UpdateMark {
        self.last_update
    }

    /// Returns the next sign of progress, or `None` when the command has ended.
    ///
    /// Updates that are not taken press back on the handler once the credit of the link is used up.
    ///
    /// # Errors
    ///
    /// When an update is not of the command's type.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn progress(&mut self) -> Option<Result<Progress<C::Update>, DecodeError>> {
        self.report_taken().await;
        if self.is_over {
            return None;
        }
        match self.events.next(&self.ways.wakes).await? {
            CallerEvent::Step(Step::Sent) => Some(Ok(Progress::Sent)),
            CallerEvent::Step(Step::Accepted) => Some(Ok(Progress::Accepted)),
            CallerEvent::Step(Step::Started) => Some(Ok(Progress::Started)),
            CallerEvent::Step(Step::Overdue) => Some(Ok(Progress::Overdue)),
            CallerEvent::Update(number, content) => {
                let bytes = content.len() as u64;
                self.last_update = UpdateMark { number, bytes };
                self.taken += if self.holds_updates { 0 } else { bytes };
                Some(C::decode_update(&content).map(Progress::Update))
            }
            CallerEvent::Outcome(outcome) => {
                (self.is_over, self.outcome) = (true, Some(outcome));
                None
            }
        }
    }

    /// Waits for the outcome, letting go of updates that have not been taken.
    ///
    /// # Errors
    ///
    /// Every outcome but `Done` is a [`NotDone`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the submission: the command goes on and its outcome is discarded.
    pub async fn outcome(mut self) -> Result<C::Result, NotDone> {
        // A result's body that was not asked for until now is not wanted.
        self.result_body = None;
        let outcome = loop {
            if let Some(outcome) = self.outcome.take() {
                break outcome;
            }
            if self.progress().await.is_none() && !self.is_over {
                return Err(NotDone::NodeStopped);
            }
        };
        result_of::<C>(outcome)
    }

    /// Tells the engine what has been taken, in steps, so that the link's credit grows again.
    async fn report_taken(&mut self) {
        // With nothing left to take, even a little may be what the receiver waits for.
        let is_due = self.taken >= TAKEN_STEP_BYTES || (self.taken > 0 && self.events.is_empty());
        if is_due && self.ways.send(Request::Taken { id: self.id.clone(), bytes: self.taken }).await.is_ok() {
            self.taken = 0;
        }
    }
}

impl<C> Drop for Submission<C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.ways.releases.send(Release::Updates(self.id.clone())).ok();
        }
    }
}

/// Returns the result of a command that has one, else why not.
pub(crate) fn result_of<C: Command>(outcome: Outcome) -> Result<C::Result, NotDone> {
    match outcome {
        Outcome::Done { result } => Ok(C::decode_result(&result)?),
        Outcome::Failed(failure) => Err(NotDone::Failed(failure)),
        Outcome::Rejected(rejection) => Err(NotDone::Rejected(rejection)),
        Outcome::Expired => Err(NotDone::Expired),
        Outcome::Cancelled => Err(NotDone::Cancelled),
        Outcome::Unknown(reason) => Err(NotDone::Unknown(reason)),
    }
}

/// How many bytes of updates are taken before the engine is told: a quarter of what the receiver is told at once.
const TAKEN_STEP_BYTES: u64 = 32 << 10;
