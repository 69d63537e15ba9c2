//! A cable between two machines: network namespaces of this system, real interfaces, real routes.
//!
//! Needs Linux, the right to make namespaces (root), and the program `ip`.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use runnel::{Node, NodeBuilder, NodeHandle};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

/// Two network namespaces with a cable between them, gone when it is dropped.
#[derive(Debug)]
pub struct Cable {
    names: [String; 2],
}

impl Cable {
    /// Lays a cable between [`CONTROLLER`] and [`WORKER`].
    ///
    /// # Errors
    ///
    /// What is missing for it.
    pub fn lay() -> Result<Self, String> {
        let id = format!("{}-{}", std::process::id(), LAID.fetch_add(1, Ordering::Relaxed));
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

    /// Returns the namespace at one end, as `ip -n` knows it; 0 is the controller's.
    pub fn name(&self, end: usize) -> &str {
        &self.names[end]
    }

    /// Starts a node at one end.
    ///
    /// # Panics
    ///
    /// When it does not start.
    ///
    /// # Cancel safety
    ///
    /// The node stops if the future is dropped.
    pub async fn start(&self, end: usize, builder: NodeBuilder) -> Running {
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
#[derive(Debug)]
pub struct Running {
    /// A handle to it.
    pub handle: NodeHandle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Stops it.
    ///
    /// # Panics
    ///
    /// When it did.
    pub fn stop(self) {
        self.stop.send(()).ok();
        self.thread.join().expect("the node does not panic");
    }
}

/// Runs the program `ip`.
///
/// # Errors
///
/// What it said.
pub fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The address at the controller's end.
pub const CONTROLLER: &str = "10.231.77.1";

/// The address at the worker's end.
pub const WORKER: &str = "10.231.77.2";

/// Cables that this process has laid: each has names of its own.
static LAID: AtomicU32 = AtomicU32::new(0);
