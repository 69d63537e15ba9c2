//! What can be wrong with a network, as settings.
//!
//! The defaults describe a perfect network: each fault is asked for by name. Start at [`RelayConfig`].

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use super::counts::Direction;

/// Settings of a [`Relay`](super::Relay): two directions, and what befalls the path as a whole.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// From the clients to the target. Default: no fault.
    pub up: PathConfig,
    /// From the target to the clients. Default: no fault.
    pub down: PathConfig,
    /// Gives every client a new source port this often, as a rebooting NAT does. Default: never.
    ///
    /// Below a few round trips no peer can follow, and the relay measures nothing but lost packets.
    #[serde(with = "humantime_serde")]
    pub rebind_every: Option<Duration>,
    /// Spans in which nothing passes. They may overlap. Default: none.
    pub blackouts: Vec<Blackout>,
    /// Clients served at the same time; packets of further ones are refused. Default: 256.
    ///
    /// Too low, a client that dials from a new port finds no place; each one costs two file descriptors.
    pub clients_max: NonZeroUsize,
    /// Silence after which a client's port is given up. Default: 60 s.
    ///
    /// Too low, an idle link loses its port between two keep-alives; too high, clients long gone hold places.
    #[serde(with = "humantime_serde")]
    pub client_idle_timeout: Duration,
    /// Packets on the way in both directions together; further ones count as dropped by a full queue.
    /// Default: 65,536.
    ///
    /// Below rate times delay it becomes a hidden bottleneck. It bounds memory, together with
    /// [`in_flight_bytes_max`](Self::in_flight_bytes_max).
    pub in_flight_packets_max: NonZeroUsize,
    /// Bytes on the way in both directions together. Default: 64 MiB.
    pub in_flight_bytes_max: NonZeroUsize,
}

/// Settings of a [`Path`](super::Path): the faults of one direction.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathConfig {
    /// Share of packets that vanish behind the bottleneck, from 0 to 1. Default: 0.
    ///
    /// A few per cent are a bad radio link; above a third hardly any handshake completes.
    pub loss: f64,
    /// Mean number of packets lost in a row, 1 or more; the share stays [`loss`](Self::loss). Default: each
    /// packet is lost or not independently of the others.
    ///
    /// Networks lose in bursts: the same share hurts more in bursts that outlast a packet's retransmissions.
    pub loss_burst_packets: Option<f64>,
    /// Time on the way without any queue: half of the round trip for two like directions. Default: 0.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// Upper end of an additional delay, drawn evenly for each packet. Default: 0.
    ///
    /// Packets keep their order: one that would overtake arrives together with the one before it.
    #[serde(with = "humantime_serde")]
    pub jitter: Duration,
    /// Bits per second of UDP payload through the bottleneck. Default: unlimited.
    pub rate_bits_per_second: Option<NonZeroU64>,
    /// Bytes that wait before the bottleneck, if there is a rate; what finds no room is dropped.
    /// Default: 256 KiB.
    ///
    /// Too low, bursts are cut off below the rate; too high, senders that fill queues see seconds of delay
    /// ("bufferbloat"). An idle bottleneck takes a packet of any length.
    pub queue_bytes_max: u64,
    /// Share of packets that arrive twice, from 0 to 1. Default: 0.
    pub duplicate: f64,
    /// Share of packets that are held back, so that later ones overtake them, from 0 to 1. Default: 0.
    pub reorder: f64,
    /// How long a packet is held back. Default: 5 ms.
    ///
    /// Shorter than the gap to the next packet, nothing is overtaken; longer than a round trip, a transport
    /// takes the packet for lost.
    #[serde(with = "humantime_serde")]
    pub reorder_delay: Duration,
}

/// A span in which every packet is dropped, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blackout {
    /// When it begins, counted from the start of the relay.
    #[serde(with = "humantime_serde")]
    pub after: Duration,
    /// How long it lasts.
    #[serde(with = "humantime_serde")]
    pub length: Duration,
}

/// Why a [`PathConfig`] describes no possible path. The caller corrects the setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathConfigError {
    /// A share is not between 0 and 1.
    #[error("{setting} is {value}, not a share between 0 and 1")]
    NotAShare {
        /// Name of the setting.
        setting: &'static str,
        /// What it was set to.
        value: f64,
    },
    /// A burst must have at least one packet.
    #[error("loss_burst_packets is {0}, not 1 or more")]
    BurstTooShort(f64),
    /// Bursts this short cannot add up to the wanted share, even with one packet between each two of them.
    #[error("bursts of {burst_packets} packets cannot add up to a loss of {loss}")]
    LossOutOfReach {
        /// The wanted share.
        loss: f64,
        /// The wanted mean length of a burst.
        burst_packets: f64,
    },
    /// A delay is longer than an hour.
    #[error("{setting} is {value:?}, more than an hour")]
    DelayTooLong {
        /// Name of the setting.
        setting: &'static str,
        /// What it was set to.
        value: Duration,
    },
}

