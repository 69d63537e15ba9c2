//! Commands that are called like functions: one wait, for the outcome.

use runnel_codec::{Command, NodeId, UpdatePolicy};

use super::{Encoded, NodeHandle, SubmitError, SubmitOptions};
use crate::engine::Wants;
use crate::submission::{NotDone, result_of};

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The command was not stored: it will not run.
    #[error("the command was not stored")]
    NotStored(#[from] SubmitError),
    /// It was stored and has another outcome than a result.
    #[error(transparent)]
    NotDone(#[from] NotDone),
}

impl NodeHandle {
    /// Sends a command to `to` and waits for its result.
    ///
    /// It is [`submit`](Self::submit) and [`Submission::outcome`](crate::Submission::outcome) in one: for the caller that
    /// wants nothing else, it costs one wait instead of two. Updates and a body of the result are not asked for, and
    /// [`SubmitOptions::keep_outcome`] means nothing here. A receiver that is unreachable is waited for as long as the
    /// deadline lets it.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the command may have been stored: it is then sent and its outcome discarded.
    pub async fn call<C: Command>(
        &self,
        to: &NodeId,
        args: &C::Args,
        options: SubmitOptions,
    ) -> Result<C::Result, CallError> {
        let options = SubmitOptions {
            updates: UpdatePolicy::Discard,
            result_body: false,
            keep_outcome: false,
            ..options
        };
        let (mut events, _) = self
            .hand_over(to, Encoded::of::<C>(args).map_err(SubmitError::from)?, options, Wants::End)
            .await?;
        match events.end(&self.ways.wakes).await {
            Some(Ok(outcome)) => Ok(result_of::<C>(outcome)?),
            Some(Err(error)) => Err(CallError::NotStored(error.into())),
            None => Err(CallError::NotDone(NotDone::NodeStopped)),
        }
    }
}
