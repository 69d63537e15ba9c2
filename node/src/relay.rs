//! A bad network in one process: a UDP forwarder that loses, delays and reorders in a repeatable way.
//!
//! Clients send to the relay as if it were the target; the target sees each client as a port of the relay.
//!
//! ```text
//!                       ┌▶ up:   queue, rate, loss, delay ─▶┐       ┌─ port A ─┐
//! client A ─┐           │                                   │       │          │
//!           ├─ listens ─┤                                   ├─ NAT ─┤          ├─ target
//! client B ─┘           │                                   │       │          │
//!                       └◀ down: queue, rate, loss, delay ◀─┘       └─ port B ─┘
//! ```
//!
//! Each direction has faults of its own ([`PathConfig`]). The path as a whole can go dark for a while, and its
//! NAT can forget its ports, as one does that reboots ([`RelayConfig`]). All clients share the two directions,
//! as devices behind one modem do. One seed decides every fault; only the system's timing differs between
//! two runs.
//!
//! What decides is pure and sits in the files below: [`Path`] judges a packet, `network` keeps those on the
//! way, `schedule` knows the plan. Here is the one task that reads, waits and sends. It spawns nothing, and it
//! never reads what it carries. ECN marks do not pass.

mod config;
mod counts;
mod delay_line;
mod handle;
mod nat;
mod network;
mod path;
mod schedule;
mod socket;

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::{coop::unconstrained, yield_now};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

pub use self::config::{Blackout, PathConfig, PathConfigError, RelayConfig, RelayConfigError};
pub use self::counts::{Direction, DirectionCounts, RelayCounts};
pub use self::handle::{RelayEnded, RelayHandle};
pub use self::path::{DropCause, Path, Verdict};

use self::handle::Wishes;
use self::nat::Nat;
use self::network::Network;
use self::schedule::Schedule;
use self::socket::Socket;

/// A bound relay. Nothing is forwarded until [`run`](Self::run).
#[derive(Debug)]
#[must_use]
pub struct Relay {
    config: RelayConfig,
    listening: Socket,
    local_addr: SocketAddr,
    nat: Nat,
    network: Network,
    wishes: watch::Receiver<Wishes>,
    obeyed: Wishes,
    counts: watch::Sender<RelayCounts>,
    handle: RelayHandle,
}

impl Relay {
    /// Binds a relay that listens on one address and forwards to another, with faults drawn from `seed`.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or, as [`ErrorKind::InvalidInput`] with a [`RelayConfigError`] inside, the
    /// settings or the target make no sense.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with I/O enabled.
    pub fn bind(listen: SocketAddr, target: SocketAddr, config: RelayConfig, seed: u64) -> io::Result<Self> {
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        config.check().map_err(invalid)?;
        if target.ip().is_unspecified() || target.port() == 0 {
            return Err(invalid(RelayConfigError::NoTarget(target)));
        }
        let listening = Socket::bind(listen)?;
        let obeyed = Wishes { rebinds: 0, is_dark: false, up: config.up.clone(), down: config.down.clone() };
        let (wish, wishes) = watch::channel(obeyed.clone());
        let (counts, counted) = watch::channel(RelayCounts::default());
        Ok(Self {
            local_addr: listening.local_addr()?,
            listening,
            nat: Nat::new(target, &config),
            network: Network::new(&config, seed).map_err(invalid)?,
            wishes,
            obeyed,
            counts,
            handle: RelayHandle::new(wish, counted),
            config,
        })
    }

