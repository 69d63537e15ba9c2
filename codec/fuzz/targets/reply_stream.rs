//! The answers to a head, in chunks: each takes as many bytes as it says, and the last is the last.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runnel_codec::{ReplyDecoder, frame_encoded_len};
use runnel_codec_fuzz::{LIMITS, assert_bounded, chunks};

fuzz_target!(|input: &[u8]| {
    let mut decoder = ReplyDecoder::new(LIMITS, 0);
    let mut known_bytes = 0;
    for chunk in chunks(input) {
        decoder.push(chunk);
        loop {
            let was_complete = decoder.is_complete();
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    assert!(!was_complete, "{frame:?} follows the last frame");
                    known_bytes += frame_encoded_len(&frame) as u64;
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(known_bytes <= decoder.completed_bytes());
        assert_bounded(decoder.buffered_bytes());
    }
});
