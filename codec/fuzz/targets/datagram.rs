//! A datagram of either kind: an announcement is read and written alike, a copy is what the decoder of copies says.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use runnel_codec::{Datagram, StreamCopy};

fuzz_target!(|input: &[u8]| {
    let datagram = Bytes::copy_from_slice(input);
    let read = Datagram::decode(datagram.clone());
    if let Ok(Some(Datagram::Announcement(boot))) = read {
        assert_eq!(&Datagram::encode_announcement(boot)[..], input, "{boot:?}");
        // An older node, which knows copies alone, skips it.
        assert_eq!(StreamCopy::decode(datagram), Ok(None));
        return;
    }
    let copy = StreamCopy::decode(datagram).map(|copy| copy.map(Datagram::Copy));
    // What begins like an announcement and is none is malformed, not skipped.
    let is_broken = input.first() == Some(&2);
    assert!(read == copy || (is_broken && read.is_err()), "{read:?} {copy:?}");
});
