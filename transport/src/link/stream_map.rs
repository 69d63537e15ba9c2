//! A map by stream, with a hash that costs less than the look-up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::stream::StreamId;

/// A map by stream.
///
/// QUIC hands out the numbers of streams in order and below a limit that this side sets, so a peer cannot choose them to
/// collide.
pub type StreamMap<T> = HashMap<StreamId, T, BuildHasherDefault<NumberHasher>>;

/// A hash of one number: a multiplication that spreads neighbours over all bits.
#[derive(Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(GOLDEN_RATIO).rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// 2^64 divided by the golden ratio, and odd.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn neighbouring_streams_differ_in_the_bits_that_tables_use() {
        let hasher = BuildHasherDefault::<NumberHasher>::default();
        let hash = |number: u64| hasher.hash_one(StreamId::from_wire(number));
        let hashes: Vec<u64> = (0..256).map(|number| hash(4 * number)).collect();
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0xff).collect();
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert!(low.len() > 128, "{} of 256 buckets", low.len());
        assert!(high.len() > 64, "{} of 128 tags", high.len());
    }
}
