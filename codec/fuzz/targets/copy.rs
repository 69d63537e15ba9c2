//! A datagram: what is read is written again as the same bytes, and what is skipped is of an even kind.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use runnel_codec::{COPY_HEADER_BYTES_MAX, StreamCopy};

fuzz_target!(|input: &[u8]| {
    match StreamCopy::decode(Bytes::copy_from_slice(input)) {
        Ok(Some(copy)) => {
            assert_eq!(&copy.encode()[..], input, "{copy:?}");
            assert!(input.len() <= COPY_HEADER_BYTES_MAX + copy.bytes.len(), "{copy:?}");
        }
        // The kind's last byte is even, wherever it ends.
        Ok(None) => {
            let kind_bytes = input.first().map_or(0, |first| 1 << (first >> 6));
            assert_eq!(input[kind_bytes - 1] % 2, 0, "{input:?}");
        }
        Err(_) => {}
    }
});
