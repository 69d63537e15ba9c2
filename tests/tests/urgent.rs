//! Urgent commands on a path that loses packets: what they say travels twice, and counts once. On a virtual clock.

use std::time::Duration;

use futures_util::future::join_all;
use runnel::codec::Class;
use runnel::{Config, SubmitOptions};
use runnel_tests::commands::{Echo, Gate, Mark, handlers};
use runnel_tests::patience::report;
use runnel_tests::sim::{Pair, PathConfig};
use runnel_tests::tally::Tally;
use tokio::time::{Instant, interval};

fn urgent() -> SubmitOptions {
    SubmitOptions { class: Class::Urgent, ..SubmitOptions::default() }
}

/// Returns how long 99 of 100 urgent commands take at most on a path that loses every twentieth packet.
async fn tail(copies_from_loss_permille: u32) -> Duration {
    let mut config = Config::default();
    config.transport.copies_from_loss_permille = copies_from_loss_permille;
    let path = PathConfig::lossy(DELAY, Duration::ZERO, 0.05);
    let handlers = handlers(&Tally::default(), &Gate::closed());
    let pair = Pair::start_configured(1, path, handlers, &config).await;
    let mut ticks = interval(Duration::from_millis(20));
    let mut commands = Vec::new();
    for number in 0..COMMANDS {
        ticks.tick().await;
        let (began_at, submission) = (Instant::now(), pair.submit::<Echo>(number, urgent()).await);
        commands.push(tokio::spawn(async move {
            assert_eq!(submission.outcome().await, Ok(number));
            began_at.elapsed()
        }));
    }
    let mut latencies: Vec<Duration> =
        join_all(commands).await.into_iter().map(|ended| ended.expect("it ends well")).collect();
    pair.stop().await;
    // By then the loss has been measured.
    let mut measured = latencies.split_off(latencies.len() / 4);
    measured.sort_unstable();
    measured[measured.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn a_lost_packet_hardly_delays_an_urgent_command() {
    let (with, without) = (tail(5).await, tail(1001).await);
    report(&format!("99 of 100 commands take at most {with:?} with copies and {without:?} without them"));
    assert!(with <= DELAY * 2 + COPY_DELAY * 2, "{with:?}");
    assert!(
        without >= DELAY * 2 + COPY_DELAY * 3,
        "{without:?}: the path does not lose what the copies are for"
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_twice_and_in_any_order_counts_once() {
    let path = PathConfig {
        reordered: 0.2,
        reordered_by: Duration::from_millis(30),
        duplicated: 0.1,
        ..PathConfig::lossy(DELAY, Duration::from_millis(5), 0.2)
    };
    for seed in 1..=5 {
        let tally = Tally::default();
        let pair = Pair::start(seed, path, handlers(&tally, &Gate::closed())).await;
        let mut ticks = interval(Duration::from_millis(5));
        let mut commands = Vec::new();
        for number in 0..COMMANDS {
            ticks.tick().await;
            commands.push((number, pair.submit::<Mark>(number, urgent()).await));
        }
        for (number, submission) in commands {
            let id = submission.id().clone();
            assert_eq!(submission.outcome().await, Ok(number), "seed {seed}");
            assert_eq!(tally.runs(&id), 1, "seed {seed}, command {number}");
        }
        pair.stop().await;
    }
}

const DELAY: Duration = Duration::from_millis(25);
const COPY_DELAY: Duration = Duration::from_millis(10);
const COMMANDS: u64 = 1000;
