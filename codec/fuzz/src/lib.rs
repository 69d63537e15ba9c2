//! What the fuzz targets share: cutting the input into chunks, and holding a decoder to its bounds.

use bytes::Bytes;
use runnel_codec::Limits;

/// Limits so small that a fuzzer reaches them.
pub const LIMITS: Limits = Limits {
    args_bytes_max: 512,
    payload_bytes_max: 2048,
    piece_bytes_max: 512,
    update_bytes_max: 256,
    result_bytes_max: 1024,
    control_bytes_max: 1024,
};

/// Cuts the input into chunks; its first byte says how long they are.
pub fn chunks(input: &[u8]) -> impl Iterator<Item = Bytes> {
    let (&len, stream) = input.split_first().unwrap_or((&0, &[]));
    stream.chunks(usize::from(len) + 1).map(Bytes::copy_from_slice)
}

/// Asserts that a decoder that wants more holds no more than the longest frame and an unfinished prefix.
pub fn assert_bounded(buffered_bytes: usize) {
    assert!(buffered_bytes <= LIMITS.payload_bytes_max + 8, "{buffered_bytes} bytes are held");
}
