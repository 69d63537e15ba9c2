//! Back in time: how soon the first command is through after a path was dark, on a virtual clock, over many seeds.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runnel::SubmitOptions;
use runnel_tests::commands::{Echo, Gate, handlers};
use runnel_tests::patience::report;
use runnel_tests::sim::{Pair, PathConfig, WORKER_HOST};
use runnel_tests::tally::Tally;
use tokio::time::{Instant, sleep, timeout};

/// Cuts the path for so long while commands come, and returns how long after its return the first outcome is there.
async fn first_outcome_after(seed: u64, blackout: Duration) -> Duration {
    let pair = Pair::start(seed, PATH, handlers(&Tally::default(), &Gate::closed())).await;
    for number in 0..20 {
        assert_eq!(pair.submit::<Echo>(number, SubmitOptions::default()).await.outcome().await, Ok(number));
        sleep(Duration::from_millis(100)).await;
    }
    let cut_at = Instant::now();
    pair.network.set_cut_off(WORKER_HOST, true);
    let mut waiting = FuturesUnordered::new();
    while cut_at.elapsed() < blackout {
        waiting.push(pair.submit::<Echo>(1, SubmitOptions::default()).await.outcome());
        sleep(blackout / WAITING).await;
    }
    pair.network.set_cut_off(WORKER_HOST, false);
    let back_at = Instant::now();
    let first = timeout(LONGEST * 20, waiting.next()).await;
    let took = back_at.elapsed();
    assert_eq!(first, Ok(Some(Ok(1))), "seed {seed}: nothing came {took:?} after {blackout:?} in the dark");
    let rest = timeout(LONGEST * 20, waiting.count()).await;
    assert!(rest.is_ok(), "seed {seed}: the others do not come");
    pair.stop().await;
    took
}

/// Looks at 30 seeds, each on a clock of its own.
fn check(blackout: Duration) {
    let mut all: Vec<(Duration, u64)> = (1..=SEEDS)
        .map(|seed| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let runtime = runtime.expect("the system has room for a runtime");
            (runtime.block_on(first_outcome_after(seed, blackout)), seed)
        })
        .collect();
    all.sort();
    let (median, (longest, seed)) = (all[all.len() / 2].0, all[all.len() - 1]);
    report(&format!(
        "after {blackout:?} in the dark: {median:?} in the median, at most {longest:?} of {SEEDS} seeds"
    ));
    assert!(longest <= LONGEST, "seed {seed} took {longest:?} after {blackout:?} in the dark");
}

#[test]
fn after_eight_dark_seconds_something_is_through_at_once() {
    check(Duration::from_secs(8));
}

#[test]
fn after_a_dark_minute_something_is_through_at_once() {
    check(Duration::from_secs(60));
}

#[test]
fn after_ten_dark_minutes_something_is_through_at_once() {
    check(Duration::from_secs(600));
}

const PATH: PathConfig = PathConfig::lossy(Duration::from_millis(20), Duration::from_millis(5), 0.02);

/// Commands that wait at the end of the dark time.
const WAITING: u32 = 80;

const SEEDS: u64 = 30;

/// What is promised of the first command.
const LONGEST: Duration = Duration::from_millis(2500);
