//! Everything between the relay's sockets: two paths, the packets on the way, darkness, and the counts.
//!
//! Pure: packets enter and leave by calls, and the caller tells the time.

use std::net::SocketAddr;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::{PathConfig, PathConfigError, RelayConfig, RelayConfigError};
use super::counts::{Direction, RelayCounts};
use super::delay_line::{DelayLine, Packet};
use super::path::{DropCause, Path, Verdict};

/// The network that a relay plays.
#[derive(Debug)]
pub(super) struct Network {
    up: Path,
    down: Path,
    on_the_way: DelayLine,
    pub(super) counts: RelayCounts,
}

impl Network {
    pub(super) fn new(config: &RelayConfig, seed: u64) -> Result<Self, RelayConfigError> {
        let path = |direction, config: &PathConfig| {
            Path::new(config.clone(), rng(seed, direction))
                .map_err(|source| RelayConfigError::Path { direction, source })
        };
        Ok(Self {
            up: path(Direction::Up, &config.up)?,
            down: path(Direction::Down, &config.down)?,
            on_the_way: DelayLine::new(config.in_flight_packets_max.get(), config.in_flight_bytes_max.get()),
            counts: RelayCounts::default(),
        })
    }

    /// Takes a packet in at the near end of a direction.
    pub(super) fn enter(&mut self, now: Instant, direction: Direction, client: SocketAddr, payload: &[u8]) {
        let is_dark = self.counts.is_dark;
        let counts = self.counts.direction_mut(direction);
        if is_dark {
            counts.blackout_dropped += 1;
            return;
        }
        if !self.on_the_way.has_room_for(payload.len()) {
            counts.queue_dropped += 1;
            return;
        }
        let path = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        match path.offer(now, payload.len()) {
            Verdict::Drop(DropCause::QueueFull) => counts.queue_dropped += 1,
            Verdict::Drop(DropCause::Loss) => counts.lost += 1,
            Verdict::Deliver { at, copies, reordered } => {
                counts.duplicated += u64::from(copies > 1);
                counts.reordered += u64::from(reordered);
                self.on_the_way.push(at, Packet { direction, client, copies, payload: payload.into() });
            }
        }
    }

    /// Returns the next packet that has reached its far end by `now`.
    pub(super) fn leave(&mut self, now: Instant) -> Option<Packet> {
        while let Some(packet) = self.on_the_way.pop(now) {
            if !self.counts.is_dark {
                return Some(packet);
            }
            self.counts.direction_mut(packet.direction).blackout_dropped += 1;
        }
        None
    }

    /// Begins or ends a blackout.
    pub(super) fn set_dark(&mut self, is_dark: bool) {
        let begins = is_dark && !self.counts.is_dark;
        self.counts.blackouts += u64::from(begins);
        self.counts.is_dark = is_dark;
    }

    pub(super) fn set_path(
        &mut self,
        direction: Direction,
        config: PathConfig,
    ) -> Result<(), PathConfigError> {
        match direction {
            Direction::Up => self.up.set_config(config),
            Direction::Down => self.down.set_config(config),
        }
    }

    /// When the next packet reaches its far end.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.on_the_way.next_at()
    }
}

/// Two independent streams of one seed.
fn rng(seed: u64, direction: Direction) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match direction {
        Direction::Up => 0,
        Direction::Down => 1,
    });
    rng
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::*;

    const DELAY: Duration = Duration::from_millis(30);

    #[test]
    fn a_packet_leaves_after_the_delay_of_its_direction() {
        let mut network = network(|config| config.up.delay = DELAY);
        let now = Instant::now();
        network.enter(now, Direction::Up, client(), b"up");
        network.enter(now, Direction::Down, client(), b"down");
        assert_eq!(network.leave(now).map(|packet| packet.direction), Some(Direction::Down));
        assert_eq!(network.leave(now), None);
        assert_eq!(network.next_at(), Some(now + DELAY));
        assert_eq!(network.leave(now + DELAY).map(|packet| packet.direction), Some(Direction::Up));
    }

    #[test]
    fn a_blackout_takes_what_enters_and_what_would_arrive() {
        let mut network = network(|config| config.up.delay = DELAY);
        let now = Instant::now();
        network.enter(now, Direction::Up, client(), b"on the way");
        network.set_dark(true);
        network.set_dark(true);
        network.enter(now, Direction::Up, client(), b"too late");
        assert_eq!(network.leave(now + DELAY), None);
        network.set_dark(false);
        assert_eq!(network.leave(now + DELAY), None);
        assert_eq!((network.counts.up.blackout_dropped, network.counts.blackouts), (2, 1));
    }

    #[test]
    fn a_blackout_spares_what_arrives_after_it() {
        let mut network = network(|config| config.up.delay = DELAY);
        let now = Instant::now();
        network.enter(now, Direction::Up, client(), b"on the way");
        network.set_dark(true);
        assert_eq!(network.leave(now + DELAY / 2), None);
        network.set_dark(false);
        assert_eq!(network.leave(now + DELAY).map(|packet| packet.payload), Some(b"on the way"[..].into()));
    }

    #[test]
    fn memory_is_bounded_by_a_drop() {
        let mut network = network(|config| config.in_flight_packets_max = NonZeroUsize::MIN);
        let now = Instant::now();
        network.enter(now, Direction::Up, client(), b"first");
        network.enter(now, Direction::Down, client(), b"second");
        assert_eq!(network.counts.down.queue_dropped, 1);
        assert_eq!(network.leave(now).map(|packet| packet.direction), Some(Direction::Up));
    }

    #[test]
    fn the_directions_draw_different_numbers() {
        let mut network = network(|config| {
            config.up.loss = 0.5;
            config.down.loss = 0.5;
        });
        let now = Instant::now();
        let fates = [Direction::Up, Direction::Down].map(|direction| {
            let mut fate = |_| {
                network.enter(now, direction, client(), b"");
                network.leave(now).is_some()
            };
            (0..64).map(&mut fate).collect::<Vec<bool>>()
        });
        assert_ne!(fates[0], fates[1]);
    }

    fn network(change: impl FnOnce(&mut RelayConfig)) -> Network {
        let mut config = RelayConfig::default();
        change(&mut config);
        Network::new(&config, 2012).expect("possible settings")
    }

    fn client() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 4000).into()
    }
}
