//! Two nodes that dial each other at the same time end up with one link.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use runnel::certs::Role;
use runnel::{NodeBuilder, NodeHandle, SubmitOptions};
use runnel_tests::commands::{Gate, Mark, handlers};
use runnel_tests::fleet::TestFleet;
use runnel_tests::follow::outcome;
use runnel_tests::patience::{patient, report};
use runnel_tests::route::{Route, clean, local};
use runnel_tests::tally::Tally;
use tokio::task::JoinSet;

#[tokio::test]
async fn two_nodes_that_dial_each_other_agree_on_one_link() {
    // The smaller name wins a tie; both roles have it in turn.
    let mut rounds = JoinSet::new();
    for round in 0..ROUNDS {
        let names = if round % 2 == 0 { ("a", "z") } else { ("z", "a") };
        rounds.spawn(meet(names.0, names.1, round));
    }
    let mut links = Vec::new();
    while let Some(round) = rounds.join_next().await {
        links.push(round.expect("no round fails"));
    }
    report(&format!("links that came up in {ROUNDS} simultaneous dials, each: {links:?}"));
}

/// Starts both nodes, waits until they agree, and returns how many links came up at the controller.
async fn meet(controller: &'static str, worker: &'static str, seed: u64) -> u64 {
    let fleet = TestFleet::today();
    let (tally, gate) = (Tally::default(), Gate::closed());
    let (controller_at, worker_at) = (free_port(), free_port());
    let delay = Duration::from_millis(30);
    let to_controller = Route::to(controller_at, clean(delay), seed);
    let to_worker = Route::to(worker_at, clean(delay), seed);
    let (controller_name, worker_name) =
        (controller.parse().expect("a name"), worker.parse().expect("a name"));
    let controller = NodeBuilder::new(fleet.identity(controller, Role::Controller))
        .listen(controller_at)
        .peer(worker_name, [to_worker.address().to_string()]);
    let worker = NodeBuilder::new(fleet.identity(worker, Role::Worker))
        .handlers(handlers(&tally, &gate))
        .listen(worker_at)
        .peer(controller_name, [to_controller.address().to_string()]);
    let (controller, worker) = tokio::join!(controller.start(), worker.start());
    let (controller, worker) = (controller.expect("it starts"), worker.expect("it starts"));

    let agreed = patient("both ends to agree", agreement(controller.handle(), worker.handle())).await;
    let node = worker.handle().node().clone();
    for number in 0..50 {
        let mark = controller.handle().submit::<Mark>(&node, &number, SubmitOptions::default()).await;
        assert_eq!(outcome(mark.expect("the queue has room")).await, Ok(number));
    }
    assert!(tally.all().len() == 50 && tally.all().values().all(|runs| *runs == 1));
    assert_eq!(patient("both ends to agree", agreement(controller.handle(), worker.handle())).await, agreed);
    let links = controller.handle().status().borrow().links_total;
    patient("both to stop", async { tokio::join!(worker.shutdown(), controller.shutdown()) }).await;
    links
}

/// Waits until both nodes name the same link, and returns its number.
async fn agreement(one: &NodeHandle, other: &NodeHandle) -> u64 {
    let (mut of_one, mut of_other) = (one.status(), other.status());
    loop {
        let number = |status: &runnel::Status, peer| status.link(peer).map(|link| link.number.to_wire());
        let numbers = (
            number(&of_one.borrow_and_update(), other.node()),
            number(&of_other.borrow_and_update(), one.node()),
        );
        if let (Some(number), Some(same)) = numbers
            && number == same
        {
            return number;
        }
        tokio::select! {
            changed = of_one.changed() => changed.expect("the node runs"),
            changed = of_other.changed() => changed.expect("the node runs"),
        }
    }
}

/// Both addresses must be known before either node starts: the system will hardly give a port away twice in a row.
fn free_port() -> SocketAddr {
    let socket = UdpSocket::bind(local()).expect("a free port");
    socket.local_addr().expect("a bound socket has an address")
}

const ROUNDS: u64 = 10;
