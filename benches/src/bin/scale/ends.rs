//! The two processes at the ends of the links. Each says a line when it is ready, and ends with its standard input.
//!
//! The workers of a process do without reports of changed routes, which take a socket for each of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use runnel::{Env, NodeBuilder, NodeHandle, SystemEnv, Task};
use runnel_benches::led::{lines, say};
use runnel_certs::{Identity, Role};
use runnel_transport::Socket;
use runnel_workload::Fleet;
use rustls::crypto::CryptoProvider;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Which end of the links a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum End {
    /// One controller.
    Controller,
    /// All workers.
    Workers,
}

/// The environment of many nodes in a process.
#[derive(Debug)]
struct WorkersEnv(SystemEnv);

impl runnel_transport::Env for WorkersEnv {
    fn spawn(&self, task: Task) {
        self.0.spawn(task);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }

    fn wall_clock(&self) -> SystemTime {
        self.0.wall_clock()
    }

    fn bind(&self, address: SocketAddr, buffer_bytes: u32) -> io::Result<Socket> {
        self.0.bind(address, buffer_bytes)
    }

    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        self.0.resolve(name)
    }

    fn crypto(&self) -> Arc<CryptoProvider> {
        self.0.crypto()
    }
}

impl Env for WorkersEnv {
    fn spawn_handler(&self, task: Task) {
        self.0.spawn_handler(task);
    }

    fn wait_for_tasks(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        self.0.wait_for_tasks(timeout)
    }

    fn source_address(&self, to: SocketAddr) -> Option<IpAddr> {
        self.0.source_address(to)
    }

    fn suspended(&self) -> Duration {
        self.0.suspended()
    }
}

/// Is one of the two until the standard input ends.
///
/// # Panics
///
/// When a node does not start.
pub(crate) fn run(end: End, folder: &Path, links: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has timers");
    match end {
        End::Controller => run_controller(&runtime, folder),
        End::Workers => run_workers(&runtime, folder, links),
    }
}

fn run_controller(runtime: &Runtime, folder: &Path) {
    let identity = Identity::load(folder).expect("the workers have written it");
    let mut lines = lines();
    runtime.block_on(async {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let controller = NodeBuilder::new(identity).listen(listen).start_here();
        let controller = controller.expect("the controller starts");
        say(controller.handle().listening()[0]);
        while lines.recv().await.is_some() {
            // The watch makes the status anew once it has a second receiver.
            let mut status = controller.handle().status();
            status.changed().await.expect("the node lives");
            let links = status.borrow_and_update().links.len();
            say(links);
        }
        controller.shutdown().await;
    });
}

fn run_workers(runtime: &Runtime, folder: &Path, links: usize) {
    let fleet = Fleet::new();
    let (key, controller) = fleet.identity_with_key(CONTROLLER, Role::Controller);
    key.save_new(folder).expect("the folder is empty");
    controller.save(folder).expect("the folder can be written");
    let mut identities: Vec<_> =
        (0..links).map(|number| fleet.identity(&format!("worker-{number}"), Role::Worker)).collect();
    let env: Arc<dyn Env> = Arc::new(WorkersEnv(SystemEnv::new(runtime.handle().clone())));
    let mut lines = lines();
    say("ready");
    runtime.block_on(async {
        let address = lines.recv().await.expect("the address of the controller comes");
        let (stop, mut engines) = (CancellationToken::new(), JoinSet::new());
        let (mut coming_up, mut up) = (JoinSet::new(), Vec::new());
        while let Some(identity) = identities.pop() {
            let peer = CONTROLLER.parse().expect("a valid name");
            let builder = NodeBuilder::new(identity).peer(peer, [address.clone()]);
            let (worker, engine) = builder.start_in(env.clone(), stop.clone()).expect("a worker starts");
            engines.spawn(engine);
            coming_up.spawn(wait_for_link(worker));
            if coming_up.len() == COMING_UP {
                up.extend(coming_up.join_next().await.map(|ended| ended.expect("it does not panic")));
            }
        }
        up.extend(coming_up.join_all().await);
        say("all up");
        while lines.recv().await.is_some() {}
        stop.cancel();
        engines.join_all().await;
        drop(up);
    });
}

async fn wait_for_link(worker: NodeHandle) -> NodeHandle {
    worker.wait_for_link(&CONTROLLER.parse().expect("a valid name")).await.expect("the node lives");
    worker
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Workers => "workers",
        }
    }
}

const CONTROLLER: &str = "controller";

/// Links that come up at once: fewer than handshakes that are answered without a round trip more.
const COMING_UP: usize = 48;
