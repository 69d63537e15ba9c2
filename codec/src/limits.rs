//! How large things on the wire may be.

/// Most bytes of a batch of messages, with all that frames them.
pub const BATCH_BYTES_MAX: usize = 16 << 10;

/// How much of a body or of updates is taken at most before a new credit is said, in bytes: its writer, which holds what is
/// not taken, counts on it.
pub const CREDIT_STEP_BYTES_MAX: u64 = 128 << 10;

/// Bounds that a decoder enforces before it allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest encoded arguments in a head, in bytes. Default: 64 KiB.
    pub args_bytes_max: usize,
    /// Longest inline payload, in bytes. Default: 1 MiB.
    pub payload_bytes_max: usize,
    /// Longest piece of a body or result body, in bytes. Default: 64 KiB.
    pub piece_bytes_max: usize,
    /// Longest encoded update, in bytes. Default: 64 KiB.
    pub update_bytes_max: usize,
    /// Longest encoded result in an outcome, in bytes. Default: 1 MiB.
    pub result_bytes_max: usize,
    /// Longest control frame, in bytes. Default: 64 KiB. A hello with many command types and settled ranges is the
    /// largest of them.
    pub control_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            args_bytes_max: 64 << 10,
            payload_bytes_max: 1 << 20,
            piece_bytes_max: 64 << 10,
            update_bytes_max: 64 << 10,
            result_bytes_max: 1 << 20,
            control_bytes_max: 64 << 10,
        }
    }
}
