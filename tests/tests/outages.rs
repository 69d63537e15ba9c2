//! A path that goes dark, and a dead link that still looks alive to one end.

use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::Class;
use runnel::{Config, NodeBuilder, SubmitOptions};
use runnel_tests::commands::{Gate, Hold, Mark, handlers};
use runnel_tests::fleet::TestFleet;
use runnel_tests::follow::{link_number, outcome, started};
use runnel_tests::log::{has_logged, watch_log};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::{patient, report};
use runnel_tests::route::{Route, clean, local, lossy};
use runnel_tests::seed::Seed;
use runnel_tests::tally::Tally;
use tokio::time::Instant;

#[tokio::test]
async fn thirty_dark_seconds_cost_no_command_that_was_outstanding() {
    let seed = Seed::or(1);
    let config = PairConfig { path: lossy(Duration::from_millis(10), 0.02), ..PairConfig::default() };
    let pair = Pair::start(config, seed.number()).await;
    let mut running = Vec::new();
    for _ in 0..20 {
        let mut hold = pair.submit::<Hold>((), SubmitOptions::default()).await;
        started(&mut hold).await;
        running.push(hold);
    }
    // Some of these have been sent when the light goes out, some not, and the rest is submitted in the dark.
    let mut marks = Vec::new();
    for number in 0..200 {
        if number == 100 {
            pair.route.go_dark().await;
        }
        let class = Class::ALL[usize::try_from(number).expect("small") % Class::ALL.len()];
        let options = SubmitOptions { class, ..SubmitOptions::default() };
        marks.push((number, pair.submit::<Mark>(number, options).await));
    }
    // Handlers end in the dark too.
    pair.gate.open();
    // The length of the outage is what this test is about; nothing is waited for by it.
    tokio::time::sleep(Duration::from_secs(30)).await;
    pair.route.lighten().await;

    let lightened_at = Instant::now();
    let mut first_after = None;
    for hold in running {
        let id = hold.id().clone();
        assert_eq!(outcome(hold).await, Ok(()));
        first_after.get_or_insert_with(|| lightened_at.elapsed());
        assert_eq!(pair.tally.runs(&id), 1);
    }
    for (number, mark) in marks {
        let id = mark.id().clone();
        assert_eq!(outcome(mark).await, Ok(number));
        assert_eq!(pair.tally.runs(&id), 1);
    }
    report(&format!("the first outcome came {:.1?} after 30 dark seconds", first_after.unwrap_or_default()));
    pair.stop().await;
}

#[tokio::test]
async fn a_dead_link_is_replaced_while_the_controller_still_believes_in_it() {
    watch_log();
    let fleet = TestFleet::today();
    let (tally, gate) = (Tally::default(), Gate::closed());
    let controller = NodeBuilder::new(fleet.identity("believer", Role::Controller)).listen(local());
    let controller = controller.start().await.expect("the controller starts");
    let listening = controller.handle().listening()[0];
    let first = Route::to(listening, clean(Duration::from_millis(5)), 1);
    let second = Route::to(listening, clean(Duration::from_millis(5)), 2);
    second.handle().set_blackout(true);

    // The worker loses patience long before the controller does.
    let mut config = Config::default();
    config.liveness.owed_interval = Duration::from_millis(100);
    config.liveness.suspect_after = Duration::from_millis(500);
    let worker = NodeBuilder::new(fleet.identity("doubter", Role::Worker))
        .config(config)
        .handlers(handlers(&tally, &gate))
        .peer(
            controller.handle().node().clone(),
            [first.address().to_string(), second.address().to_string()],
        );
    let worker = worker.start().await.expect("the worker starts");
    let (controller_name, worker_name) = (controller.handle().node().clone(), worker.handle().node().clone());
    let old = link_number(controller.handle(), &worker_name, |_| true).await;

    let hold = controller.handle().submit::<Hold>(&worker_name, &(), SubmitOptions::default()).await;
    let mut hold = hold.expect("the queue has room");
    started(&mut hold).await;
    first.go_dark().await;
    second.lighten().await;
    let new = link_number(controller.handle(), &worker_name, |number| number > old).await;
    // Taken for dead it would have said so; it was believed in until the new one took over.
    assert!(!has_logged(&["link down", "peer=doubter"]), "the old link was given up before it was replaced");

    // The command goes on where it was, and what the old path still carries changes nothing.
    first.lighten().await;
    gate.open();
    let id = hold.id().clone();
    assert_eq!(outcome(hold).await, Ok(()));
    let mark = controller.handle().submit::<Mark>(&worker_name, &5, SubmitOptions::default()).await;
    assert_eq!(outcome(mark.expect("the queue has room")).await, Ok(5));
    assert_eq!(tally.runs(&id), 1);
    assert_eq!(link_number(controller.handle(), &worker_name, |_| true).await, new);
    assert_eq!(link_number(worker.handle(), &controller_name, |_| true).await, new);
    patient("the worker to stop", worker.shutdown()).await;
    patient("the controller to stop", controller.shutdown()).await;
}
