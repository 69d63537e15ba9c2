//! What is written reads the same, however it comes.

use bytes::BytesMut;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use runnel_amp::value::{amp_list, list_of, read_boxes, read_list};
use runnel_amp::{AmpBox, Decoder, Event, Limits, Session};

/// A box of short keys and values, as most are, and sometimes a long one.
pub(crate) fn any_box() -> impl Strategy<Value = AmpBox> {
    let value = prop_oneof![9 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 60_000..=65_535)];
    btree_map(vec(any::<u8>(), 1..=255), value, 1..5).prop_map(|pairs| {
        let mut made = AmpBox::new();
        for (key, value) in pairs {
            made.insert(key.into(), value.into());
        }
        made
    })
}

fn limits() -> Limits {
    Limits { box_bytes_max: 1 << 20, ..Limits::default() }
}

proptest! {
    #[test]
    fn boxes_read_as_they_were_written(boxes in vec(any_box(), 1..5), chunk in 1..2000_usize) {
        let mut bytes = BytesMut::new();
        for one in &boxes {
            let before = bytes.len();
            one.encode(&mut bytes).expect("within AMP's limits");
            prop_assert_eq!(bytes.len() - before, one.encoded_len());
        }
        let (mut decoder, mut read) = (Decoder::new(limits()), Vec::new());
        for chunk in bytes.chunks(chunk) {
            decoder.push(chunk);
            while let Some(one) = decoder.next_box().expect("it was written by the rules") {
                read.push(one);
            }
        }
        prop_assert!(decoder.is_between_boxes());
        prop_assert_eq!(read, boxes);
    }

    #[test]
    fn lists_read_as_they_were_written(list in vec(vec(any::<u8>(), 0..50), 0..10), boxes in vec(any_box(), 0..3)) {
        let written = list_of(list.iter().map(Vec::as_slice)).expect("short elements");
        prop_assert_eq!(read_list(&written).expect("whole"), list);
        let written = amp_list(&boxes).expect("within AMP's limits");
        prop_assert_eq!(read_boxes(&written, &limits()).expect("whole"), boxes);
    }

    /// Two sessions: what one asks the other hears, and the answer comes back to its ask.
    #[test]
    fn asks_and_answers_find_each_other(boxes in vec(any_box(), 1..10), rotated in 0..10_usize) {
        let (mut one, mut other) = (Session::new(limits()), Session::new(limits()));
        let mut asks = Vec::new();
        for arguments in &boxes {
            asks.push(one.ask("Do", arguments.clone()).expect("there is room"));
            other.handle_bytes(&one.poll_transmit().expect("it is asked"));
        }
        let mut called = Vec::new();
        while let Some(Event::Called(call)) = other.poll_event() {
            called.push(call);
        }
        let mut expected: Vec<_> = asks.into_iter().zip(boxes).collect();
        let rotated = rotated % expected.len();
        called.rotate_left(rotated);
        expected.rotate_left(rotated);
        for call in called {
            other.answer(call.request, call.arguments).expect("it waits");
            one.handle_bytes(&other.poll_transmit().expect("it is answered"));
        }
        for (ask, arguments) in expected {
            prop_assert_eq!(one.poll_event(), Some(Event::Answered { ask, outcome: Ok(arguments) }));
        }
    }
}
