//! Deadlines that pass while a command waits, at either end, and while it runs.

use std::time::Duration;

use runnel::codec::FailureKind;
use runnel::{Config, NotDone, SubmitOptions};
use runnel_tests::commands::{Hold, Mark};
use runnel_tests::follow::{failure_of, outcome, started};
use runnel_tests::pair::{Pair, PairConfig};

#[tokio::test]
async fn what_has_not_left_expires_without_a_link_and_never_runs() {
    let pair = Pair::start_in_the_dark(PairConfig::default(), 1).await;
    let submission = pair.submit::<Mark>(1, soon()).await;
    let id = submission.id().clone();
    assert_eq!(outcome(submission).await, Err(NotDone::Expired));
    pair.route.lighten().await;
    assert_eq!(outcome(pair.submit::<Mark>(2, SubmitOptions::default()).await).await, Ok(2));
    assert_eq!(pair.tally.runs(&id), 0);
    pair.stop().await;
}

#[tokio::test]
async fn what_waits_at_the_receiver_expires_there_and_never_runs() {
    let mut worker = Config::default();
    worker.receive_queue.running_max = 1;
    let pair = Pair::start(PairConfig { worker, ..PairConfig::default() }, 1).await;
    let mut running = pair.submit::<Hold>((), SubmitOptions::default()).await;
    started(&mut running).await;
    let waiting = pair.submit::<Mark>(1, soon()).await;
    let id = waiting.id().clone();
    assert_eq!(outcome(waiting).await, Err(NotDone::Expired));
    pair.gate.open();
    assert_eq!(outcome(running).await, Ok(()));
    assert_eq!(outcome(pair.submit::<Mark>(2, SubmitOptions::default()).await).await, Ok(2));
    assert_eq!(pair.tally.runs(&id), 0);
    pair.stop().await;
}

#[tokio::test]
async fn what_runs_past_its_deadline_is_told_to_stop() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    // The deadline counts from the submit, so how long the start takes decides nothing but which test this is.
    let options = SubmitOptions { deadline: Some(Duration::from_secs(3)), ..SubmitOptions::default() };
    let mut running = pair.submit::<Hold>((), options).await;
    started(&mut running).await;
    let id = running.id().clone();
    assert_eq!(failure_of(outcome(running).await), FailureKind::DeadlineExceeded);
    assert_eq!(pair.tally.runs(&id), 1);
    pair.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_during_a_blackout_stops_the_handler_and_is_told_after_it() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let options = SubmitOptions { deadline: Some(Duration::from_secs(3)), ..SubmitOptions::default() };
    let mut running = pair.submit::<Hold>((), options).await;
    started(&mut running).await;
    pair.route.go_dark().await;
    // A command to nobody with the same deadline, given later: when it has expired, the other's has passed.
    let nobody = "nobody".parse().expect("a valid name");
    let options = SubmitOptions { deadline: Some(Duration::from_secs(3)), ..SubmitOptions::default() };
    let clock = pair.controller().submit::<Mark>(&nobody, &0, options).await.expect("the queue has room");
    assert_eq!(outcome(clock).await, Err(NotDone::Expired));
    pair.route.lighten().await;
    assert_eq!(failure_of(outcome(running).await), FailureKind::DeadlineExceeded);
    pair.stop().await;
}

fn soon() -> SubmitOptions {
    SubmitOptions { deadline: Some(Duration::from_millis(200)), ..SubmitOptions::default() }
}
