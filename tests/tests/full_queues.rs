//! What happens when a queue is full: an error value at the caller, `Busy` between the nodes, and nothing lost.

use std::num::NonZeroUsize;
use std::time::Duration;

use runnel::codec::{Class, NodeId};
use runnel::{Config, NodeHandle, Submission, SubmitError, SubmitOptions};
use runnel_tests::commands::{Echo, Hold, Mark};
use runnel_tests::follow::{outcome, started};
use runnel_tests::pair::{Pair, PairConfig};

#[tokio::test]
async fn a_full_send_queue_is_an_error_that_names_the_bound_and_loses_nothing() {
    let mut config = PairConfig::default();
    config.controller.send_queue.peer_commands_max = 100;
    let pair = Pair::start_in_the_dark(config, 1).await;
    let (mut stored, refusal) = fill(pair.controller(), pair.worker()).await;
    assert_eq!(stored.len(), 100);
    assert_eq!(refusal, "the send queue is full (commands to this peer); try again in 1000 ms");

    pair.route.lighten().await;
    for submission in stored.drain(..) {
        let id = submission.id().clone();
        assert_eq!(outcome(submission).await, Ok(7));
        assert_eq!(pair.tally.runs(&id), 1);
    }
    assert_eq!(
        outcome(pair.submit::<Mark>(8, SubmitOptions::default()).await).await,
        Ok(8),
        "there is room again"
    );
    pair.stop().await;
}

#[tokio::test]
async fn commands_to_dead_peers_leave_room_for_those_to_a_live_one() {
    let mut config = PairConfig::default();
    config.controller.send_queue.commands_max = 1000;
    config.controller.send_queue.peer_commands_min = 10;
    let pair = Pair::start(config, 1).await;
    let mut stored = Vec::new();
    for number in 0..30 {
        let dead = format!("dead-{number}").parse().expect("a valid name");
        let (commands, refusal) = fill(pair.controller(), &dead).await;
        assert_eq!(
            refusal,
            "the send queue is full (commands to peers without a link); try again in 1000 ms"
        );
        stored.extend(commands);
    }
    // Half of the bound, and beside it for each what every peer may have whatever the others do.
    assert_eq!(stored.len(), 500 + 30 * 5);
    assert_eq!(outcome(pair.submit::<Mark>(8, SubmitOptions::default()).await).await, Ok(8));
    pair.stop().await;
}

#[tokio::test]
async fn a_full_receive_queue_answers_busy_keeps_its_reserve_and_loses_nothing() {
    let pair = Pair::start(PairConfig { worker: small_receiver(), ..PairConfig::default() }, 1).await;
    let mut holding = Vec::new();
    for _ in 0..ACCEPTED_MAX - RESERVE {
        let mut hold = pair.submit::<Hold>((), SubmitOptions::default()).await;
        started(&mut hold).await;
        holding.push(hold);
    }
    // The queue is full but for its reserve: these wait at the controller.
    let mut waiting = Vec::new();
    for number in 0..200 {
        waiting.push(pair.submit::<Mark>(number, SubmitOptions::default()).await);
    }
    let urgent = SubmitOptions { class: Class::Urgent, ..SubmitOptions::default() };
    let through = pair.submit::<Mark>(1000, urgent).await;
    let through_id = through.id().to_string();
    assert_eq!(outcome(through).await, Ok(1000));
    let runs = pair.tally.all();
    assert_eq!(runs.len(), holding.len() + 1, "only what holds and the urgent one have run: {runs:?}");
    assert_eq!(runs.get(&through_id), Some(&1));

    pair.gate.open();
    for hold in holding {
        assert_eq!(outcome(hold).await, Ok(()));
    }
    for (number, submission) in (0..200).zip(waiting) {
        let id = submission.id().clone();
        assert_eq!(outcome(submission).await, Ok(number));
        assert_eq!(pair.tally.runs(&id), 1);
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_full_class_of_running_handlers_does_not_hold_up_another_type() {
    let mut worker = Config::default();
    worker.receive_queue.running_max_by_name.insert("test.hold/1".to_owned(), 1);
    let pair = Pair::start(PairConfig { worker, ..PairConfig::default() }, 1).await;
    let mut first = pair.submit::<Hold>((), SubmitOptions::default()).await;
    started(&mut first).await;
    let second = pair.submit::<Hold>((), SubmitOptions::default()).await;
    assert_eq!(outcome(pair.submit::<Echo>(5, SubmitOptions::default()).await).await, Ok(5));
    assert_eq!(pair.tally.runs(second.id()), 0, "the limit of its type holds it back");
    pair.gate.open();
    assert_eq!((outcome(first).await, outcome(second).await), (Ok(()), Ok(())));
    pair.stop().await;
}

/// Submits commands until one is refused. Returns those that were not, and what the refusal says.
async fn fill(node: &NodeHandle, to: &NodeId) -> (Vec<Submission<Mark>>, String) {
    let mut stored = Vec::new();
    loop {
        match node.submit::<Mark>(to, &7, SubmitOptions::default()).await {
            Ok(submission) => stored.push(submission),
            Err(SubmitError::Queue(error)) => return (stored, error.to_string()),
            Err(error) => panic!("{error}"),
        }
        assert!(stored.len() <= 1000, "no bound is kept");
    }
}

/// A worker that takes a handful of commands at once and asks its senders to come back soon.
fn small_receiver() -> Config {
    let mut config = Config::default();
    config.receive_queue.commands_max = ACCEPTED_MAX;
    config.receive_queue.sender_commands_max = ACCEPTED_MAX;
    config.receive_queue.sender_commands_min = 2;
    config.receive_queue.urgent_reserve = RESERVE;
    config.receive_queue.busy_retry_after = Duration::from_millis(20);
    config.receive_queue.free_places = NonZeroUsize::new(64).expect("64 is not 0");
    config
}

const ACCEPTED_MAX: usize = 12;
const RESERVE: usize = 4;
