//! A head in one chunk: what is read is written again as the same bytes.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use runnel_codec::{CommandItem, CommandStreamDecoder, Limits, encode_head, head_encoded_len};

fuzz_target!(|input: &[u8]| {
    let mut decoder = CommandStreamDecoder::new(Limits::default());
    decoder.push(Bytes::copy_from_slice(input));
    let Ok(Some(CommandItem::Head(head))) = decoder.next_item() else {
        return;
    };
    let mut again = BytesMut::new();
    encode_head(&head, &mut again);
    assert!(input.starts_with(&again), "{head:?}");
    assert_eq!(again.len(), head_encoded_len(&head));
});
