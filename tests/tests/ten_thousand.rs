//! Ten thousand commands over a path that loses one packet in twenty each way: each ends once and runs once.

use std::time::{Duration, Instant};

use runnel::SubmitOptions;
use runnel::codec::Class;
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
    let pair = Pair::start(config, seed.number()).await;
    let begun_at = Instant::now();
    let mut submissions = Vec::new();
    for number in 0..COMMANDS {
        let class = Class::ALL[usize::try_from(number).expect("a small number") % Class::ALL.len()];
        submissions
            .push(pair.submit::<Mark>(number, SubmitOptions { class, ..SubmitOptions::default() }).await);
    }
    let mut ids = Vec::new();
    for (number, submission) in (0..COMMANDS).zip(submissions) {
        ids.push(submission.id().to_string());
        assert_eq!(outcome(submission).await, Ok(number));
    }
    let took = begun_at.elapsed();

    // The count is of the handlers' own making: every id is in it, each once, and nothing else.
    ids.sort();
    let runs = pair.tally.all();
    assert_eq!(runs.keys().cloned().collect::<Vec<_>>(), ids);
    let doubled: Vec<_> = runs.iter().filter(|(_, runs)| **runs != 1).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let counts = pair.route.handle().counts();
    assert!(counts.up.lost > 0 && counts.down.lost > 0, "the path loses packets both ways: {counts:?}");
    report(&format!(
        "{COMMANDS} commands in {took:.1?}; lost packets: {} up, {} down",
        counts.up.lost, counts.down.lost
    ));
    pair.stop().await;
}

const COMMANDS: u64 = 10_000;
