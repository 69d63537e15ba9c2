//! Arguments, updates and results as bytes: the one module that names bincode.
//!
//! The format is bincode 2 in its standard configuration (little-endian, variable-length integers) through its own
//! derives, with a limit that is checked before memory is taken. A value takes all of its bytes or is refused. Payloads
//! and bodies never pass here: they travel raw.
//!
//! What a type on the wire must not be: recursive, since input could nest until the stack ends; or a list of elements
//! without size, since its length costs the sender nothing.

use std::cell::Cell;

use bincode::config;
use bincode::enc::write::Writer;
pub use bincode::{Decode, Encode};
use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, EncodeError};

/// Longest encoding of arguments and of one update, in bytes.
pub const SMALL_BODY_BYTES_MAX: usize = 64 << 10;

/// Longest encoding of a result or of a value in a payload, in bytes.
pub const LARGE_BODY_BYTES_MAX: usize = 1 << 20;

/// Small encodings of a thread lie one behind the other in blocks of this size, so that most of them cost no allocation.
///
/// Whoever keeps one keeps its block. One that does not fit has memory of its own, of which nothing is used again: else a
/// small one would keep the memory of a large one.
const BLOCK_BYTES: usize = 2 << 10;

/// A block with less room than this is left: most arguments and results fit.
const TYPICAL_BYTES: usize = 96;

thread_local! {
    /// The rest of the block that this thread encodes into.
    static BLOCK: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Encodes a value.
///
/// The receiver bounds the memory of the value too, at twice the limit: a long list of small elements may be refused by
/// [`decode_body`] although its encoding is short enough. What can grow belongs into a payload or a body.
///
/// # Errors
///
/// When the encoding is longer than `max` bytes, or when the value has none.
pub fn encode_body<T: Encode>(value: &T, max: usize) -> Result<Bytes, EncodeError> {
    // Taken out, since a value's own encoding may encode another.
    let mut block = BLOCK.take();
    if block.capacity() < TYPICAL_BYTES {
        block = BytesMut::with_capacity(BLOCK_BYTES);
    }
    let room = block.capacity();
    let mut out = Bounded { bytes: block, max, overflowed: false };
    let encoded = bincode::encode_into_writer(value, &mut out, config::standard());
    let bytes = out.bytes.split().freeze();
    if bytes.len() <= room {
        BLOCK.set(out.bytes);
    }
    match encoded {
        Ok(()) => Ok(bytes),
        Err(_) if out.overflowed => Err(EncodeError::TooLarge { max }),
        Err(_) => Err(EncodeError::NotEncodable),
    }
}

/// Decodes a value of at most `max` bytes, which must be all of `bytes`.
///
/// The memory that the value takes is bounded as well, before it is taken: by twice [`SMALL_BODY_BYTES_MAX`] if `max` is
/// not above that, else by twice [`LARGE_BODY_BYTES_MAX`], which also is the largest `max`.
///
/// # Errors
///
/// [`DecodeError::TooLarge`] when `bytes` or the memory for the value exceed the limit, [`DecodeError::Malformed`]
/// when the bytes are not exactly one value.
pub fn decode_body<T: Decode<()>>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    let max = max.min(LARGE_BODY_BYTES_MAX);
    if bytes.len() > max {
        return Err(DecodeError::TooLarge { what: "value", len: bytes.len() as u64, max: max as u64 });
    }
    if max <= SMALL_BODY_BYTES_MAX {
        decode_within::<T, { 2 * SMALL_BODY_BYTES_MAX }>(bytes)
    } else {
        decode_within::<T, { 2 * LARGE_BODY_BYTES_MAX }>(bytes)
    }
}

fn decode_within<T: Decode<()>, const MAX: usize>(bytes: &[u8]) -> Result<T, DecodeError> {
    let decoded = bincode::decode_from_slice(bytes, config::standard().with_limit::<MAX>());
    let (value, used) = decoded.map_err(|error| refusal(&error))?;
    if used != bytes.len() {
        return Err(DecodeError::Malformed { what: "value with bytes left over" });
    }
    Ok(value)
}

