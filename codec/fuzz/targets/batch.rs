//! A batch, in chunks: what is read is written again in no more bytes, and reads the same.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use runnel_codec::{
    BATCH_BYTES_MAX, BatchDecoder, StreamKind, encode_message, encode_stream_kind, message_encoded_len,
};
use runnel_codec_fuzz::{LIMITS, assert_bounded, chunks};

fuzz_target!(|input: &[u8]| {
    let mut decoder = BatchDecoder::new(LIMITS);
    let mut again = BytesMut::new();
    encode_stream_kind(StreamKind::Batch, &mut again);
    let mut messages = Vec::new();
    for chunk in chunks(input) {
        decoder.push(chunk);
        while let Ok(Some(head)) = decoder.next_message() {
            let len = again.len();
            encode_message(&head, &mut again);
            assert_eq!(again.len() - len, message_encoded_len(&head));
            messages.push(head);
        }
        assert_bounded(decoder.buffered_bytes());
    }
    assert!(messages.is_empty() || again.len() <= BATCH_BYTES_MAX);
    // Skipped frames are read and not written again.
    assert!(again.len() as u64 <= decoder.completed_bytes().max(1));
    let mut decoder = BatchDecoder::new(LIMITS);
    decoder.push(again.freeze());
    for head in messages {
        assert_eq!(decoder.next_message(), Ok(Some(head)));
    }
});
