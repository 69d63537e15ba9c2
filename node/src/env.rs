//! What a node takes from the outside: tasks, time, randomness, sockets.
//!
//! One [`Env`] is handed to the node when it starts. [`SystemEnv`] is the real one; the simulation brings its own, and
//! then the whole node runs on a virtual clock.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::Stream;
use runnel_queue::ClockReading;
use runnel_transport::Socket;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::store::StoreDriver;
use crate::{clock, path};

/// A task: something that runs until it is done.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Says each time that the machine's addresses or routes may have changed.
pub type NetworkChanges = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// What a node takes from the outside.
pub trait Env: runnel_transport::Env {
    /// Starts a handler's task where the application wants it to run.
    fn spawn_handler(&self, task: Task);

    /// Waits until all tasks of both kinds have ended, or the time is up. Returns whether they have.
    fn wait_for_tasks(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// Watches the machine's addresses and routes. Default: they never change.
    fn network_changes(&self) -> NetworkChanges {
        Box::pin(futures_util::stream::pending())
    }

    /// Returns the address from which packets to `to` would leave now; `None` if there is no route, or if that is not
    /// known. Sends nothing. Default: not known.
    fn source_address(&self, _to: SocketAddr) -> Option<IpAddr> {
        None
    }

    /// Reads the clocks that deadlines are stored with. Default: the wall clock alone, as on a machine that does not say
    /// when it was started.
    fn clock(&self) -> ClockReading {
        let wall = self.wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ClockReading { wall, ..ClockReading::default() }
    }

    /// Has a store work, apart from the engine: it waits for a disk. Default: on a thread of its own.
    fn start_store(&self, driver: StoreDriver) {
        let name = "runnel-store".to_owned();
        if let Err(error) = std::thread::Builder::new().name(name).spawn(move || driver.run()) {
            // The driver is dropped by that, and the engine stops.
            tracing::error!(%error, "the store's thread could not be started");
        }
    }

    /// Returns how long the machine has been suspended in all, a time in which Tokio's clock stands still. Default:
    /// never.
    fn suspended(&self) -> Duration {
        Duration::ZERO
    }
}

/// The real environment: Tokio's tasks, the system's randomness and sockets.
pub struct SystemEnv {
    handlers: Handle,
    tasks: TaskTracker,
    crypto: Arc<rustls::crypto::CryptoProvider>,
}

impl SystemEnv {
    /// Makes an environment whose handlers run on `handlers`; all other tasks run where the engine runs.
    pub fn new(handlers: Handle) -> Self {
        Self { handlers, tasks: TaskTracker::new(), crypto: runnel_certs::default_provider() }
    }
}

impl fmt::Debug for SystemEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemEnv").finish_non_exhaustive()
    }
}

impl runnel_transport::Env for SystemEnv {
    fn spawn(&self, task: Task) {
        self.tasks.spawn(task);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn bind(&self, address: SocketAddr, buffer_bytes: u32) -> io::Result<Socket> {
        Socket::bind(address, buffer_bytes)
    }

    fn interface_mtu(&self, towards: SocketAddr) -> Option<u16> {
        path::interface_mtu(towards)
    }

    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
    }

    fn crypto(&self) -> Arc<rustls::crypto::CryptoProvider> {
        self.crypto.clone()
    }
}

impl Env for SystemEnv {
    fn spawn_handler(&self, task: Task) {
        self.tasks.spawn_on(task, &self.handlers);
    }

    fn wait_for_tasks(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        self.tasks.close();
        Box::pin(async move { tokio::time::timeout(timeout, self.tasks.wait()).await.is_ok() })
    }

    fn network_changes(&self) -> NetworkChanges {
        path::changes()
    }

    fn source_address(&self, to: SocketAddr) -> Option<IpAddr> {
        path::source_address(to)
    }

    fn clock(&self) -> ClockReading {
        clock::read(SystemTime::now())
    }

    fn suspended(&self) -> Duration {
        path::suspended()
    }
}