fn refusal(error: &bincode::error::DecodeError) -> DecodeError {
    let what = match error {
        bincode::error::DecodeError::LimitExceeded => "value that needs more memory than allowed",
        bincode::error::DecodeError::UnexpectedEnd { .. } => "value that ends early",
        _ => "value",
    };
    DecodeError::Malformed { what }
}

/// A buffer that takes no more than its limit.
struct Bounded {
    bytes: BytesMut,
    max: usize,
    overflowed: bool,
}

impl Writer for Bounded {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        if bytes.len() > self.max - self.bytes.len() {
            self.overflowed = true;
            return Err(bincode::error::EncodeError::UnexpectedEnd);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
        let value = vec![1_u8; 9];
        assert_eq!(encode_body(&value, 10).map(|bytes| bytes.len()), Ok(10));
        assert_eq!(encode_body(&value, 9), Err(EncodeError::TooLarge { max: 9 }));
        let bytes = encode_body(&value, 10).unwrap();
        assert_eq!(decode_body::<Vec<u8>>(&bytes, 10), Ok(value));
        let refused = decode_body::<Vec<u8>>(&bytes, 9);
        assert_eq!(refused, Err(DecodeError::TooLarge { what: "value", len: 10, max: 9 }));
    }

    #[test]
    fn bytes_and_texts_may_fill_the_limit() {
        for (max, length_bytes) in [(SMALL_BODY_BYTES_MAX, 3), (LARGE_BODY_BYTES_MAX, 5)] {
            let value = (7_u64, "x".repeat(max - 1 - length_bytes));
            let bytes = encode_body(&value, max).unwrap();
            assert_eq!(bytes.len(), max);
            assert_eq!(decode_body(&bytes, max), Ok(value));
        }
    }

    #[test]
    fn encodings_of_one_thread_do_not_touch_each_other() {
        let values: Vec<Vec<u8>> = (0..200).map(|number| vec![number; usize::from(number) * 16]).collect();
        let encoded: Vec<Bytes> = values.iter().map(|value| encode_body(value, 4096).unwrap()).collect();
        assert_eq!(encode_body(&vec![1_u8; 5000], 4096), Err(EncodeError::TooLarge { max: 4096 }));
        for (bytes, value) in encoded.iter().zip(&values) {
            assert_eq!(&decode_body::<Vec<u8>>(bytes, 4096).unwrap(), value);
        }
    }

    #[test]
    fn a_small_encoding_does_not_keep_the_memory_of_a_large_one() {
        for len in [BLOCK_BYTES - 8, 3000, 4096, 100_000, 1 << 19] {
            BLOCK.set(BytesMut::new());
            encode_body(&vec![1_u8; len], LARGE_BODY_BYTES_MAX).unwrap();
            let rest = BLOCK.take().capacity();
            assert!(rest == 0 || len + rest <= BLOCK_BYTES, "{rest} bytes are left behind {len}");
        }
    }

    #[test]
    fn bytes_left_over_are_refused() {
        let refused = decode_body::<u8>(&[1, 2], 64);
        assert_eq!(refused, Err(DecodeError::Malformed { what: "value with bytes left over" }));
    }

    #[test]
    fn a_lying_length_takes_no_memory() {
        let lie = encode_body(&u64::MAX, 64).unwrap();
        for max in [64, LARGE_BODY_BYTES_MAX] {
            let refused = decode_body::<Vec<u64>>(&lie, max);
            let what = "value that needs more memory than allowed";
            assert_eq!(refused, Err(DecodeError::Malformed { what }));
        }
    }

    #[test]
    fn values_end_where_they_say() {
        let refused = decode_body::<String>(&[3, b'a'], 64);
        assert_eq!(refused, Err(DecodeError::Malformed { what: "value that ends early" }));
    }
}
