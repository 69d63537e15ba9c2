//! The environment of a simulated node: its tasks, its randomness, its machine on the network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::rustls::crypto::CryptoProvider;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use runnel::{NetworkChanges, StoreDriver, Task};
use runnel_queue::ClockReading;
use runnel_transport::Socket;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::crypto::seeded_provider;
use super::machine::{FIRST_DAY, Machine};
use super::network::Network;
use super::tasks::TaskSet;

/// One process on a simulated machine. All its randomness comes from a seed, that of TLS from the thread's.
#[derive(Debug)]
pub struct SimEnv {
    network: Arc<Network>,
    machine: Arc<Machine>,
    random: Mutex<ChaCha20Rng>,
    crypto: Arc<CryptoProvider>,
    tracker: TaskTracker,
    tasks: TaskSet,
}

impl SimEnv {
    /// Puts a machine on the network, with one process.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(network: Arc<Network>, host: IpAddr, seed: u64) -> Arc<Self> {
        Self::on(network, Machine::new(host), seed)
    }

    /// Makes a process on a machine.
    pub fn on(network: Arc<Network>, machine: Arc<Machine>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            tasks: TaskSet::new(machine.clone()),
            network,
            machine,
            random: Mutex::new(ChaCha20Rng::seed_from_u64(seed)),
            crypto: seeded_provider(),
            tracker: TaskTracker::new(),
        })
    }

    /// Returns the node's tasks, its engine aside: those of its links and handlers.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// The date at which virtual time begins.
    pub fn first_day() -> SystemTime {
        SystemTime::UNIX_EPOCH + FIRST_DAY
    }
}

impl runnel_transport::Env for SimEnv {
    fn spawn(&self, task: Task) {
        self.tasks.start(Box::pin(self.tracker.track_future(task)));
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    fn wall_clock(&self) -> SystemTime {
        self.machine.wall_clock()
    }

    fn bind(&self, address: SocketAddr, _: u32) -> io::Result<Socket> {
        if address.is_ipv6() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let socket = self.network.bind(SocketAddr::new(self.machine.address(), address.port()))?;
        Ok(Socket::from_abstract(socket))
    }

    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let address = name.parse().map_err(|_| io::Error::other("the simulation has no names"));
        Box::pin(std::future::ready(address.map(|address| vec![address])))
    }

    fn crypto(&self) -> Arc<CryptoProvider> {
        self.crypto.clone()
    }
}

impl runnel::Env for SimEnv {
    fn spawn_handler(&self, task: Task) {
        self.tasks.start(Box::pin(self.tracker.track_future(task)));
    }

    fn wait_for_tasks(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        self.tracker.close();
        Box::pin(async move { tokio::time::timeout(timeout, self.tracker.wait()).await.is_ok() })
    }

    fn network_changes(&self) -> NetworkChanges {
        Box::pin(futures_util::stream::unfold(self.machine.changed(), |changed| async move {
            changed.notified().await;
            Some(((), changed))
        }))
    }

    fn clock(&self) -> ClockReading {
        self.machine.clock()
    }

    fn start_store(&self, mut driver: StoreDriver) {
        let machine = self.machine.clone();
        self.tasks.start(Box::pin(async move {
            while let Some(batch) = driver.batch().await {
                sleep(machine.sync_delay()).await;
                while let Err(pause) = driver.apply(&batch) {
                    sleep(pause).await;
                }
            }
        }));
    }

    fn source_address(&self, _: SocketAddr) -> Option<IpAddr> {
        self.machine.source()
    }

    fn suspended(&self) -> Duration {
        self.machine.suspended()
    }
}
