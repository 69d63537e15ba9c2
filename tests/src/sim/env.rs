//! The environment of a simulated node: its tasks, its randomness, its host on the network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::rustls::crypto::CryptoProvider;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use runnel::{NetworkChanges, Task};
use runnel_transport::Socket;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::network::Network;

/// One simulated machine. TLS draws from the system's randomness, so the bytes of packets differ between runs.
#[derive(Debug)]
pub struct SimEnv {
    network: Arc<Network>,
    host: IpAddr,
    random: Mutex<ChaCha20Rng>,
    tasks: TaskTracker,
    crypto: Arc<CryptoProvider>,
    started_at: Instant,
    machine: Mutex<Machine>,
    /// Something has happened to addresses or routes.
    changed: Arc<Notify>,
}

/// What the machine's system would say.
#[derive(Debug, Default)]
struct Machine {
    source: Option<IpAddr>,
    suspended: Duration,
}

impl SimEnv {
    /// Puts a machine on the network.
    pub fn new(network: Arc<Network>, host: IpAddr, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            network,
            host,
            random: Mutex::new(ChaCha20Rng::seed_from_u64(seed)),
            tasks: TaskTracker::new(),
            crypto: runnel::certs::default_provider(),
            started_at: Instant::now(),
            machine: Mutex::new(Machine { source: Some(host), suspended: Duration::ZERO }),
            changed: Arc::new(Notify::new()),
        })
    }

    /// Has packets leave from another address, or from none, as far as the node is told. Its sockets are of the same host
    /// nonetheless.
    pub fn set_source_address(&self, source: Option<IpAddr>) {
        self.machine().source = source;
    }

    /// Reports that something has happened to addresses or routes.
    pub fn report_change(&self) {
        self.changed.notify_one();
    }

    /// Wakes the machine up from a sleep of this length, in which no virtual time passed.
    pub fn wake_after(&self, slept: Duration) {
        self.machine().suspended += slept;
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The date at which virtual time begins.
    pub fn first_day() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}

impl runnel_transport::Env for SimEnv {
    fn spawn(&self, task: Task) {
        self.tasks.spawn(task);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    fn wall_clock(&self) -> SystemTime {
        Self::first_day() + self.started_at.elapsed()
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Socket> {
        if address.is_ipv6() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let socket = self.network.bind(SocketAddr::new(self.host, address.port()))?;
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
        self.tasks.spawn(task);
    }

    fn wait_for_tasks(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        self.tasks.close();
        Box::pin(async move { tokio::time::timeout(timeout, self.tasks.wait()).await.is_ok() })
    }

    fn network_changes(&self) -> NetworkChanges {
        Box::pin(futures_util::stream::unfold(self.changed.clone(), |changed| async move {
            changed.notified().await;
            Some(((), changed))
        }))
    }

    fn source_address(&self, _: SocketAddr) -> Option<IpAddr> {
        self.machine().source
    }

    fn suspended(&self) -> Duration {
        self.machine().suspended
    }
}
