//! A stream that the peer opened, in chunks: what is read is written again in no more bytes.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use runnel_codec::{
    StreamDecoder, StreamItem, StreamKind, encode_control, encode_frame, encode_head, encode_message,
    encode_stream_kind,
};
use runnel_codec_fuzz::{LIMITS, assert_bounded, chunks};

fuzz_target!(|input: &[u8]| {
    let mut decoder = StreamDecoder::new(LIMITS);
    let mut again = BytesMut::new();
    for chunk in chunks(input) {
        decoder.push(chunk);
        loop {
            match decoder.next_item() {
                Ok(Some(item)) => write(&item, &mut again),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert_bounded(decoder.buffered_bytes());
    }
    // Skipped frames are read and not written again.
    assert!(again.len() as u64 <= decoder.completed_bytes().max(1));
});

fn write(item: &StreamItem, out: &mut BytesMut) {
    match item {
        // The kind of a command's stream is written with the head.
        StreamItem::Kind(StreamKind::Command) => {}
        StreamItem::Kind(kind) => encode_stream_kind(*kind, out),
        StreamItem::Control(frame) => encode_control(frame, out),
        StreamItem::Head(head) => encode_head(head, out),
        StreamItem::Frame(frame) => encode_frame(frame, out),
        StreamItem::Message(head) => encode_message(head, out),
    }
}
