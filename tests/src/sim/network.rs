//! A network in memory: one heap of packets under way, on Tokio's clock, random from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::firewall::Firewall;
use super::nat::{Nat, NatConfig};
use super::path::{Fate, Luck, Path, PathConfig};
use super::socket::SimSocket;
use super::trace::{Detail, Trace};

/// What happened to packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to a socket.
    pub delivered: u64,
    /// Lost on the path.
    pub lost: u64,
    /// Dropped because a host was cut off or nobody listened.
    pub dropped: u64,
    /// Dropped because the queue of the path was full.
    pub queue_full: u64,
    /// Dropped because a NAT knew nothing of them.
    pub refused_by_nat: u64,
    /// Delivered a second time.
    pub duplicated: u64,
}

/// A network in memory.
#[derive(Debug)]
pub struct Network {
    state: Mutex<State>,
    /// Something earlier than what was waited for has been sent.
    kick: Notify,
    trace: Trace,
}

#[derive(Debug)]
struct State {
    random: ChaCha8Rng,
    path: PathConfig,
    /// Of the hosts whose paths are not as all others.
    paths_of: BTreeMap<IpAddr, PathConfig>,
    paths: BTreeMap<(IpAddr, IpAddr), Path>,
    nats: BTreeMap<IpAddr, Nat>,
    /// Which host is behind a public address of a NAT.
    behind: BTreeMap<IpAddr, IpAddr>,
    under_way: BinaryHeap<Reverse<Packet>>,
    sent: u64,
    sockets: BTreeMap<SocketAddr, Weak<SimSocket>>,
    last_port: BTreeMap<IpAddr, u16>,
    cut_off: BTreeSet<IpAddr>,
    cut_one_way: BTreeSet<(IpAddr, IpAddr)>,
    firewall: Firewall,
    /// What came for hosts without sockets that listen all the same.
    heard: BTreeMap<IpAddr, Vec<(SocketAddr, Vec<u8>)>>,
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
        Self::traced(seed, path, Trace::new(Detail::None))
    }

    /// Makes a network without hosts that tells a trace of every packet.
    pub fn traced(seed: u64, path: PathConfig, trace: Trace) -> Arc<Self> {
        let state = State {
            random: ChaCha8Rng::seed_from_u64(seed),
            path,
            paths_of: BTreeMap::new(),
            paths: BTreeMap::new(),
            nats: BTreeMap::new(),
            behind: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            sent: 0,
            sockets: BTreeMap::new(),
            last_port: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            cut_one_way: BTreeSet::new(),
            firewall: Firewall::default(),
            heard: BTreeMap::new(),
            counts: Counts::default(),
        };
        Arc::new(Self { state: Mutex::new(state), kick: Notify::new(), trace })
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

    /// Returns what it tells of packets.
    pub fn trace(&self) -> &Trace {
        &self.trace
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

    /// Cuts the way from one host to another, or lets packets through again. The way back stays as it is.
    pub fn set_cut_one_way(&self, from: IpAddr, to: IpAddr, is_cut: bool) {
        let mut state = self.lock();
        if is_cut {
            state.cut_one_way.insert((from, to));
        } else {
            state.cut_one_way.remove(&(from, to));
        }
    }

    /// Cuts every link that there is for ever and without notice. New ones can be made at once.
    pub fn cut_links(&self) {
        self.lock().firewall.forget();
    }

    /// Changes the paths between all hosts that have none of their own.
    pub fn set_path(&self, path: PathConfig) {
        self.lock().path = path;
    }

    /// Gives a host paths of its own, or takes them away. Between two such hosts, the sender's counts.
    pub fn set_path_of(&self, host: IpAddr, path: Option<PathConfig>) {
        let mut state = self.lock();
        match path {
            Some(path) => state.paths_of.insert(host, path),
            None => state.paths_of.remove(&host),
        };
    }

    /// Puts a host behind a NAT.
    pub fn set_nat(&self, host: IpAddr, config: NatConfig) {
        let mut state = self.lock();
        let nat = Nat::new(config);
        state.behind.insert(nat.public(), host);
        state.nats.insert(host, nat);
    }

    /// Has the NAT in front of a host forget all its ports.
    pub fn forget_ports(&self, host: IpAddr) {
        if let Some(nat) = self.lock().nats.get_mut(&host) {
            nat.forget();
        }
    }

    /// Returns how many ports the NAT in front of a host holds open.
    pub fn open_ports(&self, host: IpAddr) -> usize {
        self.lock().nats.get(&host).map_or(0, Nat::len)
    }

    /// Returns how many sockets a host has.
    pub fn sockets(&self, host: IpAddr) -> usize {
        let state = self.lock();
        let of_host = state.sockets.iter().filter(|(address, _)| address.ip() == host);
        of_host.filter(|(_, socket)| socket.strong_count() > 0).count()
    }

    /// Returns what happened to packets so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Returns how many bytes the narrow place on the way from one host to another has taken so far, with the headers of
    /// IP and UDP; of a path without a rate, none.
    pub fn carried_bytes(&self, from: IpAddr, to: IpAddr) -> u64 {
        self.lock().paths.get(&(from, to)).map_or(0, Path::carried_bytes)
    }

    /// Binds a socket of a host; port 0 takes a new one.
    pub(super) fn bind(self: &Arc<Self>, address: SocketAddr) -> io::Result<Arc<SimSocket>> {
        let mut state = self.lock();
        state.sockets.retain(|_, socket| socket.strong_count() > 0);
        let mut address = address;
        if address.port() == 0 {
            let last = state.last_port.entry(address.ip()).or_insert(FIRST_PORT);
            *last = last.checked_add(1).unwrap_or(FIRST_PORT);
            address.set_port(*last);
        }
        if state.sockets.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = Arc::new(SimSocket::new(self.clone(), address));
        state.sockets.insert(address, Arc::downgrade(&socket));
        Ok(socket)
    }

    /// Silences the sockets of a host and frees their addresses, whoever still holds them.
    pub fn close_sockets(&self, host: IpAddr) {
        let mut state = self.lock();
        let of_host = state.sockets.extract_if(.., |address, _| address.ip() == host);
        for socket in of_host.filter_map(|(_, socket)| socket.upgrade()) {
            socket.silence();
        }
    }

    /// Has a host without sockets listen on all ports.
    pub fn listen_raw(&self, host: IpAddr) {
        self.lock().heard.insert(host, Vec::new());
    }

    /// Returns what has come for a host that listens on all ports, and the address it was for.
    pub fn heard_raw(&self, host: IpAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        self.lock().heard.get_mut(&host).map(std::mem::take).unwrap_or_default()
    }

    /// Sends a datagram, whoever it is of.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, content: &[u8]) {
        let now = Instant::now();
        let mut state = self.lock();
        let luck = Luck::draw(&mut state.random);
        let host = state.behind.get(&to.ip()).copied().unwrap_or(to.ip());
        if state.is_cut(from.ip(), host) {
            state.counts.dropped += 1;
            return self.trace.packet(&format!("{from} > {to} cut"), content);
        }
        if !state.firewall.passes(content) {
            state.counts.dropped += 1;
            return self.trace.packet(&format!("{from} > {to} of a link that was cut"), content);
        }
        let config = state.path_config(from.ip(), host);
        let outside = match state.nats.get_mut(&from.ip()) {
            Some(nat) => nat.send(now.into_std(), from, to),
            None => from,
        };
        let path = state.paths.entry((from.ip(), host)).or_default();
        match path.judge(now.into_std(), &config, content.len(), luck) {
            Fate::Lost => {
                state.counts.lost += 1;
                self.trace.packet(&format!("{outside} > {to} lost"), content);
            }
            Fate::QueueFull => {
                state.counts.queue_full += 1;
                self.trace.packet(&format!("{outside} > {to} dropped"), content);
            }
            Fate::Arrives { at, again_at } => {
                self.trace.packet(&format!("{outside} > {to}"), content);
                let mut is_first = state.put_under_way(at, outside, to, content);
                if let Some(again_at) = again_at {
                    state.counts.duplicated += 1;
                    is_first |= state.put_under_way(again_at, outside, to, content);
                }
                drop(state);
                if is_first {
                    self.kick.notify_one();
                }
            }
        }
    }

    fn deliver_due(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        while state.under_way.peek().is_some_and(|Reverse(packet)| packet.at <= now) {
            let Some(Reverse(packet)) = state.under_way.pop() else { return };
            let text = format!("{} > {}", packet.from, packet.to);
            match state.deliver(now, packet) {
                Ok(()) => state.counts.delivered += 1,
                Err(reason) => self.trace.packet(&format!("{text} {reason}"), &[]),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether it is now the first to arrive.
    fn put_under_way(
        &mut self,
        at: std::time::Instant,
        from: SocketAddr,
        to: SocketAddr,
        content: &[u8],
    ) -> bool {
        self.sent += 1;
        let packet = Packet { at: at.into(), number: self.sent, from, to, content: content.to_vec() };
        let is_first = self.under_way.peek().is_none_or(|Reverse(first)| packet < *first);
        self.under_way.push(Reverse(packet));
        is_first
    }

    /// Hands a packet to its socket, or says why there is none.
    fn deliver(&mut self, now: Instant, packet: Packet) -> Result<(), &'static str> {
        let host = |ip: IpAddr| self.behind.get(&ip).copied().unwrap_or(ip);
        let (from, to) = (host(packet.from.ip()), host(packet.to.ip()));
        if self.is_cut(from, to) {
            self.counts.dropped += 1;
            return Err("was cut off");
        }
        let inside = match self.nats.get(&to) {
            Some(nat) => nat.receive(now.into_std(), packet.to.port(), packet.from),
            None => Some(packet.to),
        };
        let Some(inside) = inside else {
            self.counts.refused_by_nat += 1;
            return Err("was refused by a NAT");
        };
        if let Some(heard) = self.heard.get_mut(&inside.ip()) {
            heard.push((inside, packet.content));
            return Ok(());
        }
        let socket = self.sockets.get(&inside).and_then(Weak::upgrade);
        match socket {
            Some(socket) if socket.deliver(packet.from, packet.content) => Ok(()),
            _ => {
                self.counts.dropped += 1;
                Err("met nobody")
            }
        }
    }

    fn path_config(&self, from: IpAddr, to: IpAddr) -> PathConfig {
        *self.paths_of.get(&from).or_else(|| self.paths_of.get(&to)).unwrap_or(&self.path)
    }

    fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        self.cut_off.contains(&from) || self.cut_off.contains(&to) || self.cut_one_way.contains(&(from, to))
    }
}

const FIRST_PORT: u16 = 50_000;
