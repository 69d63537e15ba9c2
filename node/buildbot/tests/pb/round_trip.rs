//! What is written is read the same, however the bytes are cut; and what is read is written and read again the same.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use runnel_buildbot::Limits;
use runnel_buildbot::banana::{Decoder, Dialect, Element, encode};
use runnel_buildbot::jelly::{read, write};

use crate::samples;

fn limits() -> Limits {
    Limits { depth_max: 256, ..Limits::default() }
}

fn written(elements: &[Element], dialect: Dialect) -> BytesMut {
    let mut out = BytesMut::new();
    for element in elements {
        encode(element, dialect, &limits(), &mut out).expect("samples are within the limits");
    }
    out
}

fn read_all<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, dialect: Dialect) -> Vec<Element> {
    let mut decoder = Decoder::new(limits());
    decoder.set_dialect(dialect);
    let mut elements = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(element) = decoder.next_element().expect("good bytes") {
            elements.push(element);
        }
    }
    assert_eq!(decoder.unread_bytes(), 0);
    elements
}

proptest! {
    #[test]
    fn elements_are_read_as_they_were_written(
        elements in vec(samples::element(), 1..4),
        dialect in samples::dialect(),
        chunk in 1..50_usize,
    ) {
        let bytes = written(&elements, dialect);
        prop_assert_eq!(&read_all(bytes.chunks(chunk), dialect), &elements);
        prop_assert_eq!(&read_all([&bytes[..]], dialect), &elements);
    }

    #[test]
    fn values_are_read_as_they_were_written(value in samples::value()) {
        let element = write(value.clone(), &limits()).expect("samples are within the limits");
        let bytes = written(&[element], Dialect::Pb);
        let mut elements = read_all([&bytes[..]], Dialect::Pb);
        // What the peer names with our number is ours, so a value is read back with the sides changed.
        let element = elements.pop().expect("one element");
        let turned = read(element, &limits()).expect("a good value");
        let element = write(turned, &limits()).expect("samples are within the limits");
        prop_assert_eq!(read(element, &limits()), Ok(value));
    }

    #[test]
    fn arbitrary_elements_do_no_harm(element in samples::element()) {
        if let Ok(value) = read(element, &limits()) {
            let element = write(value.clone(), &limits()).expect("no deeper than it was");
            let turned = read(element, &limits()).expect("a good value");
            let element = write(turned, &limits()).expect("no deeper than it was");
            prop_assert_eq!(read(element, &limits()), Ok(value));
        }
    }
}
