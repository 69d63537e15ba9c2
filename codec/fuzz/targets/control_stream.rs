//! The acceptor's direction of the control stream, in chunks: what is read is written again and reads the same.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use runnel_codec::{ControlDecoder, control_encoded_len, encode_control};
use runnel_codec_fuzz::{LIMITS, assert_bounded, chunks};

fuzz_target!(|input: &[u8]| {
    let mut decoder = ControlDecoder::new(LIMITS);
    let mut again = BytesMut::new();
    let mut frames = Vec::new();
    for chunk in chunks(input) {
        decoder.push(chunk);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let len = again.len();
            encode_control(&frame, &mut again);
            assert_eq!(again.len() - len, control_encoded_len(&frame));
            frames.push(frame);
        }
        assert_bounded(decoder.buffered_bytes());
    }
    let mut decoder = ControlDecoder::new(LIMITS);
    decoder.push(again.freeze());
    for frame in frames {
        assert_eq!(decoder.next_frame(), Ok(Some(frame)));
    }
});
