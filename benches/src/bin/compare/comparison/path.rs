//! What lies between the two processes.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use runnel_benches::emulated::LinkConfig;
use serde::{Deserialize, Serialize};

/// The way of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Path {
    /// This machine's loopback.
    Loopback,
    /// Two network namespaces with a relay between them; alike in both directions.
    Emulated {
        /// Of the bottleneck, in Mbit/s.
        megabits: u32,
        /// Without any queue, in milliseconds.
        round_trip_millis: u32,
        /// Packets of a thousand that are lost at random.
        loss_permille: u32,
    },
}

impl Path {
    /// Returns the links that are measured: one by loss, the other by rate.
    pub(crate) fn emulated() -> Vec<Self> {
        let by_loss = LOSSES_PERMILLE.map(|loss_permille| Self::Emulated {
            megabits: MEGABITS,
            round_trip_millis: ROUND_TRIP_MILLIS,
            loss_permille,
        });
        let by_rate = OTHER_MEGABITS.map(|megabits| Self::Emulated {
            megabits,
            round_trip_millis: ROUND_TRIP_MILLIS,
            loss_permille: 0,
        });
        by_loss.into_iter().chain(by_rate).collect()
    }

    /// Returns how many of these are measured beside each other if there may be `links` of [`MEGABITS`]: the machine must
    /// not be what slows them down.
    pub(crate) fn beside_each_other(self, links: usize) -> usize {
        match self {
            Self::Loopback => 1,
            Self::Emulated { megabits, .. } => {
                (links * MEGABITS as usize / megabits.max(MEGABITS) as usize).max(1)
            }
        }
    }

    /// Returns the settings of the link, or `None` on loopback.
    pub(crate) fn link(self, seed: u64) -> Option<LinkConfig> {
        let Self::Emulated { megabits, round_trip_millis, loss_permille } = self else { return None };
        let rate = NonZeroU64::new(u64::from(megabits) * 1_000_000).expect("a link has a rate");
        let round_trip = Duration::from_millis(round_trip_millis.into());
        let config = LinkConfig::symmetric(rate, round_trip, BUFFER);
        Some(config.with(|path| path.loss = f64::from(loss_permille) / 1000.0).seeded(seed))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Emulated { megabits, round_trip_millis, loss_permille } => write!(
                f,
                "{megabits} Mbit/s, {round_trip_millis} ms, {} % loss",
                f64::from(*loss_permille) / 10.0
            ),
        }
    }
}

/// The link whose loss is varied.
pub(crate) const MEGABITS: u32 = 20;
const ROUND_TRIP_MILLIS: u32 = 50;
const LOSSES_PERMILLE: [u32; 3] = [0, 10, 50];

/// Rates beside that one, without loss.
const OTHER_MEGABITS: [u32; 2] = [5, 50];

/// Longest queue.
const BUFFER: Duration = Duration::from_millis(50);
