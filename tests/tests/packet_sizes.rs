//! Paths that carry larger packets than an Ethernet, and then less: in network namespaces of this system.
//!
//! Needs Linux, the right to make namespaces (root), and the program `ip`; without them it says that it was skipped.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use runnel::certs::Role;
use runnel::{Body, Config, LinkStats, NodeBuilder, SubmitOptions};
use runnel_tests::cable::{CONTROLLER, Cable, Running, ip};
use runnel_tests::commands::{Digest, Gate, handlers};
use runnel_tests::fleet::TestFleet;
use runnel_tests::patience::report;
use runnel_tests::tally::Tally;

/// A controller and a worker with a link between them, each at its end of the cable.
struct Nodes {
    cable: Cable,
    controller: Running,
    worker: Running,
}

impl Nodes {
    /// Starts both, with interfaces that carry IP packets of so many bytes at either end; `None` if this system cannot.
    async fn start(mtus: [u16; 2]) -> Option<Self> {
        let cable = match Cable::lay().and_then(|cable| set_mtus(&cable, mtus).map(|()| cable)) {
            Ok(cable) => cable,
            Err(why) => {
                // Written past the capture of the test's output, so that it is seen.
                writeln!(std::io::stderr(), "SKIPPED: the size of packets is not tested here: {why}").ok();
                return None;
            }
        };
        let mut config = Config::default();
        config.transport.mtu_max = 6500;
        let fleet = TestFleet::new(SystemTime::now());
        let listen = (CONTROLLER.parse::<IpAddr>().expect("an address"), 4433).into();
        let controller =
            NodeBuilder::new(fleet.identity("c1", Role::Controller)).config(config.clone()).listen(listen);
        let controller = cable.start(0, controller).await;
        let worker = NodeBuilder::new(fleet.identity("w1", Role::Worker))
            .config(config)
            .handlers(handlers(&Tally::default(), &Gate::closed()))
            .peer(controller.handle.node().clone(), [listen.to_string()]);
        let worker = cable.start(1, worker).await;
        controller.handle.wait_for_link(worker.handle.node()).await.expect("the controller runs");
        Some(Self { cable, controller, worker })
    }

    /// Sends bodies to the worker, one after the other, until the figures of the controller's link are as wanted.
    async fn until(&self, is_it: impl Fn(&LinkStats) -> bool) -> LinkStats {
        let (node, peer) = (&self.controller.handle, self.worker.handle.node());
        loop {
            let body = Some(Body::bytes(vec![7; BODY_BYTES]));
            let options = SubmitOptions { body, ..SubmitOptions::default() };
            let digest = tokio::time::timeout(PATIENCE, node.call::<Digest>(peer, &(), options)).await;
            let (length, _) = digest.expect("bodies get through").expect("it succeeds");
            assert_eq!(length, BODY_BYTES as u64);
            let peers = node.peers().await.expect("the node runs");
            let link = peers.into_iter().find(|status| status.node == *peer).and_then(|status| status.link);
            let stats = link.expect("the link is up").stats;
            if is_it(&stats) {
                return stats;
            }
        }
    }

    fn stop(self) {
        self.worker.stop();
        self.controller.stop();
    }
}

fn set_mtus(cable: &Cable, mtus: [u16; 2]) -> Result<(), String> {
    for (end, mtu) in mtus.into_iter().enumerate() {
        ip(&format!("-n {} link set eth0 mtu {mtu}", cable.name(end)))?;
    }
    Ok(())
}

#[tokio::test]
async fn packets_follow_what_the_path_carries() {
    let Some(nodes) = Nodes::start([9000, 9000]).await else { return };
    let grown = nodes.until(|stats| stats.mtu > 6400).await;
    assert_eq!(grown.black_holes, 0, "{grown:?}");

    set_mtus(&nodes.cable, [1400, 9000]).expect("the interfaces are there");
    let shrunk = nodes.until(|stats| stats.mtu <= 1400 - 28).await;
    assert!(shrunk.black_holes > 0, "{shrunk:?}");
    nodes.stop();
}

#[tokio::test]
async fn a_first_interface_that_promises_more_than_the_path_costs_some_probes() {
    let Some(nodes) = Nodes::start([9000, 1500]).await else { return };
    let found = nodes.until(|stats| stats.mtu > 1400).await;
    assert!(found.mtu <= 1500 - 28 && found.mtu_probes_lost > 0, "{found:?}");
    report(&format!("a path of 1500 bytes behind an interface of 9000: {found:?}"));
    nodes.stop();
}

const BODY_BYTES: usize = 1 << 20;

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
