//! Routes that change and machines that sleep, on a virtual clock and a network in memory.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::NodeId;
use runnel::{LinkStatus, NodeBuilder, NodeHandle, Status, SubmitOptions};
use runnel_tests::commands::{Gate, Hold, handlers};
use runnel_tests::fleet::TestFleet;
use runnel_tests::sim::{Machine, Network, PathConfig, SimEnv};
use runnel_tests::tally::Tally;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A controller, a worker that dials it, and the machine that the worker runs on.
struct Pair {
    network: Arc<Network>,
    controller: Watched,
    worker: Watched,
    machine: Arc<Machine>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    /// What the worker's [`Hold`]s wait for.
    gate: Gate,
}

/// A node whose status is kept fresh.
struct Watched {
    handle: NodeHandle,
    status: watch::Receiver<Arc<Status>>,
}

impl Pair {
    async fn start() -> Self {
        let (network, gate) = (Network::new(1, PATH), Gate::closed());
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(network.clone().run());
        let fleet = TestFleet::new(SimEnv::first_day());

        let listen = SocketAddr::new(CONTROLLER_HOST, 4433);
        let builder = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(listen);
        let env = SimEnv::new(network.clone(), CONTROLLER_HOST, 1);
        let (controller, engine) = builder.start_in(env, stop.clone()).expect("the controller starts");
        tasks.spawn(engine);

        let builder = NodeBuilder::new(fleet.identity("w1", Role::Worker))
            .handlers(handlers(&Tally::default(), &gate))
            .peer(controller.node().clone(), [listen.to_string()]);
        let machine = Machine::new(WORKER_HOST);
        let env = SimEnv::on(network.clone(), machine.clone(), 2);
        let (worker, engine) = builder.start_in(env, stop.clone()).expect("the worker starts");
        tasks.spawn(engine);

        controller.wait_for_link(worker.node()).await.expect("the controller runs");
        worker.wait_for_link(controller.node()).await.expect("the worker runs");
        // The first looks at the routes are made.
        tokio::time::sleep(Duration::from_millis(10)).await;
        Self { network, controller: controller.into(), worker: worker.into(), machine, stop, tasks, gate }
    }

    /// Returns the controller's view of the link.
    fn link(&self) -> LinkStatus {
        let worker = self.worker.handle.node();
        self.controller.status.borrow().link(worker).cloned().expect("the link is up")
    }

    /// Waits until the controller sees the link come from another port, and checks that it is the same link.
    async fn wait_for_move_from(&mut self, before: &LinkStatus) {
        let peer = self.worker.handle.node();
        let has_moved = |status: &Status| status.link(peer).is_some_and(|link| link.remote != before.remote);
        self.controller.wait_for(has_moved).await;
        assert_eq!(self.link().number, before.number);
        assert_eq!(self.link().stats.migrations, before.stats.migrations + 1);
    }

    async fn stop(mut self) {
        self.stop.cancel();
        for _ in 0..2 {
            self.tasks.join_next().await.expect("two engines run").expect("they do not panic");
        }
    }
}

impl From<NodeHandle> for Watched {
    fn from(handle: NodeHandle) -> Self {
        Self { status: handle.status(), handle }
    }
}

impl Watched {
    async fn wait_for(&mut self, is_it: impl Fn(&Status) -> bool) {
        self.status.wait_for(|status| is_it(status)).await.expect("the node runs");
    }

    fn number_of_link_to(&self, peer: &NodeId) -> Option<u64> {
        self.status.borrow().link(peer).map(|link| link.number.to_wire())
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_moves_when_packets_leave_from_another_address() {
    let mut pair = Pair::start().await;
    let (before, changed_at) = (pair.link(), Instant::now());
    pair.machine.set_source_address(Some([10, 0, 0, 99].into()));
    pair.machine.report_change();
    pair.wait_for_move_from(&before).await;
    let took = changed_at.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}, long before a heartbeat");
    assert_eq!(pair.worker.status.borrow().moves, 1);
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_when_only_other_addresses_change_or_the_route_is_gone_for_a_while() {
    let pair = Pair::start().await;
    for source in [Some(WORKER_HOST), None, Some(WORKER_HOST)] {
        pair.machine.set_source_address(source);
        pair.machine.report_change();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(pair.worker.status.borrow().moves, 0);
    assert_eq!(pair.link().stats.migrations, 0);
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_that_changed_unreported_is_found_by_looking() {
    let mut pair = Pair::start().await;
    let before = pair.link();
    pair.machine.set_source_address(Some([10, 0, 0, 99].into()));
    pair.wait_for_move_from(&before).await;
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_moves_and_says_how_long() {
    let mut pair = Pair::start().await;
    let before = pair.link();
    pair.machine.wake_after(Duration::from_secs(3600));
    pair.wait_for_move_from(&before).await;
    assert_eq!(pair.worker.status.borrow().slept, Duration::from_secs(3600));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_does_not_count_the_sleep_before_the_command_came() {
    let pair = Pair::start().await;
    let worker = pair.worker.handle.node();
    pair.machine.wake_after(Duration::from_secs(3600));
    let options = SubmitOptions { deadline: Some(Duration::from_secs(60)), ..SubmitOptions::default() };
    let hold = pair.controller.handle.submit::<Hold>(worker, &(), options).await.expect("the queue has room");
    // Long enough for the worker to notice that it slept.
    tokio::time::sleep(Duration::from_secs(5)).await;
    pair.gate.open();
    assert_eq!(hold.outcome().await, Ok(()));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_told_of_a_change_moves_at_once() {
    let mut pair = Pair::start().await;
    let (before, told_at) = (pair.link(), Instant::now());
    pair.worker.handle.network_changed().await;
    pair.wait_for_move_from(&before).await;
    let took = told_at.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_does_not_come_along_is_dialled_anew() {
    let mut pair = Pair::start().await;
    let controller = pair.controller.handle.node().clone();
    // Nothing is owed: without the move, the silence would be noticed after 40 s.
    pair.network.set_cut_off(WORKER_HOST, true);
    pair.worker.handle.network_changed().await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    pair.network.set_cut_off(WORKER_HOST, false);
    let healed_at = Instant::now();
    let status = |status: &Status| status.link(&controller).is_some_and(|link| link.number.to_wire() > 1);
    pair.worker.wait_for(status).await;
    let took = healed_at.elapsed();
    assert!(took < Duration::from_secs(6), "back after {took:?}");
    assert_eq!(pair.worker.number_of_link_to(&controller), Some(2));
    pair.stop().await;
}

const CONTROLLER_HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const WORKER_HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

const PATH: PathConfig = PathConfig::clean(Duration::from_millis(20));
