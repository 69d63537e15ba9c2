//! Two thousand commands that sleep on one link, and an echo that goes past them.

use std::time::{Duration, Instant};

use runnel::certs::Role;
use runnel::codec::{Class, FailureKind};
use runnel::commands::{Exec, ExecArgs, Ping, register_built_ins};
use runnel::process::Confinement;
use runnel::{Handlers, NodeBuilder, Progress, SubmitOptions};
use runnel_tests::commands::{Echo, Hold};
use runnel_tests::fleet::TestFleet;
use runnel_tests::follow::{failure_of, outcome, started};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::{patient, report};
use runnel_tests::route::{Route, clean, local};

#[tokio::test]
async fn an_echo_goes_past_two_thousand_sleepers_on_the_same_link() {
    let pair = Pair::start(PairConfig { path: clean(DELAY), ..PairConfig::default() }, 1).await;
    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        sleepers.push(pair.submit::<Hold>((), SubmitOptions::default()).await);
    }
    for sleeper in &mut sleepers {
        started(sleeper).await;
    }
    assert_eq!(pair.tally.all().len(), SLEEPERS);

    let mut echoes = Vec::new();
    for class in Class::ALL {
        let sent_at = Instant::now();
        let echo = pair.submit::<Echo>(9, SubmitOptions { class, ..SubmitOptions::default() }).await;
        assert_eq!(outcome(echo).await, Ok(9));
        echoes.push(sent_at.elapsed());
    }
    // Every echo has ended and no sleeper can have: the gate is closed.
    let bound = 4 * DELAY + Duration::from_millis(50);
    let within = echoes.iter().filter(|took| **took <= bound).count();
    let longest = echoes.iter().max().expect("five echoes");
    report(&format!(
        "echo past {SLEEPERS} sleepers: at most {longest:.1?}; {within} of 5 within 2 RTT + 50 ms = {bound:?}"
    ));

    pair.gate.open();
    for mut sleeper in sleepers {
        assert!(!matches!(sleeper.progress().await, Some(Ok(Progress::Started))), "it starts once");
        assert_eq!(outcome(sleeper).await, Ok(()));
    }
    assert!(pair.tally.all().values().all(|runs| *runs == 1));
    pair.stop().await;
}

#[tokio::test]
#[ignore = "starts 2,000 processes, for which a system may have no room: see CONTRIBUTING.md"]
async fn a_ping_goes_past_two_thousand_processes_on_the_same_link() {
    let fleet = TestFleet::today();
    let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller)).listen(local());
    let controller = controller.start().await.expect("the controller starts");
    let route = Route::to(controller.handle().listening()[0], clean(DELAY), 1);
    let mut handlers = Handlers::new();
    register_built_ins(&mut handlers, Confinement::default());
    let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker))
        .handlers(handlers)
        .peer(controller.handle().node().clone(), [route.address().to_string()]);
    let worker = worker.start().await.expect("the worker starts");
    let (controller_handle, node) = (controller.handle().clone(), worker.handle().node().clone());
    let sleep =
        ExecArgs { program: "sleep".to_owned(), args: vec!["3600".to_owned()], ..ExecArgs::default() };
    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        let sleeper = controller_handle.submit::<Exec>(&node, &sleep, SubmitOptions::default()).await;
        sleepers.push(sleeper.expect("the queue has room"));
    }
    for sleeper in &mut sleepers {
        started(sleeper).await;
    }
    let sent_at = Instant::now();
    let ping = controller_handle.submit::<Ping>(&node, &9, SubmitOptions::default()).await;
    assert_eq!(outcome(ping.expect("the queue has room")).await, Ok(9));
    report(&format!(
        "ping past {SLEEPERS} processes: {:.1?} at a round trip of {:?}",
        sent_at.elapsed(),
        2 * DELAY
    ));
    for sleeper in &sleepers {
        controller_handle.cancel(sleeper.id()).await.expect("it sleeps for an hour");
    }
    for sleeper in sleepers {
        assert_eq!(failure_of(outcome(sleeper).await), FailureKind::Cancelled);
    }
    patient("both to stop", async { tokio::join!(worker.shutdown(), controller.shutdown()) }).await;
}

const SLEEPERS: usize = 2000;

/// One way; the round trip is twice that.
const DELAY: Duration = Duration::from_millis(20);
