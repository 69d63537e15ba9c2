//! The packets on the way, in the order of their arrival. Bounded in packets and in bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::counts::Direction;

/// A packet on its way through the relay.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) direction: Direction,
    /// The client that sent it or is to receive it.
    pub(super) client: SocketAddr,
    /// How many times it arrives.
    pub(super) copies: u8,
    pub(super) payload: Box<[u8]>,
}

/// Holds packets until they arrive.
#[derive(Debug)]
pub(super) struct DelayLine {
    /// By arrival; the number keeps packets of the same instant in the order in which they came.
    packets: BTreeMap<(Instant, u64), Packet>,
    next_number: u64,
    bytes: usize,
    packets_max: usize,
    bytes_max: usize,
}

impl DelayLine {
    pub(super) fn new(packets_max: usize, bytes_max: usize) -> Self {
        Self { packets: BTreeMap::new(), next_number: 0, bytes: 0, packets_max, bytes_max }
    }

    pub(super) fn has_room_for(&self, len: usize) -> bool {
        self.packets.len() < self.packets_max && self.bytes + len <= self.bytes_max
    }

    /// Takes a packet that arrives `at` an instant.
    pub(super) fn push(&mut self, at: Instant, packet: Packet) {
        assert!(self.has_room_for(packet.payload.len()), "the caller asks for room first");
        self.bytes += packet.payload.len();
        self.packets.insert((at, self.next_number), packet);
        self.next_number += 1;
    }

    /// Returns the earliest packet that has arrived by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Packet> {
        let earliest = self.packets.first_entry().filter(|entry| entry.key().0 <= now)?;
        let packet = earliest.remove();
        self.bytes -= packet.payload.len();
        Some(packet)
    }

    /// When the next packet arrives.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.packets.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn packets_come_out_in_the_order_of_arrival_and_never_early() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        let mut line = DelayLine::new(9, 9);
        for (at, name) in [(later, b"c"), (now, b"a"), (now, b"b")] {
            line.push(at, packet(name));
        }
        assert_eq!(line.next_at(), Some(now));
        assert_eq!(line.pop(now), Some(packet(b"a")));
        assert_eq!(line.pop(now), Some(packet(b"b")));
        assert_eq!(line.pop(now), None);
        assert_eq!(line.next_at(), Some(later));
        assert_eq!(line.pop(later), Some(packet(b"c")));
        assert_eq!(line.next_at(), None);
    }

    #[test]
    fn room_is_bounded_in_packets_and_in_bytes() {
        let now = Instant::now();
        let mut line = DelayLine::new(2, 10);
        line.push(now, packet(b"12345678"));
        assert!(line.has_room_for(2));
        assert!(!line.has_room_for(3));
        line.push(now, packet(b""));
        assert!(!line.has_room_for(0));
        line.pop(now).expect("two packets are due");
        assert!(line.has_room_for(10));
    }

    fn packet(payload: &[u8]) -> Packet {
        let client = (Ipv4Addr::LOCALHOST, 1).into();
        Packet { direction: Direction::Up, client, copies: 1, payload: payload.into() }
    }
}
