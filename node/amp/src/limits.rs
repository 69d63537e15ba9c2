//! How much a peer may make this side hold.

/// Bounds on what is read from a peer and on what is kept for it. They hold for one connection.
///
/// AMP itself bounds a key (255 bytes) and a value (65,535 bytes); the rest is bounded here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest box, in encoded bytes. Default: 256 KiB. Less than 1 KiB counts as that.
    ///
    /// Too low, a box with several long values ends the connection; as much may be held of one that is not whole.
    pub box_bytes_max: usize,
    /// Most pairs of a box. Default: 64. Less than 8 counts as that.
    ///
    /// Too low, commands with many arguments end the connection; each costs some hundred bytes.
    pub pairs_max: usize,
    /// Most asks of ours that wait for the peer's answer. Default: 256.
    ///
    /// Too low, the output of one command waits for that of another; each costs some ten bytes.
    pub asks_max: usize,
    /// Most commands of the peer that wait for our answer. Default: 64.
    ///
    /// One above it is answered with the error `busy`, or ends the connection if it wants no answer. Each may hold a box.
    pub requests_max: usize,
    /// How many bytes may wait to be written before nothing is read and no further asks are taken. Default: 1 MiB.
    ///
    /// Too low, long boxes alternate with waiting; higher, a peer that does not read costs as much.
    pub output_bytes_max: usize,
}

impl Limits {
    /// Returns limits within which a connection can work.
    pub(crate) fn for_connection(self) -> Self {
        Self { box_bytes_max: self.box_bytes_max.max(1 << 10), pairs_max: self.pairs_max.max(8), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            box_bytes_max: 256 << 10,
            pairs_max: 64,
            asks_max: 256,
            requests_max: 64,
            output_bytes_max: 1 << 20,
        }
    }
}