/// Why a [`RelayConfig`] cannot be obeyed. The caller corrects the setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayConfigError {
    /// One of the two directions is impossible.
    #[error("the path {direction} is impossible")]
    Path {
        /// `up` or `down`.
        direction: Direction,
        /// What is wrong with it.
        source: PathConfigError,
    },
    /// The relay's timers cannot keep this pace.
    #[error("rebind_every is {0:?}, less than a millisecond")]
    RebindTooOften(Duration),
    /// Packets cannot be sent to the wildcard address or to port 0.
    #[error("{0} is no address to send to")]
    NoTarget(SocketAddr),
}

impl PathConfig {
    /// Checks that the settings describe a possible path.
    ///
    /// # Errors
    ///
    /// The first setting that does not.
    pub fn check(&self) -> Result<(), PathConfigError> {
        let shares = [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder)];
        for (setting, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(PathConfigError::NotAShare { setting, value });
            }
        }
        let delays = [("delay", self.delay), ("jitter", self.jitter), ("reorder_delay", self.reorder_delay)];
        for (setting, value) in delays {
            if value > DELAY_MAX {
                return Err(PathConfigError::DelayTooLong { setting, value });
            }
        }
        self.loss_burst_packets.map_or(Ok(()), |burst_packets| check_burst(self.loss, burst_packets))
    }
}

impl RelayConfig {
    /// Checks that the settings can be obeyed.
    ///
    /// # Errors
    ///
    /// The first setting that cannot.
    pub fn check(&self) -> Result<(), RelayConfigError> {
        for (direction, path) in [(Direction::Up, &self.up), (Direction::Down, &self.down)] {
            path.check().map_err(|source| RelayConfigError::Path { direction, source })?;
        }
        match self.rebind_every {
            Some(every) if every < REBIND_EVERY_MIN => Err(RelayConfigError::RebindTooOften(every)),
            _ => Ok(()),
        }
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            up: PathConfig::default(),
            down: PathConfig::default(),
            rebind_every: None,
            blackouts: Vec::new(),
            clients_max: const { NonZeroUsize::new(256).expect("256 is not 0") },
            client_idle_timeout: Duration::from_secs(60),
            in_flight_packets_max: const { NonZeroUsize::new(65_536).expect("65,536 is not 0") },
            in_flight_bytes_max: const { NonZeroUsize::new(64 << 20).expect("64 MiB is not 0") },
        }
    }
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            loss: 0.0,
            loss_burst_packets: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_bits_per_second: None,
            queue_bytes_max: 256 << 10,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(5),
        }
    }
}

fn check_burst(loss: f64, burst_packets: f64) -> Result<(), PathConfigError> {
    if !(burst_packets >= 1.0 && burst_packets.is_finite()) {
        return Err(PathConfigError::BurstTooShort(burst_packets));
    }
    let reachable = burst_packets / (burst_packets + 1.0);
    if loss > reachable && loss < 1.0 {
        return Err(PathConfigError::LossOutOfReach { loss, burst_packets });
    }
    Ok(())
}

/// Longer delays are slips of the pen, and sums with them could leave the range of an `Instant`.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// The resolution of the runtime's timers.
const REBIND_EVERY_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    #[test]
    fn the_default_is_possible() {
        assert_eq!(RelayConfig::default().check(), Ok(()));
    }

    #[test]
    fn durations_are_written_with_a_unit() {
        let config = parse([("delay", "30ms"), ("jitter", "2ms")]).expect("two known settings");
        let expected = PathConfig {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(2),
            ..PathConfig::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        parse([("delai", "30ms")]).expect_err("a misspelt setting");
    }

    #[test]
    fn impossible_paths_are_refused() {
        let refused = |config: PathConfig| config.check().expect_err("an impossible path").to_string();
        let lossy = |loss| PathConfig { loss, ..PathConfig::default() };
        assert_eq!(refused(lossy(1.5)), "loss is 1.5, not a share between 0 and 1");
        assert_eq!(refused(lossy(f64::NAN)), "loss is NaN, not a share between 0 and 1");

        let bursty = |burst| PathConfig { loss_burst_packets: Some(burst), ..lossy(0.9) };
        assert_eq!(refused(bursty(0.5)), "loss_burst_packets is 0.5, not 1 or more");
        assert_eq!(refused(bursty(4.0)), "bursts of 4 packets cannot add up to a loss of 0.9");
        assert_eq!(bursty(9.0).check(), Ok(()));

        let slow = PathConfig { delay: Duration::MAX, ..PathConfig::default() };
        assert!(refused(slow).contains("more than an hour"));
    }

    #[test]
    fn a_rebind_needs_a_pause() {
        let config = RelayConfig { rebind_every: Some(Duration::ZERO), ..RelayConfig::default() };
        assert_eq!(config.check(), Err(RelayConfigError::RebindTooOften(Duration::ZERO)));
    }

    fn parse<const N: usize>(settings: [(&str, &str); N]) -> Result<PathConfig, Error> {
        PathConfig::deserialize(MapDeserializer::new(settings.into_iter()))
    }
}
