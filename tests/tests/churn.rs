//! Nothing leaks: after many links, crashes and NAT rebinds, tasks, sockets and ports are what they were.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::codec::Class;
use runnel_tests::patience::report;
use runnel_tests::seed::Seed;
use runnel_tests::sim::{Detail, Job, NatKind, Options, Order, PathConfig, Trace, World};
use tokio::time::{sleep, timeout};

/// What a node holds on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holdings {
    tasks: [usize; 2],
    sockets: [usize; 2],
    ports: usize,
}

fn holdings(world: &World) -> Holdings {
    let both = [CONTROLLER, WORKER];
    Holdings {
        tasks: both.map(|host| world.tasks(host)),
        sockets: both.map(|host| world.network().sockets(world.address(host))),
        ports: world.network().open_ports(world.address(WORKER)),
    }
}

/// Lets links that ended drain, and the link that is left come to rest.
async fn rest(world: &World) {
    let done = world.call(CONTROLLER, |number| Order::note(number, WORKER, Class::Normal));
    let done = timeout(REST, done.expect("the controller runs")).await;
    assert_eq!(done, Ok(Ok(true)), "the worker is there");
    sleep(REST).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_node_holds_does_not_grow_with_the_links_that_it_has_had() {
    check(ROUNDS, Duration::ZERO).await;
}

/// `cargo test --release -p runnel-tests --test churn -- --ignored`
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes: run it with --release"]
async fn what_a_node_holds_does_not_grow_in_a_week() {
    check(ROUNDS, Duration::from_secs(7 * 24 * 3600)).await;
}

/// Has links come and go for at least so many rounds and so long, and compares what is held afterwards with what was before.
async fn check(rounds: u32, lasting: Duration) {
    let seed = Seed::or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed.number());
    let options = Options {
        nats: vec![Some(NatKind::Symmetric)],
        ..Options::calm(seed.number(), 1, PathConfig::lossy(Duration::from_millis(20), Duration::ZERO, 0.02))
    };
    let mut world = World::new(options, Trace::new(Detail::None));
    world.start_all();
    rest(&world).await;
    let before = holdings(&world);

    let mut round = 0;
    while round < rounds || world.observer().trace().elapsed() < lasting {
        round += 1;
        // With something under way, that ends or is lost.
        world.call(CONTROLLER, |number| {
            let job = Job {
                run_ms: 2_000,
                body_bytes: 20_000,
                updates: 5,
                update_bytes: 100,
                ..Job::short(number)
            };
            Order::plain(job, WORKER)
        });
        let address = world.address(WORKER);
        match random.random_range(0..3) {
            0 => {
                world.crash(WORKER).await;
                world.start(WORKER);
            }
            1 => world.network().forget_ports(address),
            _ => {
                world.network().set_cut_off(address, true);
                sleep(Duration::from_secs(random.random_range(1..90))).await;
                world.network().set_cut_off(address, false);
            }
        }
        sleep(Duration::from_millis(random.random_range(100..20_000))).await;
        assert_eq!(world.observer().violations(), [], "round {round}");
    }
    rest(&world).await;
    let links = world.node(CONTROLLER).expect("it runs").status().borrow().links_total;
    assert!(links > u64::from(round / 3), "{links} links");
    report(&format!(
        "{links} links in {:?} of virtual time; both ends hold {before:?}",
        world.observer().trace().elapsed()
    ));
    assert_eq!(holdings(&world), before);
    world.stop_all().await;
    assert_eq!(world.observer().violations(), []);
}

const CONTROLLER: usize = 0;
const WORKER: usize = 1;
const ROUNDS: u32 = 200;

/// Longer than any connection drains.
const REST: Duration = Duration::from_secs(600);
