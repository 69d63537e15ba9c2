//! Many workers and one controller: it crashes, and all come back without a storm; one is gone for ever, and nobody waits
//! for it.

use std::collections::BTreeSet;
use std::time::Duration;

use runnel::LinkStatus;
use runnel::codec::{Class, LinkNumber};
use runnel_tests::patience::report;
use runnel_tests::sim::{Detail, Options, Order, PathConfig, Trace, World};
use tokio::time::{Instant, sleep, timeout};

/// Waits until the controller has links to all workers, and returns them.
async fn all_linked(world: &World, workers: usize) -> Vec<LinkStatus> {
    let mut status = world.node(CONTROLLER).expect("it runs").status();
    let all = timeout(LONGEST, status.wait_for(|status| status.links.len() == workers)).await;
    let all = all.expect("all workers come back").expect("the controller runs");
    all.links.clone()
}

/// Waits until the controller has links to all workers. Returns how many came up in the busiest second until then.
async fn busiest_second(world: &World, workers: usize) -> u64 {
    let status = world.node(CONTROLLER).expect("it runs").status();
    let (mut busiest, mut before) = (0, 0);
    let ends_at = Instant::now() + LONGEST;
    while status.borrow().links.len() < workers && Instant::now() < ends_at {
        sleep(Duration::from_secs(1)).await;
        let total = status.borrow().links_total;
        busiest = busiest.max(total - before);
        before = total;
    }
    busiest
}

/// Crashes the controller of so many workers and starts it again.
async fn crash_and_count(workers: usize) {
    let mut world = World::new(Options::calm(1, workers, PATH), Trace::new(Detail::None));
    world.start_all();
    all_linked(&world, workers).await;
    // Links come to rest, and heartbeats fall out of step.
    sleep(Duration::from_secs(20)).await;

    world.crash(CONTROLLER).await;
    sleep(Duration::from_secs(2)).await;
    world.start(CONTROLLER);
    let started_at = Instant::now();
    let busiest = busiest_second(&world, workers).await;
    let links = all_linked(&world, workers).await;
    let took = started_at.elapsed();
    let peers: BTreeSet<_> = links.iter().map(|link| link.peer.clone()).collect();
    assert_eq!(peers.len(), workers);
    assert!(links.iter().all(|link| link.number > LinkNumber::FIRST), "none has forgotten the link before");

    let total = world.node(CONTROLLER).expect("it runs").status().borrow().links_total;
    report(&format!(
        "{workers} workers are back {took:?} after a crash, over {total} links, {busiest} in the busiest second"
    ));
    assert!(took <= IDLE_MAX + BACK_MAX, "one comes {took:?} after the start");
    assert!(total <= u64::try_from(workers).expect("few") * 3 / 2, "a storm of {total} links");
    world.stop_all().await;
    assert_eq!(world.observer().violations(), []);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_workers_are_back_without_a_storm() {
    Box::pin(crash_and_count(100)).await;
}

/// `cargo test --release -p runnel-tests --test fleets -- --ignored --nocapture`: 11 s of processor time. All are back 20 s
/// after the start, over 1000 links: 15 s are the pause between two packets of an idle worker.
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes of CPU time without optimisation"]
async fn a_thousand_workers_are_back_without_a_storm() {
    Box::pin(crash_and_count(1000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_gone_for_ever_holds_nobody_up() {
    let mut world = World::new(Options::calm(2, 3, PATH), Trace::new(Detail::None));
    world.start_all();
    all_linked(&world, 3).await;
    let mut others = world.workers();
    let gone = others.next().expect("three workers");
    // One way only: its packets still come, and what is sent to it is lost.
    world.network().set_cut_one_way(world.address(CONTROLLER), world.address(gone), true);
    let (mut lost, mut served) = (Vec::new(), Vec::new());
    for round in 0..300 {
        let class = Class::ALL[round % Class::ALL.len()];
        lost.extend(world.call(CONTROLLER, |number| Order::note(number, gone, class)));
        for worker in others.clone() {
            served.extend(world.call(CONTROLLER, |number| Order::note(number, worker, class)));
        }
        sleep(Duration::from_millis(200)).await;
    }
    // Each was submitted a second ago at least, in a world of 40 ms and few losses.
    sleep(Duration::from_secs(1)).await;
    let ended = served.iter_mut().map(|told| told.try_recv()).filter(|told| *told == Ok(true)).count();
    assert_eq!(ended, 600);
    assert!(lost.iter_mut().all(|told| told.try_recv().is_err()), "the one that is gone hears nothing");
    world.stop_all().await;
    assert_eq!(world.observer().violations(), []);
}

const CONTROLLER: usize = 0;

const PATH: PathConfig = PathConfig::lossy(Duration::from_millis(20), Duration::from_millis(10), 0.01);

/// An idle worker speaks every 15 s; its next packet is answered with a reset, and then it dials.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// What is promised from then on: an attempt that is lost, the pause after it, and some round trips.
const BACK_MAX: Duration = Duration::from_secs(10);

const LONGEST: Duration = Duration::from_secs(40);
