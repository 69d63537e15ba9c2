//! An emulated link of real packets: two network namespaces, a TUN device in each, and a relay of ours between them.
//!
//! Whatever runs on the two sides, TCP of the kernel or QUIC, shares one bottleneck in each direction: a rate, a delay, a
//! buffer that drops what has no room, and loss at random or in bursts, drawn from a seed. The faults are those of
//! [`runnel::relay`], here for whole IP packets; `direction.rs` holds the packets on the way (pure), `relay.rs` moves
//! them on a thread of its own, `side.rs` brings threads and processes to one of the two sides, `tcp.rs` loads the link
//! with TCP of the kernel. `--bin link` shows how exact it is.
//!
//! It takes root, `/dev/net/tun` and the program `ip`. The namespaces have no names: they, the devices and the thread go
//! when the link is dropped, or with the process.

mod direction;
mod relay;
mod side;
mod tcp;

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::time::Duration;

use runnel::relay::{PathConfig, PathConfigError};

pub use self::direction::Traffic;
pub use self::relay::LinkTraffic;
pub use self::side::Side;
pub use self::tcp::TcpFlow;

use self::direction::Direction;
use self::relay::Relay;

/// Settings of a [`Link`]. Rates and buffers count bytes of IP packets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// From left to right.
    pub up: PathConfig,
    /// From right to left.
    pub down: PathConfig,
    /// What loss is drawn from.
    pub seed: u64,
}

/// Two machines, so to speak, and a bad network between them.
///
/// Dropping it ends the relay and waits for its thread; what is on the way is lost.
#[derive(Debug)]
#[must_use]
pub struct Link {
    left: Side,
    right: Side,
    relay: Relay,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The system does not let us make one: the caller does without, and says so.
    #[error("an emulated link takes root, /dev/net/tun and the program ip: {doing}")]
    Unavailable {
        /// What failed.
        doing: &'static str,
        /// How.
        source: io::Error,
    },
    /// The settings describe no possible path: the caller corrects them.
    #[error("the settings are impossible")]
    Config(#[from] PathConfigError),
}

impl LinkConfig {
    /// A link that is alike in both directions.
    ///
    /// `buffer` is how long the longest queue takes to send.
    #[must_use]
    pub fn symmetric(bits_per_second: NonZeroU64, rtt: Duration, buffer: Duration) -> Self {
        let path = PathConfig {
            rate_bits_per_second: Some(bits_per_second),
            delay: rtt / 2,
            queue_bytes_max: bytes_in(bits_per_second, buffer),
            ..PathConfig::default()
        };
        Self { up: path.clone(), down: path, seed: 0 }
    }

    /// Changes both directions.
    #[must_use]
    pub fn with(mut self, change: impl Fn(&mut PathConfig)) -> Self {
        change(&mut self.up);
        change(&mut self.down);
        self
    }

    /// Draws the faults from this seed.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

impl Link {
    /// Makes both sides and begins to carry packets.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub fn start(config: &LinkConfig) -> Result<Self, LinkError> {
        let up = Direction::new(&config.up, config.seed, 0)?;
        let down = Direction::new(&config.down, config.seed, 1)?;
        let (left, left_device) = Side::create("left", LEFT, RIGHT)?;
        let (right, right_device) = Side::create("right", RIGHT, LEFT)?;
        let relay = Relay::start([left_device, right_device], [up, down])
            .map_err(|source| LinkError::Unavailable { doing: "starting the relay", source })?;
        Ok(Self { left, right, relay })
    }

    /// Returns the side whose packets go up.
    pub fn left(&self) -> &Side {
        &self.left
    }

    /// Returns the side whose packets go down.
    pub fn right(&self) -> &Side {
        &self.right
    }

    /// Loses every packet that enters from now on, or carries them again. What is on the way arrives.
    pub fn set_dark(&self, is_dark: bool) {
        self.relay.set_dark(is_dark);
    }

    /// Returns what was carried since the start.
    pub fn traffic(&self) -> LinkTraffic {
        self.relay.traffic()
    }
}

/// Returns how many bytes are sent in a time.
fn bytes_in(bits_per_second: NonZeroU64, time: Duration) -> u64 {
    let bytes = u128::from(bits_per_second.get()) * time.as_nanos() / BIT_NANOS_PER_BYTE;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Eight bits to the byte, 10^9 nanoseconds to the second.
const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;

const LEFT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The longest packet that the devices carry, in bytes.
const MTU: usize = 1500;
