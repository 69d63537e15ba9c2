//! Two whole nodes in one current-thread runtime, on a virtual clock and a network in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runnel::codec::{Command, FailureKind, LinkNumber, RejectionKind};
use runnel::commands::{Ping, SystemInfo};
use runnel::{
    Context, HandlerError, Handlers, LinkChange, LinkChangesError, NotDone, Progress, Submission,
    SubmitOptions,
};
use runnel_tests::sim::{Pair, PathConfig, WORKER_HOST};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Counts to its argument, one update a step, and counts its own calls.
enum CountTo {}

impl Command for CountTo {
    const NAME: &'static str = "test.count/1";
    type Args = u64;
    type Update = u64;
    type Result = u64;
}

/// Runs until it is told to stop.
enum Linger {}

impl Command for Linger {
    const NAME: &'static str = "test.linger/1";
    type Args = ();
    type Update = u64;
    type Result = ();
}

async fn start(seed: u64, path: PathConfig) -> (Pair, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    (Pair::start(seed, path, handlers(calls.clone())).await, calls)
}

fn handlers(calls: Arc<AtomicU64>) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    handlers.on::<CountTo, _, _>(move |mut context: Context<CountTo>, to| {
        let calls = calls.clone();
        async move {
            calls.fetch_add(1, Ordering::Relaxed);
            for number in 1..=to {
                context.update(&number).await?;
            }
            if to == 13 { Err(HandlerError::new("unlucky")) } else { Ok(to) }
        }
    });
    handlers.on::<Linger, _, _>(|context: Context<Linger>, ()| async move {
        let reason = context.stop_signal().stopped().await;
        Err(HandlerError::stopped(reason, "told to stop"))
    });
    handlers
}

async fn follow(mut submission: Submission<CountTo>) -> (Vec<u64>, Result<u64, NotDone>) {
    let mut updates = Vec::new();
    while let Some(progress) = submission.progress().await {
        if let Progress::Update(number) = progress.expect("updates are numbers") {
            updates.push(number);
        }
    }
    (updates, submission.outcome().await)
}

#[tokio::test(start_paused = true)]
async fn commands_end_once_and_with_all_their_updates_at_five_percent_loss() {
    for seed in 1..=3 {
        let (pair, calls) = start(seed, LOSSY).await;
        let mut running = JoinSet::new();
        for number in 0..200 {
            let submission = pair.submit::<CountTo>(number % 20, SubmitOptions::default()).await;
            running.spawn(async move { (number % 20, follow(submission).await) });
        }
        while let Some(ended) = running.join_next().await {
            let (to, (updates, outcome)) = ended.expect("followers do not panic");
            assert_eq!(updates, (1..=to).collect::<Vec<_>>(), "seed {seed}");
            match outcome {
                Ok(result) => assert_eq!(result, to, "seed {seed}"),
                Err(NotDone::Failed(failure)) => assert_eq!((to, failure.message.as_str()), (13, "unlucky")),
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        assert_eq!(calls.load(Ordering::Relaxed), 200, "seed {seed}: each handler is called once");
        assert!(pair.network.counts().lost > 0, "seed {seed}: the network did lose packets");
        pair.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_answers_within_a_round_trip() {
    let (pair, _) = start(1, CLEAN).await;
    let sent_at = Instant::now();
    let ping = pair.submit::<Ping>(7, SubmitOptions::default()).await;
    assert_eq!(ping.outcome().await, Ok(7));
    let took = sent_at.elapsed();
    assert!(took < Duration::from_millis(50), "{took:?} at a round trip of 40 ms");
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_before_a_blackout_ends_after_it() {
    // Shorter than the idle timeout, a new link replaces the old one; longer, the old one is gone by then.
    for (seed, blackout) in [(1, 8), (2, 8), (3, 30), (4, 90), (5, 90)] {
        let (pair, calls) = start(seed, LOSSY).await;
        let before = pair.submit::<CountTo>(5, SubmitOptions::default()).await;
        pair.network.set_cut_off(WORKER_HOST, true);
        let during = pair.submit::<CountTo>(6, SubmitOptions::default()).await;
        tokio::time::sleep(Duration::from_secs(blackout)).await;
        pair.network.set_cut_off(WORKER_HOST, false);
        let healed_at = Instant::now();
        let ((before, first), (during, second)) = tokio::join!(follow(before), follow(during));
        assert_eq!((before.len(), first), (5, Ok(5)), "seed {seed}");
        assert_eq!((during.len(), second), (6, Ok(6)), "seed {seed}");
        assert_eq!(calls.load(Ordering::Relaxed), 2, "seed {seed}: each handler is called once");
        let took = healed_at.elapsed();
        assert!(took < Duration::from_secs(20), "seed {seed}: back after {took:?}");
        pair.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_links_is_told_in_order() {
    let (pair, _) = start(1, CLEAN).await;
    let mut changes = pair.controller.link_changes().expect("the node runs");
    let mut linger = pair.submit::<Linger>((), SubmitOptions::default()).await;
    assert_eq!(linger.progress().await, Some(Ok(Progress::Started)));
    pair.network.set_cut_off(WORKER_HOST, true);
    assert!(matches!(changes.next().await, Ok(LinkChange::Suspect { .. })));
    // Longer than the idle timeout: the old link is gone.
    assert!(matches!(changes.next().await, Ok(LinkChange::Down { .. })));
    pair.network.set_cut_off(WORKER_HOST, false);
    match changes.next().await {
        Ok(LinkChange::Up { peer, number, .. }) => {
            assert_eq!(peer, pair.worker);
            assert!(number > LinkNumber::FIRST);
        }
        other => panic!("{other:?}"),
    }
    pair.controller.cancel(linger.id()).await.expect("it runs");
    assert_eq!(failure_of(linger.outcome().await), FailureKind::Cancelled);
    pair.stop().await;
    assert_eq!(changes.next().await.err(), Some(LinkChangesError::NodeStopped));
}

#[tokio::test(start_paused = true)]
async fn a_running_command_is_cancelled_and_one_past_its_deadline_is_stopped() {
    let (pair, _) = start(1, CLEAN).await;
    let mut cancelled = pair.submit::<Linger>((), SubmitOptions::default()).await;
    assert_eq!(cancelled.progress().await, Some(Ok(Progress::Started)));
    pair.controller.cancel(cancelled.id()).await.expect("it runs");
    let failure = failure_of(cancelled.outcome().await);
    assert_eq!(failure, FailureKind::Cancelled);

    let options = SubmitOptions { deadline: Some(Duration::from_secs(3)), ..SubmitOptions::default() };
    let late = pair.submit::<Linger>((), options).await;
    assert_eq!(failure_of(late.outcome().await), FailureKind::DeadlineExceeded);
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_handler_is_rejected_unsent() {
    let (pair, _) = start(1, CLEAN).await;
    let unknown = pair.submit::<SystemInfo>((), SubmitOptions::default()).await;
    match unknown.outcome().await {
        Err(NotDone::Rejected(rejection)) => assert_eq!(rejection.kind, RejectionKind::UnknownCommand),
        other => panic!("{other:?}"),
    }
    pair.stop().await;
}

fn failure_of(outcome: Result<(), NotDone>) -> FailureKind {
    match outcome {
        Err(NotDone::Failed(failure)) => failure.kind,
        other => panic!("it should have failed: {other:?}"),
    }
}

const CLEAN: PathConfig = PathConfig::clean(Duration::from_millis(20));
const LOSSY: PathConfig = PathConfig::lossy(Duration::from_millis(20), Duration::from_millis(5), 0.05);
