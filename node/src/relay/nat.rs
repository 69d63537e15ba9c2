//! The address translation at the target's end: each client appears there as a port of its own.
//!
//! A port change loses what the target sends to the old port; replies that have passed already are on the way
//! to the client and arrive.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::config::RelayConfig;
use super::socket::Socket;

/// The table of clients and their ports.
#[derive(Debug)]
pub(super) struct Nat {
    target: SocketAddr,
    clients: HashMap<SocketAddr, Mapping>,
    clients_max: usize,
    idle_timeout: Duration,
    expire_at: Option<Instant>,
}

#[derive(Debug)]
struct Mapping {
    socket: Socket,
    used_at: Instant,
}

impl Nat {
    pub(super) fn new(target: SocketAddr, config: &RelayConfig) -> Self {
        Self {
            target,
            clients: HashMap::new(),
            clients_max: config.clients_max.get(),
            idle_timeout: config.client_idle_timeout,
            expire_at: None,
        }
    }

    /// Makes sure that a client has a port; returns whether it has.
    pub(super) fn admit(&mut self, now: Instant, client: SocketAddr) -> bool {
        if let Some(mapping) = self.clients.get_mut(&client) {
            mapping.used_at = now;
            return true;
        }
        if self.clients.len() >= self.clients_max {
            return false;
        }
        let socket = match Socket::bind_towards(self.target) {
            Ok(socket) => socket,
            Err(error) => {
                warn!(%client, %error, "no socket for a new client");
                return false;
            }
        };
        debug!(%client, "new client");
        self.clients.insert(client, Mapping { socket, used_at: now });
        self.expire_at = self.expire_at.or_else(|| now.checked_add(self.idle_timeout));
        true
    }

    /// Replaces every client's socket by a fresh one with another port, and closes the old ones.
    pub(super) fn rebind(&mut self) {
        debug!(clients = self.clients.len(), "rebinding");
        for (client, mapping) in &mut self.clients {
            // The old socket is closed after the new one is bound, so the port differs.
            match Socket::bind_towards(self.target) {
                Ok(socket) => mapping.socket = socket,
                Err(error) => warn!(%client, %error, "no fresh socket: the client keeps its port"),
            }
        }
    }

    /// Hands packets from the target to `take`, with the clients they are for; returns whether more may wait.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> bool {
        let target = self.target;
        let mut more = false;
        self.clients.retain(|&client, mapping| {
            let received = mapping.socket.receive(buffer, |from, payload| {
                if from == target {
                    mapping.used_at = now;
                    take(client, payload);
                }
            });
            more |= *received.as_ref().unwrap_or(&false);
            received.inspect_err(|error| warn!(%client, %error, "a client's socket failed")).is_ok()
        });
        more
    }

    /// Gives up the ports of clients that have been silent for the idle timeout.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.expire_at.is_none_or(|at| now < at) {
            return;
        }
        let idle_timeout = self.idle_timeout;
        self.clients.retain(|client, mapping| {
            let is_idle = now.duration_since(mapping.used_at) >= idle_timeout;
            if is_idle {
                debug!(%client, "idle client forgotten");
            }
            !is_idle
        });
        let oldest_at = self.clients.values().map(|mapping| mapping.used_at).min();
        self.expire_at = oldest_at.and_then(|at| at.checked_add(idle_timeout));
    }

    /// Sends a client's packet to the target; returns whether the client has a port and the system took it.
    pub(super) fn send(&self, client: SocketAddr, payload: &[u8]) -> bool {
        self.clients.get(&client).is_some_and(|mapping| mapping.socket.send(payload, self.target))
    }

    /// Is ready when a packet from the target waits.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // All are polled, so that each can wake the task.
        let readable =
            self.clients.values().filter(|mapping| mapping.socket.poll_readable(context).is_ready());
        if readable.count() > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// When [`expire`](Self::expire) next has something to look at.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.expire_at
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::Ipv4Addr;
    use std::num::NonZeroUsize;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_silent_client_gives_its_place_to_another() {
        let mut nat = nat();
        let start = Instant::now();
        assert!(nat.admit(start, client(1)));
        assert!(nat.admit(start + TIMEOUT / 2, client(1)));
        assert!(!nat.admit(start, client(2)));

        nat.expire(start + TIMEOUT);
        assert!(!nat.admit(start + TIMEOUT, client(2)));
        assert_eq!(nat.next_at(), Some(start + TIMEOUT / 2 + TIMEOUT));

        nat.expire(start + TIMEOUT / 2 + TIMEOUT);
        assert_eq!((nat.len(), nat.next_at()), (0, None));
        assert!(nat.admit(start + TIMEOUT * 2, client(2)));
    }

    #[tokio::test]
    async fn a_rebind_changes_every_port() -> io::Result<()> {
        let mut nat = nat();
        assert!(nat.admit(Instant::now(), client(1)));
        let old = nat.clients[&client(1)].socket.local_addr()?;
        nat.rebind();
        assert_ne!(nat.clients[&client(1)].socket.local_addr()?, old);
        Ok(())
    }

    fn nat() -> Nat {
        let config = RelayConfig {
            clients_max: NonZeroUsize::MIN,
            client_idle_timeout: TIMEOUT,
            ..RelayConfig::default()
        };
        Nat::new(client(9), &config)
    }

    fn client(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }
}
