//! A network in memory: one heap of packets under way, on Tokio's clock, random from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::socket::SimSocket;

/// What a path does to packets, the same between all hosts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathConfig {
    /// Share of packets lost, from 0 to 1.
    pub loss: f64,
    /// One-way delay.
    pub delay: Duration,
    /// Random extra delay, which reorders packets.
    pub jitter: Duration,
}

/// What happened to packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to a socket.
    pub delivered: u64,
    /// Lost on the path.
    pub lost: u64,
    /// Dropped because a host was cut off or nobody listened.
    pub dropped: u64,
}

/// A network in memory.
#[derive(Debug)]
pub struct Network {
    state: Mutex<State>,
    /// Something earlier than what was waited for has been sent.
    kick: Notify,
}

#[derive(Debug)]
struct State {
    random: ChaCha8Rng,
    path: PathConfig,
    under_way: BinaryHeap<Reverse<Packet>>,
    sent: u64,
    sockets: BTreeMap<SocketAddr, Weak<SimSocket>>,
    last_port: BTreeMap<IpAddr, u16>,
    cut_off: BTreeSet<IpAddr>,
    counts: Counts,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: Instant,
    /// Tells packets of one moment apart, in the order in which they were sent.
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    content: Vec<u8>,
}

impl Network {
    /// Makes a network without hosts.
    pub fn new(seed: u64, path: PathConfig) -> Arc<Self> {
        let state = State {
            random: ChaCha8Rng::seed_from_u64(seed),
            path,
            under_way: BinaryHeap::new(),
            sent: 0,
            sockets: BTreeMap::new(),
            last_port: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            counts: Counts::default(),
        };
        Arc::new(Self { state: Mutex::new(state), kick: Notify::new() })
    }

    /// Delivers packets when their time has come, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let next = self.lock().under_way.peek().map(|Reverse(packet)| packet.at);
            match next {
                None => self.kick.notified().await,
                Some(at) if at <= Instant::now() => self.deliver_due(),
                Some(at) => tokio::select! {
                    biased;
                    () = sleep_until(at) => {}
                    () = self.kick.notified() => {}
                },
            }
        }
    }

    /// Cuts a host off, or lets it back. Packets under way are lost with it.
    pub fn set_cut_off(&self, host: IpAddr, is_cut_off: bool) {
        let mut state = self.lock();
        if is_cut_off {
            state.cut_off.insert(host);
        } else {
            state.cut_off.remove(&host);
        }
    }

    /// Returns what happened to packets so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Binds a socket of a host; port 0 takes a new one.
    pub(super) fn bind(self: &Arc<Self>, address: SocketAddr) -> io::Result<Arc<SimSocket>> {
        let mut state = self.lock();
        let mut address = address;
        if address.port() == 0 {
            let last = state.last_port.entry(address.ip()).or_insert(FIRST_PORT);
            *last += 1;
            address.set_port(*last);
        }
        if state.sockets.get(&address).is_some_and(|socket| socket.strong_count() > 0) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = Arc::new(SimSocket::new(self.clone(), address));
        state.sockets.insert(address, Arc::downgrade(&socket));
        Ok(socket)
    }

    pub(super) fn send(&self, from: SocketAddr, to: SocketAddr, content: &[u8]) {
        let mut state = self.lock();
        // Drawn for every packet, so that a fault does not shift the luck of later ones.
        let (luck, jitter) = (state.random.random::<f64>(), state.random.random::<f64>());
        if state.is_cut(from, to) {
            state.counts.dropped += 1;
            return;
        }
        if luck < state.path.loss {
            state.counts.lost += 1;
            return;
        }
        let at = Instant::now() + state.path.delay + state.path.jitter.mul_f64(jitter);
        state.sent += 1;
        let packet = Packet { at, number: state.sent, from, to, content: content.to_vec() };
        let is_first = state.under_way.peek().is_none_or(|Reverse(first)| packet < *first);
        state.under_way.push(Reverse(packet));
        drop(state);
        if is_first {
            self.kick.notify_one();
        }
    }

    fn deliver_due(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        while state.under_way.peek().is_some_and(|Reverse(packet)| packet.at <= now) {
            let Some(Reverse(packet)) = state.under_way.pop() else { return };
            let socket = state.sockets.get(&packet.to).and_then(Weak::upgrade);
            match socket.filter(|_| !state.is_cut(packet.from, packet.to)) {
                Some(socket) if socket.deliver(packet.from, packet.content) => state.counts.delivered += 1,
                _ => state.counts.dropped += 1,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.cut_off.contains(&from.ip()) || self.cut_off.contains(&to.ip())
    }
}

const FIRST_PORT: u16 = 50_000;
