//! A NAT in front of a host: outside, the host has another address, and ports that come and go. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How a NAT behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// Its address outside.
    pub public: IpAddr,
    /// Whether a socket has one port outside for all peers.
    pub kind: NatKind,
    /// When it forgets a port over which nothing goes out.
    pub idle_timeout: Duration,
}

/// The kinds of NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// A socket has one port outside for all its peers.
    Cone,
    /// A socket has another port outside for each of its peers.
    Symmetric,
}

/// A NAT at work. Only peers that were sent something get through to the inside.
#[derive(Debug)]
pub(super) struct Nat {
    config: NatConfig,
    mappings: BTreeMap<u16, Mapping>,
    last_port: u16,
}

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    /// The one peer that it is for, if it is for one.
    peer: Option<SocketAddr>,
    spoken_to: BTreeSet<SocketAddr>,
    used_at: Instant,
}

impl Nat {
    pub(super) fn new(config: NatConfig) -> Self {
        Self { config, mappings: BTreeMap::new(), last_port: FIRST_PORT }
    }

    pub(super) fn public(&self) -> IpAddr {
        self.config.public
    }

    /// Lets a packet out. Returns where it seems to come from.
    pub(super) fn send(&mut self, now: Instant, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        self.mappings.retain(|_, mapping| now - mapping.used_at < self.config.idle_timeout);
        let peer = (self.config.kind == NatKind::Symmetric).then_some(to);
        let known = self.mappings.iter().find(|(_, it)| it.inside == inside && it.peer == peer);
        let port = known.map(|(port, _)| *port).unwrap_or_else(|| {
            self.last_port = self.last_port.checked_add(1).unwrap_or(FIRST_PORT);
            self.last_port
        });
        let mapping = self.mappings.entry(port).or_insert_with(|| Mapping {
            inside,
            peer,
            spoken_to: BTreeSet::new(),
            used_at: now,
        });
        mapping.used_at = now;
        mapping.spoken_to.insert(to);
        SocketAddr::new(self.config.public, port)
    }

    /// Lets a packet in. Returns which socket inside it is for, if it gets through.
    pub(super) fn receive(&self, now: Instant, port: u16, from: SocketAddr) -> Option<SocketAddr> {
        let mapping = self.mappings.get(&port)?;
        let is_open = now - mapping.used_at < self.config.idle_timeout && mapping.spoken_to.contains(&from);
        is_open.then_some(mapping.inside)
    }

    /// Forgets all ports, as it does when it restarts: what comes to them is dropped, what goes out gets others.
    pub(super) fn forget(&mut self) {
        self.mappings.clear();
        self.last_port = self.last_port.checked_add(97).unwrap_or(FIRST_PORT);
    }

    /// Returns how many ports it holds open.
    pub(super) fn len(&self) -> usize {
        self.mappings.len()
    }
}

const FIRST_PORT: u16 = 40_000;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn nat(kind: NatKind) -> Nat {
        let public = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
        Nat::new(NatConfig { public, kind, idle_timeout: IDLE })
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), 4433)
    }

    #[test]
    fn a_cone_has_one_port_for_all_peers_and_lets_in_those_that_were_spoken_to() {
        let (mut nat, now, inside) = (nat(NatKind::Cone), Instant::now(), address(1));
        let outside = nat.send(now, inside, address(2));
        assert_eq!(nat.receive(now, outside.port(), address(2)), Some(inside));
        assert_eq!(nat.receive(now, outside.port(), address(3)), None);
        assert_eq!(nat.send(now, inside, address(3)), outside);
        assert_eq!(nat.receive(now, outside.port(), address(3)), Some(inside));
        assert_eq!(nat.len(), 1);
    }

    #[test]
    fn a_symmetric_one_has_a_port_for_each_peer() {
        let (mut nat, now, inside) = (nat(NatKind::Symmetric), Instant::now(), address(1));
        let [first, second] = [2, 3].map(|peer| nat.send(now, inside, address(peer)).port());
        assert_ne!(first, second);
        assert_eq!(nat.receive(now, first, address(3)), None);
        assert_eq!(nat.receive(now, second, address(3)), Some(inside));
    }

    #[test]
    fn ports_are_forgotten_when_idle_and_at_a_restart() {
        let (mut nat, now, inside) = (nat(NatKind::Cone), Instant::now(), address(1));
        let port = nat.send(now, inside, address(2)).port();
        assert_eq!(nat.receive(now + IDLE, port, address(2)), None);
        let later = nat.send(now + IDLE, inside, address(2)).port();
        assert_ne!(later, port);
        nat.forget();
        assert_eq!(nat.receive(now + IDLE, later, address(2)), None);
        assert_ne!(nat.send(now + IDLE, inside, address(2)).port(), later);
    }
}
