//! A link whose bulk is kept to a rate: the rate holds in both directions, and urgent commands do not notice. On a virtual
//! clock.

use std::time::Duration;

use runnel::codec::{Class, Command, Never};
use runnel::{Config, Handlers, SubmitOptions};
use runnel_tests::endless::{Endless, Taken, Way, handle_endless};
use runnel_tests::patience::report;
use runnel_tests::sim::{Pair, PathConfig, RateConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// Ends at once.
enum Ping {}

impl Command for Ping {
    const NAME: &'static str = "rate.ping/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

/// What a second of bodies brings, and how long the slowest urgent command beside them takes.
async fn measure(way: Way, class: Class, bulk_rate_max: u64) -> (u64, Duration) {
    let taken = Taken::default();
    let mut config = Config::default();
    config.budget.bulk_rate_max = bulk_rate_max;
    let rate = RateConfig { bits_per_second: 20_000_000, queue_bytes: 250_000 };
    let path = PathConfig { rate: Some(rate), ..PathConfig::clean(DELAY) };
    let pair = Pair::start_configured(1, path, handlers(&taken), &config).await;
    let mut bodies = Endless::default();
    for _ in 0..BODIES {
        bodies.begin(&pair, way, class, &taken).await;
    }
    slowest_ping(&pair, Duration::from_secs(2)).await;
    let before = taken.bytes();
    let slowest = slowest_ping(&pair, TIME).await;
    let bytes = taken.bytes() - before;
    bodies.end().await;
    pair.stop().await;
    (bytes / TIME.as_secs(), slowest)
}

/// Sends an urgent command every 20 ms, and returns how long the slowest took.
async fn slowest_ping(pair: &Pair, time: Duration) -> Duration {
    let (mut ticks, until, mut pings) = (interval(TICK), Instant::now() + time, JoinSet::new());
    while ticks.tick().await < until {
        let began_at = Instant::now();
        let options = SubmitOptions { class: Class::Urgent, ..SubmitOptions::default() };
        let submission = pair.submit::<Ping>((), options).await;
        pings.spawn(async move { submission.outcome().await.map(|()| began_at.elapsed()) });
    }
    let ended = pings.join_all().await;
    ended.into_iter().map(|ended| ended.expect("it ends well")).max().unwrap_or_default()
}

fn handlers(taken: &Taken) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    handle_endless(&mut handlers, taken);
    handlers
}

#[track_caller]
fn check(what: &str, rate: u64, (measured, slowest): (u64, Duration)) {
    report(&format!("{what}: {measured} of {rate} bytes a second, urgent commands take at most {slowest:?}"));
    assert!(measured.abs_diff(rate) <= rate / 20, "{what}: {measured} instead of {rate} bytes a second");
    assert!(slowest <= DELAY * 2 + Duration::from_millis(10), "{what}: {slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn bodies_keep_to_the_rate_in_both_directions_and_urgent_commands_are_not_delayed() {
    for rate in [50_000, 500_000] {
        check("up", rate, measure(Way::Up, Class::Bulk, rate).await);
        check("down", rate, measure(Way::Down, Class::Bulk, rate).await);
    }
}

#[tokio::test(start_paused = true)]
async fn no_class_below_urgent_escapes_the_rate() {
    for class in [Class::High, Class::Normal, Class::Low] {
        check(&format!("{class:?}"), 200_000, measure(Way::Up, class, 200_000).await);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_bodies_fill_the_link() {
    let (measured, _) = measure(Way::Up, Class::Bulk, 0).await;
    assert!(measured > 2_000_000, "{measured} bytes a second");
}

/// One way.
const DELAY: Duration = Duration::from_millis(25);

const TIME: Duration = Duration::from_secs(10);

const TICK: Duration = Duration::from_millis(20);

const BODIES: usize = 4;
