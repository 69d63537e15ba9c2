//! The narrowest place of a path: packets leave it one after the other, and what finds its queue full is dropped. Pure.

use std::time::{Duration, Instant};

/// How narrow a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Bits a second, with the headers of IP and UDP.
    pub bits_per_second: u64,
    /// Bytes that wait at most.
    pub queue_bytes: u64,
}

/// The queue of one direction of a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bottleneck {
    free_at: Option<Instant>,
    /// Bytes that it took, with the headers of IP and UDP.
    carried_bytes: u64,
}

impl Bottleneck {
    /// Takes a packet. Returns when it has left, or `None` if it was dropped.
    pub(super) fn admit(&mut self, now: Instant, config: &RateConfig, bytes: usize) -> Option<Instant> {
        let rate = config.bits_per_second.max(1);
        let begins_at = self.free_at.map_or(now, |free_at| free_at.max(now));
        let waiting = (begins_at - now).as_nanos() * u128::from(rate) / (8 * NANOS);
        if waiting > u128::from(config.queue_bytes) {
            return None;
        }
        let bytes = bytes as u64 + HEADER_BYTES;
        let leaves_at = begins_at + Duration::from_nanos(bytes * 8 * 1_000_000_000 / rate);
        self.free_at = Some(leaves_at);
        self.carried_bytes += bytes;
        Some(leaves_at)
    }

    /// Returns how many bytes it took so far, with the headers of IP and UDP.
    pub(super) fn carried_bytes(&self) -> u64 {
        self.carried_bytes
    }
}

const NANOS: u128 = 1_000_000_000;

/// IPv4 and UDP.
const HEADER_BYTES: u64 = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_at_the_rate_and_a_full_queue_drops() {
        let config = RateConfig { bits_per_second: 8_000_000, queue_bytes: 10_000 };
        let (mut bottleneck, now) = (Bottleneck::default(), Instant::now());
        let leave: Vec<_> = (0..20).map(|_| bottleneck.admit(now, &config, 972)).collect();
        assert_eq!(leave[0], Some(now + Duration::from_millis(1)));
        assert_eq!(leave[9], Some(now + Duration::from_millis(10)));
        assert_eq!(leave.iter().flatten().count(), 11, "one leaves while ten wait");
        assert_eq!(bottleneck.carried_bytes(), 11_000, "what is dropped is not carried, headers are");
        let later = now + Duration::from_secs(1);
        assert_eq!(bottleneck.admit(later, &config, 972), Some(later + Duration::from_millis(1)));
    }
}
