//! Kills real daemons and supervisors with SIGKILL at random moments, starts the daemons again, and counts whether anything
//! that was ordered meanwhile was lost, ran twice or ended otherwise than it should.
//!
//! Usage: `crash [--rounds N] [--seed S] [--sabotage lose|double|output] [--json]`
//!
//! A controller and a worker, `runnel node` each with a store, and a relay between them that loses packets. In each round
//! commands are ordered through the command line and the API, and something is killed in the middle of them. `world` has
//! the processes, `orders` drives commands to their outcomes, `plan` says what they are, `verdict` judges by files that
//! Runnel never reads.

mod api;
mod arguments;
mod orders;
mod plan;
mod show;
mod verdict;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::arguments::Arguments;
use self::orders::Orders;
use self::plan::Planned;
use self::show::{Show, say};
use self::verdict::Verdict;
use self::world::World;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            say(&format!("{fault}\n{}", arguments::USAGE));
            return ExitCode::from(2);
        }
    };
    let show = Show::new(&arguments);
    show.begin();
    let began_at = Instant::now();
    let mut world = World::start(arguments.seed).await;
    let mut orders = Orders::new(&world);
    run(&arguments, &mut world, &mut orders, &show).await;
    let results = orders.finish().await;
    // What was told must still be there for who comes later.
    world.kill_controller().await;
    world.start_controller().await;
    let kept = world.api().commands().await;
    let verdict = Verdict::judge(&results, &kept, &world);
    show.end(&verdict, &world.kills, began_at.elapsed());
    world.end().await;
    if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(arguments: &Arguments, world: &mut World, orders: &mut Orders, show: &Show) {
    let mut rng = ChaCha8Rng::seed_from_u64(arguments.seed);
    for round in 1..=arguments.rounds {
        for planned in Planned::round(round, &mut rng, arguments.sabotage) {
            orders.begin(planned, round);
        }
        let kill = Kill::draw(&mut rng);
        orders.work_for(millis(&mut rng, KILL_AFTER_MS_MAX)).await;
        kill.strike(world, &mut rng).await;
        orders.work_for(millis(&mut rng, AWAY_MS_MAX)).await;
        world.start_missing().await;
        orders.catch_up(round.saturating_sub(ROUNDS_OPEN_MAX)).await;
        show.progress(round, orders.ended());
    }
}

/// What is killed in one round.
#[derive(Clone, Copy, Debug)]
enum Kill {
    Controller,
    Worker,
    Both,
    Supervisor,
    SupervisorAndWorker,
}

impl Kill {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..10) {
            0..=2 => Self::Controller,
            3..=5 => Self::Worker,
            6..=7 => Self::Both,
            8 => Self::Supervisor,
            _ => Self::SupervisorAndWorker,
        }
    }

    async fn strike(self, world: &mut World, rng: &mut ChaCha8Rng) {
        if matches!(self, Self::Supervisor | Self::SupervisorAndWorker) {
            world.kill_supervisor(rng);
        }
        if matches!(self, Self::Controller | Self::Both) {
            world.kill_controller().await;
        }
        if matches!(self, Self::Worker | Self::Both | Self::SupervisorAndWorker) {
            world.kill_worker().await;
        }
    }
}

fn millis(rng: &mut ChaCha8Rng, max: u64) -> Duration {
    Duration::from_millis(rng.random_range(0..=max))
}

/// Latest moment of a kill in its round: later than most commands of the round end.
const KILL_AFTER_MS_MAX: u64 = 700;

/// Longest absence of what was killed.
const AWAY_MS_MAX: u64 = 300;

/// Rounds whose commands may be under way at once.
const ROUNDS_OPEN_MAX: u64 = 2;
