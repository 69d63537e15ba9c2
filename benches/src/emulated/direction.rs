//! One direction of an emulated link: what becomes of each packet, and when it arrives. Pure: no clock, no I/O.

use std::collections::BTreeMap;
use std::ops::Sub;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use runnel::relay::{DropCause, Path, PathConfig, PathConfigError, Verdict};

/// The packets of one direction that are on the way.
#[derive(Debug)]
pub(super) struct Direction {
    path: Path,
    /// Without a queue and its own time on the line, a packet takes so long.
    delay: Duration,
    /// By arrival; the number keeps packets of the same instant in order.
    packets: BTreeMap<(Instant, u64), Box<[u8]>>,
    next_number: u64,
    pub(super) traffic: Traffic,
}

/// What one direction has carried. Two of them can be subtracted, except for the longest times, which stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that came out.
    pub packets: u64,
    /// Bytes in them, with all headers from IP on.
    pub bytes: u64,
    /// Packets that found no room in the buffer.
    pub dropped: u64,
    /// Packets lost behind the bottleneck.
    pub lost: u64,
    /// How long those that came out took beyond the delay, all together: the queue, and their own time on the line.
    pub queueing: Duration,
    /// The longest of these times.
    pub queueing_max: Duration,
    /// How late the relay itself was, all packets together: it shares the machine with what it carries.
    pub lateness: Duration,
    /// The longest of these times.
    pub lateness_max: Duration,
}

impl Direction {
    pub(super) fn new(config: &PathConfig, seed: u64, stream: u64) -> Result<Self, PathConfigError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Ok(Self {
            path: Path::new(config.clone(), random)?,
            delay: config.delay,
            packets: BTreeMap::new(),
            next_number: 0,
            traffic: Traffic::default(),
        })
    }

    /// Takes a packet that enters.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        if self.packets.len() >= PACKETS_MAX {
            self.traffic.dropped += 1;
            return;
        }
        match self.path.offer(now, packet.len()) {
            Verdict::Drop(DropCause::QueueFull) => self.traffic.dropped += 1,
            Verdict::Drop(DropCause::Loss) => self.traffic.lost += 1,
            Verdict::Deliver { at, copies, .. } => {
                let queueing = (at - now).saturating_sub(self.delay);
                self.traffic.queueing += queueing;
                self.traffic.queueing_max = self.traffic.queueing_max.max(queueing);
                for _ in 0..copies {
                    self.packets.insert((at, self.next_number), packet.into());
                    self.next_number += 1;
                }
            }
        }
    }

    /// Returns the next packet that has arrived.
    pub(super) fn poll_packet(&mut self, now: Instant) -> Option<Box<[u8]>> {
        let earliest = self.packets.first_entry().filter(|entry| entry.key().0 <= now)?;
        let lateness = now - earliest.key().0;
        let packet = earliest.remove();
        self.traffic.packets += 1;
        self.traffic.bytes += packet.len() as u64;
        self.traffic.lateness += lateness;
        self.traffic.lateness_max = self.traffic.lateness_max.max(lateness);
        Some(packet)
    }

    /// Returns when the next packet arrives.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.packets.first_key_value().map(|((at, _), _)| *at)
    }
}

impl Traffic {
    /// Returns how long a packet queued in the mean, with its own time on the line.
    #[must_use]
    pub fn queueing_mean(&self) -> Duration {
        mean(self.queueing, self.packets)
    }

    /// Returns how late the relay was in the mean.
    #[must_use]
    pub fn lateness_mean(&self) -> Duration {
        mean(self.lateness, self.packets)
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            bytes: self.bytes - before.bytes,
            dropped: self.dropped - before.dropped,
            lost: self.lost - before.lost,
            queueing: self.queueing - before.queueing,
            lateness: self.lateness - before.lateness,
            ..self
        }
    }
}

fn mean(sum: Duration, packets: u64) -> Duration {
    sum.div_f64(packets.max(1) as f64)
}

/// Packets on the way; further ones count as dropped. Bounds memory to 100 MB for each direction.
const PACKETS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PACKET: [u8; 1250] = [7; 1250];

    #[test]
    fn packets_arrive_one_behind_the_other_at_the_rate_and_after_the_delay() {
        let now = Instant::now();
        let mut direction = direction(PathConfig::default());
        direction.handle_packet(now, &PACKET);
        direction.handle_packet(now, &PACKET[..625]);
        // At 10 Mbit/s, 1250 bytes take 1 ms.
        assert_eq!(direction.poll_timeout(), Some(now + 26 * MS));
        assert_eq!(direction.poll_packet(now + 25 * MS), None);
        assert_eq!(direction.poll_packet(now + 26 * MS).as_deref(), Some(&PACKET[..]));
        assert_eq!(direction.poll_timeout(), Some(now + 26 * MS + MS / 2));
        assert_eq!(direction.poll_packet(now + 27 * MS).as_deref(), Some(&PACKET[..625]));
        assert_eq!(direction.poll_timeout(), None);
        let expected = Traffic {
            packets: 2,
            bytes: 1875,
            queueing: MS * 5 / 2,
            queueing_max: MS * 3 / 2,
            lateness: MS / 2,
            lateness_max: MS / 2,
            ..Traffic::default()
        };
        assert_eq!(direction.traffic, expected);
    }

    #[test]
    fn what_finds_no_room_or_is_lost_is_counted_and_never_arrives() {
        let now = Instant::now();
        let mut full = direction(PathConfig { queue_bytes_max: 2 * 1250, ..PathConfig::default() });
        let mut lossy = direction(PathConfig { loss: 1.0, ..PathConfig::default() });
        for _ in 0..5 {
            full.handle_packet(now, &PACKET);
            lossy.handle_packet(now, &PACKET);
        }
        assert_eq!((full.traffic.dropped, lossy.traffic.lost), (3, 5));
        assert!(full.poll_packet(now + 100 * MS).is_some() && lossy.poll_packet(now + 100 * MS).is_none());
    }

    #[test]
    fn traffic_of_a_while_is_the_difference() {
        let now = Instant::now();
        let mut direction = direction(PathConfig::default());
        direction.handle_packet(now, &PACKET);
        direction.poll_packet(now + 26 * MS);
        let before = direction.traffic;
        direction.handle_packet(now + 100 * MS, &PACKET);
        direction.poll_packet(now + 126 * MS);
        let since = direction.traffic - before;
        assert_eq!((since.packets, since.bytes, since.queueing_mean()), (1, 1250, MS));
    }

    fn direction(config: PathConfig) -> Direction {
        let rate_bits_per_second = NonZeroU64::new(10_000_000);
        let config = PathConfig { rate_bits_per_second, delay: 25 * MS, ..config };
        Direction::new(&config, 1, 0).expect("a possible path")
    }
}
