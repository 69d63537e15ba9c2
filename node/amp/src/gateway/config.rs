//! What bounds a gateway, and how long it is patient.

use std::time::Duration;

use crate::limits::Limits;

/// Bounds of a gateway. Those of [`Limits`] hold for each connection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Bounds of the protocol.
    pub limits: Limits,
    /// Most connections at once. Default: 64. Further ones wait to be accepted.
    pub connections_max: usize,
    /// Most commands that one connection follows. Default: 64. One above it is answered with the error `busy`.
    ///
    /// Each has a connection to the node, and a piece of its output in memory.
    pub followed_max: usize,
    /// Most bodies that one connection sends at once. Default: 16. One above it is answered with the error `busy`.
    pub uploads_max: usize,
    /// Most pieces of one command's output, or of its result's body, that the program has not answered. Default: 4. 0 counts
    /// as 1.
    ///
    /// One, each piece waits a round trip; more, as much is on its way to a program that reads slowly.
    pub window: usize,
    /// Longest piece, in bytes. Default: 60 KiB, and that is the most; 0 counts as 1.
    ///
    /// Low, long output takes many boxes; AMP's own limit of a value is a little above the default.
    pub piece_bytes_max: usize,
    /// How long the local node may be away while its commands are followed. Default: 60 s.
    ///
    /// Past it a program is told `Lost`. Low, a restart of the node is not survived; high, programs hear late of one that
    /// does not come back.
    #[serde(with = "humantime_serde")]
    pub node_patience: Duration,
}

impl GatewayConfig {
    /// Returns how long a piece may be, whatever the configuration says.
    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes_max.clamp(1, PIECE_BYTES_MAX)
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connections_max: 64,
            followed_max: 64,
            uploads_max: 16,
            window: 4,
            piece_bytes_max: PIECE_BYTES_MAX,
            node_patience: Duration::from_secs(60),
        }
    }
}

/// Below AMP's limit of a value, in bytes.
const PIECE_BYTES_MAX: usize = 60 << 10;
