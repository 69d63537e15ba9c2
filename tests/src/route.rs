//! A way between two nodes through a bad network: a relay that runs as long as the test keeps it.

use std::net::SocketAddr;
use std::time::Duration;

use runnel::relay::{PathConfig, Relay, RelayConfig, RelayCounts, RelayHandle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A relay at work.
#[derive(Debug)]
pub struct Route {
    address: SocketAddr,
    handle: RelayHandle,
    task: JoinHandle<std::io::Result<RelayCounts>>,
    stop: DropGuard,
}

impl Route {
    /// Starts a relay to `target` with the same faults both ways.
    ///
    /// # Panics
    ///
    /// When there is no free port, or outside a Tokio runtime.
    pub fn to(target: SocketAddr, path: PathConfig, seed: u64) -> Self {
        Self::with(target, RelayConfig { up: path.clone(), down: path, ..RelayConfig::default() }, seed)
    }

    /// Starts a relay to `target` with these settings.
    ///
    /// # Panics
    ///
    /// When the settings are impossible, there is no free port, or outside a Tokio runtime.
    pub fn with(target: SocketAddr, config: RelayConfig, seed: u64) -> Self {
        let relay = Relay::bind(local(), target, config, seed).expect("a possible relay and a free port");
        let (address, handle) = (relay.local_addr(), relay.handle());
        let stop = CancellationToken::new();
        let task = tokio::spawn(relay.run(stop.clone()));
        Self { address, handle, task, stop: stop.drop_guard() }
    }

    /// Returns where to send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what commands and watches the relay.
    pub fn handle(&self) -> &RelayHandle {
        &self.handle
    }

    /// Begins a blackout and waits until the relay knows.
    ///
    /// # Panics
    ///
    /// When the relay has ended.
    ///
    /// # Cancel safety
    ///
    /// The blackout may have begun if the future is dropped.
    pub async fn go_dark(&self) {
        self.handle.set_blackout(true);
        self.handle.wait_until(|counts| counts.is_dark).await.expect("the relay runs");
    }

    /// Ends a blackout and waits until the relay knows.
    ///
    /// # Panics
    ///
    /// When the relay has ended.
    ///
    /// # Cancel safety
    ///
    /// The blackout may have ended if the future is dropped.
    pub async fn lighten(&self) {
        self.handle.set_blackout(false);
        self.handle.wait_until(|counts| !counts.is_dark).await.expect("the relay runs");
    }

    /// Stops the relay and returns what it has done.
    ///
    /// # Panics
    ///
    /// When the relay has failed.
    ///
    /// # Cancel safety
    ///
    /// The relay stops all the same if the future is dropped.
    pub async fn close(self) -> RelayCounts {
        drop(self.stop);
        self.task.await.expect("the relay does not panic").expect("the relay's sockets work")
    }
}

/// Any free port of the loopback interface.
pub fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A path without faults but its length: `delay` each way.
pub fn clean(delay: Duration) -> PathConfig {
    PathConfig { delay, ..PathConfig::default() }
}

/// A path that loses packets each way: `loss` from 0 to 1.
pub fn lossy(delay: Duration, loss: f64) -> PathConfig {
    PathConfig { loss, ..clean(delay) }
}