    /// Forwards until `stop` fires, and returns what was done. Packets then on the way are lost.
    ///
    /// Times of the schedule count from the first poll.
    ///
    /// # Errors
    ///
    /// The listening socket failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the relay as `stop` does; only the counts are not returned.
    pub async fn run(mut self, stop: CancellationToken) -> io::Result<RelayCounts> {
        let mut schedule = Schedule::new(&self.config, now());
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            self.change(&mut schedule);
            let more =
                [self.take_from_clients(&mut buffer)?, self.take_from_target(&mut buffer), self.deliver()];
            self.publish();
            if more.contains(&true) {
                // Without a pause the runtime would not look at the other sockets, nor at other tasks.
                yield_now().await;
            }
            if !self.wait(&schedule, &stop).await {
                return Ok(self.network.counts);
            }
        }
    }

    /// Does what the handles wish and the schedule plans.
    fn change(&mut self, schedule: &mut Schedule) {
        let now = now();
        let wishes = self.wishes.borrow_and_update().clone();
        let planned = schedule.advance(now);
        for _ in self.obeyed.rebinds..wishes.rebinds + u64::from(planned.rebind) {
            self.nat.rebind();
            self.network.counts.rebinds += 1;
        }
        self.set_path(Direction::Up, &wishes.up);
        self.set_path(Direction::Down, &wishes.down);
        self.set_dark(wishes.is_dark || planned.is_dark);
        self.nat.expire(now);
        self.obeyed = wishes;
    }

    fn set_path(&mut self, direction: Direction, wished: &PathConfig) {
        let obeyed = match direction {
            Direction::Up => &self.obeyed.up,
            Direction::Down => &self.obeyed.down,
        };
        if wished != obeyed {
            debug!(%direction, ?wished, "path changes");
            let possible = self.network.set_path(direction, wished.clone());
            possible.expect("a handle checks a path before it wishes for it");
        }
    }

    fn set_dark(&mut self, is_dark: bool) {
        match (self.network.counts.is_dark, is_dark) {
            (false, true) => info!("blackout begins"),
            (true, false) => info!("blackout ends"),
            _ => {}
        }
        self.network.set_dark(is_dark);
    }

    /// Reads a batch; returns whether more may wait.
    fn take_from_clients(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let now = now();
        let (nat, network) = (&mut self.nat, &mut self.network);
        self.listening.receive(buffer, |client, payload| {
            if nat.admit(now, client) {
                network.enter(now, Direction::Up, client, payload);
            } else {
                network.counts.refused += 1;
            }
        })
    }

    /// Reads a batch for each client; returns whether more may wait.
    fn take_from_target(&mut self, buffer: &mut [u8]) -> bool {
        let now = now();
        let network = &mut self.network;
        self.nat.receive(now, buffer, |client, payload| {
            network.enter(now, Direction::Down, client, payload);
        })
    }

    /// Sends a batch of the packets that have reached their far end; returns whether more may wait.
    fn deliver(&mut self) -> bool {
        let now = now();
        for _ in 0..BATCH {
            let Some(packet) = self.network.leave(now) else { return false };
            let mut taken = false;
            for _ in 0..packet.copies {
                taken |= match packet.direction {
                    Direction::Up => self.nat.send(packet.client, &packet.payload),
                    Direction::Down => self.listening.send(&packet.payload, packet.client),
                };
            }
            let counts = self.network.counts.direction_mut(packet.direction);
            if taken {
                counts.forwarded += 1;
                counts.forwarded_bytes += packet.payload.len() as u64;
            } else {
                counts.unsent += 1;
            }
        }
        true
    }

    fn publish(&mut self) {
        self.network.counts.clients = self.nat.len();
        let counts = self.network.counts;
        self.counts.send_if_modified(|published| std::mem::replace(published, counts) != counts);
    }

    /// Waits until there is something to do; returns whether the relay is to go on.
    async fn wait(&mut self, schedule: &Schedule, stop: &CancellationToken) -> bool {
        let due = [schedule.next_at(), self.network.next_at(), self.nat.next_at()];
        let due_at = due.into_iter().flatten().min();
        let (listening, nat) = (&self.listening, &self.nat);
        // All sockets are polled in one go. With the runtime's budget for a poll, those beyond the first
        // hundred would never be reached.
        let readable = unconstrained(poll_fn(|context| {
            let from_clients = listening.poll_readable(context);
            let from_target = nat.poll_readable(context);
            if from_clients.is_ready() { Poll::Ready(()) } else { from_target }
        }));
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            Ok(()) = self.wishes.changed() => {}
            () = sleep_until(due_at) => {}
            () = readable => {}
        }
        true
    }

    /// Returns the address that clients send to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns a handle that commands and watches the relay while it runs.
    pub fn handle(&self) -> RelayHandle {
        self.handle.clone()
    }
}

async fn sleep_until(due_at: Option<Instant>) {
    match due_at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The runtime's clock, which tests may pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// No UDP packet is longer.
const PACKET_BYTES_MAX: usize = 1 << 16;

/// Packets sent before the sockets are read again.
const BATCH: usize = 256;

#[cfg(test)]
mod tests;
