//! Cancelling a command before it starts, while it runs, and after its end.

use runnel::codec::FailureKind;
use runnel::{Config, NotDone, NotFound, SubmitOptions};
use runnel_tests::commands::{Echo, Hold, Mark};
use runnel_tests::follow::{failure_of, outcome, started};
use runnel_tests::pair::{Pair, PairConfig};

#[tokio::test]
async fn what_has_not_left_is_cancelled_at_once_and_never_runs() {
    let pair = Pair::start_in_the_dark(PairConfig::default(), 1).await;
    let submission = pair.submit::<Mark>(1, SubmitOptions::default()).await;
    let id = submission.id().clone();
    pair.controller().cancel(&id).await.expect("it waits");
    assert_eq!(outcome(submission).await, Err(NotDone::Cancelled));

    // What is sent after it has ended, so it would have run by then.
    pair.route.lighten().await;
    assert_eq!(outcome(pair.submit::<Mark>(2, SubmitOptions::default()).await).await, Ok(2));
    assert_eq!(pair.tally.runs(&id), 0);
    pair.stop().await;
}

#[tokio::test]
async fn what_waits_at_the_receiver_is_cancelled_by_its_word_and_never_runs() {
    let mut worker = Config::default();
    worker.receive_queue.running_max = 1;
    let pair = Pair::start(PairConfig { worker, ..PairConfig::default() }, 1).await;
    let mut running = pair.submit::<Hold>((), SubmitOptions::default()).await;
    started(&mut running).await;
    let waiting = pair.submit::<Mark>(1, SubmitOptions::default()).await;
    let id = waiting.id().clone();
    pair.controller().cancel(&id).await.expect("it waits");
    assert_eq!(outcome(waiting).await, Err(NotDone::Cancelled));
    pair.gate.open();
    assert_eq!(outcome(running).await, Ok(()));
    assert_eq!(outcome(pair.submit::<Mark>(2, SubmitOptions::default()).await).await, Ok(2));
    assert_eq!(pair.tally.runs(&id), 0);
    pair.stop().await;
}

#[tokio::test]
async fn what_runs_is_told_to_stop_and_its_word_is_the_outcome() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let mut running = pair.submit::<Hold>((), SubmitOptions::default()).await;
    started(&mut running).await;
    let id = running.id().clone();
    pair.controller().cancel(&id).await.expect("it runs");
    assert_eq!(failure_of(outcome(running).await), FailureKind::Cancelled);
    assert_eq!(pair.tally.runs(&id), 1);
    pair.stop().await;
}

#[tokio::test]
async fn what_has_ended_keeps_its_outcome() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let mut submission = pair.submit::<Echo>(3, SubmitOptions::default()).await;
    while submission.progress().await.is_some() {}
    assert_eq!(pair.controller().cancel(submission.id()).await, Err(NotFound));
    assert_eq!(outcome(submission).await, Ok(3));
    pair.stop().await;
}

#[tokio::test]
async fn a_wish_that_is_said_during_a_blackout_arrives_after_it() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let mut running = pair.submit::<Hold>((), SubmitOptions::default()).await;
    started(&mut running).await;
    pair.route.go_dark().await;
    pair.controller().cancel(running.id()).await.expect("it runs");
    pair.route.lighten().await;
    assert_eq!(failure_of(outcome(running).await), FailureKind::Cancelled);
    pair.stop().await;
}
