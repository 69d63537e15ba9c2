//! QUIC variable-length integers (RFC 9000, section 16): kinds, lengths and counts.
//!
//! The shortest form is the only one accepted, so that equal values have equal bytes and equal sizes on both sides.

use bytes::BufMut;

use crate::error::DecodeError;

/// Largest value that fits: 62 bits.
pub(crate) const VARINT_MAX: u64 = (1 << 62) - 1;

/// Returns how many bytes `value` takes: 1, 2, 4 or 8.
pub(crate) fn varint_len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Writes `value` in its shortest form.
///
/// # Panics
///
/// When `value` is above [`VARINT_MAX`]. Kinds, lengths and counts of things that fit in memory never are.
pub(crate) fn put_varint(value: u64, out: &mut impl BufMut) {
    assert!(value <= VARINT_MAX, "{value} does not fit in 62 bits");
    let bytes = value.to_be_bytes();
    let len = varint_len(value);
    let start = bytes.len() - len;
    out.put_u8(bytes[start] | prefix_of(len));
    out.put_slice(&bytes[start + 1..]);
}

/// A varint of which some bytes may not have come yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartialVarint {
    value: u64,
    len: usize,
    missing: usize,
}

impl PartialVarint {
    /// Takes bytes from the front of `input` until the value is complete, and then starts anew.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] when the value has a shorter form.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<u64>, DecodeError> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.add(byte);
            if self.missing == 0 {
                return std::mem::take(self).finish().map(Some);
            }
        }
        Ok(None)
    }

    /// Returns how many bytes of an incomplete value were taken.
    pub(crate) fn buffered(&self) -> usize {
        self.len
    }

    fn add(&mut self, byte: u8) {
        if self.len == 0 {
            self.missing = 1 << (byte >> 6);
            self.value = u64::from(byte & 0x3f);
        } else {
            self.value = self.value << 8 | u64::from(byte);
        }
        self.len += 1;
        self.missing -= 1;
    }

    fn finish(self) -> Result<u64, DecodeError> {
        if self.len != varint_len(self.value) {
            return Err(DecodeError::Malformed { what: "varint that is longer than needed" });
        }
        Ok(self.value)
    }
}

/// The two highest bits of the first byte say how many bytes there are.
fn prefix_of(len: usize) -> u8 {
    match len {
        1 => 0x00,
        2 => 0x40,
        4 => 0x80,
        _ => 0xc0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64, bytes: &[u8]) {
        let mut written = Vec::new();
        put_varint(value, &mut written);
        assert_eq!(written, bytes);
        assert_eq!(varint_len(value), bytes.len());
        let mut input = bytes;
        assert_eq!(PartialVarint::default().read(&mut input), Ok(Some(value)));
        assert!(input.is_empty());
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        check(37, &[0x25]);
        check(15_293, &[0x7b, 0xbd]);
        check(494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]);
        check(151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]);
        check(VARINT_MAX, &[0xff; 8]);
        check(0, &[0]);
    }

    #[test]
    fn longer_forms_are_refused() {
        let mut input = &[0x40, 0x25][..];
        let refused = PartialVarint::default().read(&mut input);
        assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "{refused:?}");
    }

    #[test]
    fn a_value_may_come_byte_by_byte() {
        let mut partial = PartialVarint::default();
        assert_eq!(partial.read(&mut &[0x7b][..]), Ok(None));
        assert_eq!(partial.buffered(), 1);
        assert_eq!(partial.read(&mut &[0xbd, 0x01][..]), Ok(Some(15_293)));
        assert_eq!(partial.buffered(), 0);
    }
}
