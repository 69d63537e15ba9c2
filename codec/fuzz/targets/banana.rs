//! Elements of a Buildbot master, in chunks: what is read is written again and reads the same, and so are the values in
//! them.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use runnel_buildbot::Limits;
use runnel_buildbot::banana::{Decoder, Dialect, Element, encode};
use runnel_buildbot::jelly::{Value, read, write};
use runnel_codec_fuzz::chunks;

fuzz_target!(|input: &[u8]| {
    let limits = limits();
    let mut decoder = Decoder::new(limits.clone());
    decoder.set_dialect(Dialect::Pb);
    for chunk in chunks(input) {
        decoder.push(&chunk);
        while let Ok(Some(element)) = decoder.next_element() {
            for dialect in [Dialect::None, Dialect::Pb] {
                let again = written(&element, dialect);
                assert_eq!(written(&reread(&again, dialect), dialect), again, "{element:?}");
            }
            if let Ok(value) = read(element, &limits) {
                let turned = turn(value.clone());
                assert_eq!(bytes_of(turn(turned)), bytes_of(value));
            }
        }
        assert!(decoder.unread_bytes() <= limits.string_bytes_max + 65, "it holds what it could read");
    }
});

/// Limits so small that a fuzzer reaches them.
fn limits() -> Limits {
    Limits {
        string_bytes_max: 300,
        message_bytes_max: 1000,
        elements_max: 200,
        depth_max: 8,
        ..Limits::default()
    }
}

/// Writes with more room than was read with: words of the vocabulary may be written out, and copies are made.
fn written(element: &Element, dialect: Dialect) -> BytesMut {
    let mut out = BytesMut::new();
    encode(element, dialect, &Limits::default(), &mut out).expect("no larger than what was read");
    out
}

fn reread(bytes: &[u8], dialect: Dialect) -> Element {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_dialect(dialect);
    decoder.push(bytes);
    decoder.next_element().expect("what is written is good").expect("and whole")
}

/// Writes a value and reads it as the other side does: what was ours is the peer's.
fn turn(value: Value) -> Value {
    let element = write(value, &Limits::default()).expect("no deeper than what was read");
    read(element, &Limits::default()).expect("what is written can be read")
}

/// The bytes of a value: unlike values themselves they can be compared if there is a float that is no number.
fn bytes_of(value: Value) -> BytesMut {
    let element = write(value, &Limits::default()).expect("no deeper than what was read");
    written(&element, Dialect::Pb)
}
