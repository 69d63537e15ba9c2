//! A machine that changes its address, in network namespaces of this system: real interfaces, real routes.
//!
//! Needs Linux, the right to make namespaces (root), and the program `ip`; without them it says that it was skipped.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use runnel::certs::Role;
use runnel::{Config, LinkStatus, Node, NodeBuilder};
use runnel_tests::fleet::TestFleet;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

/// Two network namespaces with a cable between them, gone at the end of the test.
struct Cable {
    names: [String; 2],
}

impl Cable {
    /// Lays a cable between `CONTROLLER` and `WORKER`; an error says what is missing for it.
    fn lay() -> Result<Self, String> {
        let id = std::process::id();
        let cable = Self { names: [format!("runnel-a-{id}"), format!("runnel-b-{id}")] };
        let [a, b] = &cable.names;
        ip(&format!("netns add {a}"))?;
        ip(&format!("netns add {b}"))?;
        ip(&format!("link add eth0 netns {a} type veth peer name eth0 netns {b}"))?;
        for (name, address) in [(a, CONTROLLER), (b, WORKER)] {
            ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(cable)
    }

    /// Starts a node at one end.
    async fn start(&self, end: usize, builder: NodeBuilder) -> Running {
        let path = format!("/run/netns/{}", self.names[end]);
        let (started, has_started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let namespace = File::open(path).expect("the namespace is there");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter it");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the system has room for a runtime").block_on(async move {
                let node: Node = builder.start().await.expect("the node starts");
                started.send(node.handle().clone()).expect("the test waits");
                stopped.await.ok();
                node.shutdown().await;
            });
        });
        Running { handle: has_started.await.expect("the node starts"), stop, thread }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&format!("netns del {name}")).ok();
        }
    }
}

/// A node that runs in a namespace.
struct Running {
    handle: runnel::NodeHandle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    fn stop(self) {
        self.stop.send(()).ok();
        self.thread.join().expect("the node does not panic");
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

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

    let name = &cable.names[1];
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

const CONTROLLER: &str = "10.231.77.1";
const WORKER: &str = "10.231.77.2";
const WORKER_LATER: &str = "10.231.77.3";

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
