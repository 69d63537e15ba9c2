//! One run of a seed: first everything goes wrong and nothing may break, then nothing goes wrong and everything must end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use runnel::codec::Class;
use tokio::time::{Instant, sleep, timeout};

use super::chaos::Chaos;
use super::mark::Mark;
use super::network::Counts;
use super::options::Options;
use super::order::{Job, Order};
use super::trace::{Detail, Trace};
use super::violation::{Invariant, Violation};
use super::world::{PATIENCE, World};

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The hash of all that happened.
    pub digest: blake3::Hash,
    /// How many packets and events that were.
    pub events: u64,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// Commands that were submitted.
    pub orders: u64,
    /// How often each outcome was seen.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How many faults there were.
    pub faults: u64,
    /// What happened to packets.
    pub packets: Counts,
    /// Rare paths that were gone.
    pub marks: BTreeSet<Mark>,
    /// What was wrong.
    pub violations: Vec<Violation>,
}

/// Runs a seed with faults for so long, and then without until everything has ended.
///
/// # Panics
///
/// When the system has no room for a runtime.
pub fn run(options: Options, faults_for: Duration, detail: Detail) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("the system has room for a runtime");
    runtime.block_on(run_world(options, faults_for, detail))
}

async fn run_world(options: Options, faults_for: Duration, detail: Detail) -> Report {
    let trace = Trace::new(detail);
    let mut chaos = Chaos::new(options.seed);
    let mut world = World::new(options, trace.clone());
    world.start_all();
    world.set_busy(true);
    chaos.rage(&mut world, faults_for).await;
    world.set_busy(false);
    world.set_path(world.options().calm_path);
    world.start_all();
    world.observer().calm(true);

    let is_back = come_back(&world, chaos.had_doubles()).await;
    if is_back && all_end(&world).await {
        obey_cancels(&world).await;
        flow_freely(&world).await;
    }
    world.stop_all().await;
    let packets = world.network().counts();
    mark_packets(&world, &packets);
    let (digest, events) = trace.digest();
    let observer = world.observer();
    Report {
        digest,
        events,
        took: trace.elapsed(),
        orders: world.orders(),
        outcomes: observer.outcomes(),
        faults: chaos.faults(),
        packets,
        marks: observer.marks(),
        violations: observer.violations(),
    }
}

/// L1: something goes through between every two nodes, soon.
async fn come_back(world: &World, had_doubles: bool) -> bool {
    let limit = if had_doubles { BACK_MAX + DOUBLES_FORGOTTEN } else { BACK_MAX };
    let mut probes = Vec::new();
    for (controller, worker) in world.pairs() {
        let probe = world.call(controller, |number| Order::note(number, worker, Class::Urgent));
        probes.push(async move {
            let is_done = match probe {
                Some(done) => timeout(limit, done).await.is_ok(),
                None => false,
            };
            (!is_done).then_some((controller, worker))
        });
    }
    let lost: Vec<_> = join_all(probes).await.into_iter().flatten().collect();
    if let Some((controller, worker)) = lost.first() {
        let text =
            format!("nothing goes from host {controller} to host {worker}, {limit:?} after the last fault");
        world.observer().violation(Invariant::SoonBack, text);
    }
    lost.is_empty()
}

/// Returns what its sender says of a command.
async fn explain(world: &World, number: Option<u64>) -> String {
    let Some((host, id)) = number.and_then(|number| world.observer().sent_as(number)) else {
        return "is of nobody".to_owned();
    };
    match world.node(host) {
        Some(node) => format!("is said to be {:?}", node.explain(&id).await),
        None => "has no sender any more".to_owned(),
    }
}

