//! What proves that no row is missing: how many there are, and the sum of their checksums.
//!
//! A row's own checksum says nothing about rows that have vanished or are older than they should be. The digest is written
//! with each batch, so that rows and digest disagree whenever a part of the database is not what was committed.

use bytes::Bytes;

use crate::store::format::{Content, checksum_in, decode_value, seal_inline};

/// Under which key it is stored: before all rows.
pub(super) const DIGEST_KEY: &[u8] = &[0];

/// Number of rows, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    rows: u64,
    sum: u64,
}

impl Digest {
    /// Counts a row in.
    pub(super) fn add(&mut self, value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum_in(value));
    }

    /// Counts a row out.
    pub(super) fn remove(&mut self, value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum_in(value));
    }

    /// Makes the value that is stored.
    pub(super) fn to_value(self) -> Bytes {
        let content = u128::from(self.rows) << 64 | u128::from(self.sum);
        seal_inline(DIGEST_KEY, &content.to_be_bytes())
    }

    /// Reads the value that is stored. `None`: that is not one.
    pub(super) fn from_value(value: &[u8]) -> Option<Self> {
        let Ok(Content::Inline(content)) = decode_value(DIGEST_KEY, Bytes::copy_from_slice(value)) else {
            return None;
        };
        let (rows, sum) = content.split_at_checked(8)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        Some(Self { rows: number(rows)?, sum: number(sum)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_rows_in_any_order_and_reads_back() {
        let (a, b) = (seal_inline(b"a", b"1"), seal_inline(b"b", b"1"));
        let (mut first, mut second) = (Digest::default(), Digest::default());
        first.add(&a);
        first.add(&b);
        second.add(&b);
        assert_ne!(first, second);
        second.add(&a);
        assert_eq!(first, second);
        assert_eq!(Digest::from_value(&first.to_value()), Some(first));
        first.remove(&a);
        first.remove(&b);
        assert_eq!(first, Digest::default());
        assert_eq!(Digest::from_value(&a), None);
    }
}
