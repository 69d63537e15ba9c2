//! Ten thousand commands over a path that loses one packet in twenty each way: each ends once and runs once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use runnel::codec::Class;
use runnel::relay::{PathConfig, RelayCounts};
use runnel::{Submission, SubmitOptions};
use runnel_tests::commands::Mark;
use runnel_tests::follow::outcome;
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::report;
use runnel_tests::route::lossy;
use runnel_tests::seed::Seed;

#[tokio::test]
async fn each_of_ten_thousand_commands_ends_once_and_runs_once_at_five_percent_loss() {
    let seed = Seed::or(1);
    let config = PairConfig { path: lossy(Duration::from_millis(5), 0.05), ..PairConfig::default() };
    let counts = check(&seed, config, 10_000).await;
    assert!(counts.up.lost > 0 && counts.down.lost > 0, "the path loses packets both ways: {counts:?}");
}

#[tokio::test]
#[ignore = "takes minutes: see CONTRIBUTING.md"]
async fn a_hundred_thousand_commands_end_once_and_run_once_through_loss_and_rebinds() {
    let seed = Seed::or(1);
    let path = PathConfig { jitter: Duration::from_millis(5), ..lossy(Duration::from_millis(20), 0.05) };
    let rebind_every = Some(Duration::from_secs(2));
    let config = PairConfig { path, rebind_every, ..PairConfig::default() };
    let counts = check(&seed, config, 100_000).await;
    assert!(counts.rebinds > 0, "the port was forgotten meanwhile: {counts:?}");
}

/// Sends a worker so many commands, as fast as the queue takes them, and holds the outcomes against the tally.
async fn check(seed: &Seed, config: PairConfig, commands: u64) -> RelayCounts {
    let pair = Pair::start(config, seed.number()).await;
    let begun_at = Instant::now();
    let (mut ids, mut open) = (Vec::new(), VecDeque::new());
    for number in 0..commands {
        let class = Class::ALL[usize::try_from(number).expect("a small number") % Class::ALL.len()];
        let options = SubmitOptions { class, ..SubmitOptions::default() };
        open.push_back((number, pair.submit::<Mark>(number, options).await));
        if open.len() == OPEN_MAX {
            ids.extend(end_oldest(&mut open).await);
        }
    }
    while let Some(id) = end_oldest(&mut open).await {
        ids.push(id);
    }
    let took = begun_at.elapsed();

    // The count is of the handlers' own making: every id is in it, each once, and nothing else.
    ids.sort();
    let runs = pair.tally.all();
    assert_eq!(runs.keys().cloned().collect::<Vec<_>>(), ids, "seed {}", seed.number());
    let doubled: Vec<_> = runs.iter().filter(|(_, runs)| **runs != 1).collect();
    assert!(doubled.is_empty(), "seed {}, doubled: {doubled:?}", seed.number());
    let counts = pair.route.handle().counts();
    let (up, down) = (counts.up.lost, counts.down.lost);
    report(&format!("{commands} commands in {took:.1?}; lost packets: {up} up, {down} down"));
    pair.stop().await;
    counts
}

/// Waits for the outcome of the oldest command and returns its id.
async fn end_oldest(open: &mut VecDeque<(u64, Submission<Mark>)>) -> Option<String> {
    let (number, submission) = open.pop_front()?;
    let id = submission.id().to_string();
    assert_eq!(outcome(submission).await, Ok(number));
    Some(id)
}

/// Half of what the send queue takes for one peer.
const OPEN_MAX: usize = 10_000;