/// L2 and S1: every command that was accepted ends.
async fn all_end(world: &World) -> bool {
    let owed = world.observer().owed().len();
    let ends_at = Instant::now() + PATIENCE + EACH_MAX * u32::try_from(owed).unwrap_or(u32::MAX);
    while !world.observer().owed().is_empty() {
        if Instant::now() >= ends_at {
            let owed = world.observer().owed();
            let first = owed.first().map(|number| world.observer().describe(*number)).unwrap_or_default();
            let why = explain(world, owed.first().copied()).await;
            let text = format!("{} commands have no outcome; the first {why}: {first}", owed.len());
            world.observer().violation(Invariant::AllEnd, text);
            return false;
        }
        sleep(Duration::from_secs(1)).await;
    }
    true
}

/// L2 too: commands that are cancelled while their heads are on the way, or lost there, do not run for an hour.
async fn obey_cancels(world: &World) {
    let on_the_way = world.options().calm_path.delay / 2 + Duration::from_millis(1);
    let order = |number, worker| {
        let job = Job { run_ms: 3_600_000, ..Job::short(number) };
        Order { cancel_after: Some(on_the_way), ..Order::plain(job, worker) }
    };
    for _ in 0..CANCEL_ROUNDS {
        let calls = world.pairs().flat_map(|(controller, worker)| {
            let calls =
                (0..CANCELS_AT_ONCE).map(move |_| world.call(controller, |number| order(number, worker)));
            calls.flatten()
        });
        if timeout(PATIENCE, join_all(calls.collect::<Vec<_>>())).await.is_err() {
            let text = format!("a command that was cancelled runs on for {PATIENCE:?}");
            return world.observer().violation(Invariant::AllEnd, text);
        }
    }
}

/// S10 and S11: more than all windows hold goes through, and urgent commands go past it.
async fn flow_freely(world: &World) {
    // Links are what they are going to be.
    sleep(Duration::from_secs(61)).await;
    let mut flows = Vec::new();
    for (controller, worker) in world.pairs().take(PAIRS_MAX) {
        flows.extend(world.call(controller, |number| {
            let job = Job {
                body_bytes: FLOW_BYTES,
                updates: 30,
                update_bytes: 20_000,
                result_body_bytes: FLOW_BYTES,
                ..Job::short(number)
            };
            Order { class: Class::Bulk, ..Order::plain(job, worker) }
        }));
        for _ in 0..5 {
            sleep(Duration::from_millis(300)).await;
            flows.extend(world.call(controller, |number| Order::note(number, worker, Class::Urgent)));
        }
    }
    match timeout(PATIENCE, join_all(flows)).await {
        Ok(done) if done.iter().all(|done| *done == Ok(true)) => {}
        Ok(_) => world
            .observer()
            .violation(Invariant::CreditReturns, "a large command was not done in calm".to_owned()),
        Err(_) => world
            .observer()
            .violation(Invariant::CreditReturns, format!("a large command hangs for {PATIENCE:?}")),
    }
}

fn mark_packets(world: &World, packets: &Counts) {
    let marks = [
        (packets.queue_full, Mark::PacketsDropped),
        (packets.duplicated, Mark::PacketsDuplicated),
        (packets.refused_by_nat, Mark::RefusedByNat),
    ];
    for (count, mark) in marks {
        if count > 0 {
            world.observer().mark(mark);
        }
    }
}

/// The longest silence on an idle link, an attempt at another one and its pause, and as much again for losses.
const BACK_MAX: Duration = Duration::from_secs(90);

/// How long a node is refused after it had a double.
const DOUBLES_FORGOTTEN: Duration = Duration::from_secs(70);

/// What each command that is owed may take: the longest handler, a few at a time.
const EACH_MAX: Duration = Duration::from_secs(8);

/// More than the windows of a body.
const FLOW_BYTES: u32 = 1_300_000;

/// Rounds of commands that are cancelled: enough that with few losses some of their heads are lost.
const CANCEL_ROUNDS: usize = 10;

/// Of each pair of nodes in a round: what the smallest queues take.
const CANCELS_AT_ONCE: usize = 4;

/// Pairs of nodes between which that flows.
const PAIRS_MAX: usize = 4;
