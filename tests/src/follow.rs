//! Waiting for what happens to a command.

use runnel::codec::{Command, FailureKind, NodeId};
use runnel::{NodeHandle, NotDone, Progress, Submission};

use crate::patience::patient;

/// Waits until the handler of a command has been called. Updates before that are let go of.
///
/// # Panics
///
/// When the command ends before it starts.
///
/// # Cancel safety
///
/// Nothing but updates is lost if the future is dropped.
pub async fn started<C: Command>(submission: &mut Submission<C>) {
    loop {
        match patient("a command to start", submission.progress()).await {
            Some(Ok(Progress::Started)) => return,
            Some(_) => {}
            None => panic!("{} ended before it started", submission.id()),
        }
    }
}

/// Waits for the outcome of a command.
///
/// # Errors
///
/// Every outcome but `Done`.
///
/// # Panics
///
/// When none comes.
///
/// # Cancel safety
///
/// The outcome is discarded if the future is dropped.
pub async fn outcome<C: Command>(submission: Submission<C>) -> Result<C::Result, NotDone> {
    let event = format!("the outcome of {}", submission.id());
    patient(&event, submission.outcome()).await
}

/// Returns the kind of a failure.
///
/// # Panics
///
/// When the outcome is any other.
#[track_caller]
pub fn failure_of<T: std::fmt::Debug>(outcome: Result<T, NotDone>) -> FailureKind {
    match outcome {
        Err(NotDone::Failed(failure)) => failure.kind,
        other => panic!("it should have failed: {other:?}"),
    }
}

/// Returns the number of the link to `peer` as soon as it is up and its number passes.
///
/// # Panics
///
/// When none comes up.
///
/// # Cancel safety
///
/// Nothing is lost if the future is dropped.
pub async fn link_number(node: &NodeHandle, peer: &NodeId, passes: impl Fn(u64) -> bool) -> u64 {
    let mut status = node.status();
    let number = |status: &runnel::Status| status.link(peer).map(|link| link.number.to_wire());
    let seen = status.wait_for(|status| number(status).is_some_and(&passes));
    let seen = patient("a link", seen).await.expect("the node runs");
    number(&seen).expect("it was waited for")
}
