//! A machine that changes its address, in network namespaces of this system: real interfaces, real routes.
//!
//! Needs Linux, the right to make namespaces (root), and the program `ip`; without them it says that it was skipped.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use runnel::certs::Role;
use runnel::{Config, LinkStatus, NodeBuilder};
use runnel_tests::cable::{CONTROLLER, Cable, WORKER, ip};
use runnel_tests::fleet::TestFleet;

#[tokio::test]
async fn a_link_goes_on_from_the_machines_new_address() {
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(why) => {
            // Written past the capture of the test's output, so that it is seen.
            writeln!(std::io::stderr(), "SKIPPED: the change of an address is not tested here: {why}").ok();
            return;
        }
    };
    let fleet = TestFleet::new(SystemTime::now());
    let listen = (CONTROLLER.parse::<IpAddr>().expect("an address"), 4433).into();
    let builder = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(listen);
    let controller = cable.start(0, builder).await;
    // Only what the system reports leads to a look.
    let mut config = Config::default();
    config.path.route_interval = Duration::from_secs(3600);
    let builder = NodeBuilder::new(fleet.identity("w1", Role::Worker))
        .config(config)
        .peer(controller.handle.node().clone(), [listen.to_string()]);
    let worker = cable.start(1, builder).await;
    let peer = worker.handle.node().clone();
    let (mut seen, mut own) = (controller.handle.status(), worker.handle.status());
    controller.handle.wait_for_link(&peer).await.expect("the controller runs");
    let before = seen.borrow_and_update().link(&peer).cloned().expect("the link is up");
    assert_eq!(before.remote.ip().to_string(), WORKER);
    // In the turn in which it says so, the worker looks at its route.
    worker.handle.wait_for_link(controller.handle.node()).await.expect("the worker runs");

    let name = cable.name(1);
    ip(&format!("-n {name} addr del {WORKER}/24 dev eth0")).expect("the address is there");
    ip(&format!("-n {name} addr add {WORKER_LATER}/24 dev eth0")).expect("the interface is there");

    // The system may send a packet of the old socket from the new address first; what counts is the new socket.
    let later: IpAddr = WORKER_LATER.parse().expect("an address");
    let is_there =
        |link: &LinkStatus| link.remote.ip() == later && link.remote.port() != before.remote.port();
    let has_moved = seen.wait_for(|status| status.link(&peer).is_some_and(is_there));
    let has_moved = tokio::time::timeout(PATIENCE, has_moved).await.expect("the link moves");
    let after = has_moved.expect("the controller runs").link(&peer).cloned().expect("it has just been there");
    assert_eq!(after.number, before.number, "it is the same link");
    assert_eq!(own.borrow_and_update().moves, 1);
    worker.stop();
    controller.stop();
}

const WORKER_LATER: &str = "10.231.77.3";

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
