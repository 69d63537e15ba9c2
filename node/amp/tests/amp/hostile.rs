//! Arbitrary bytes: nothing panics, and what is held is bounded.

use proptest::collection::vec;
use proptest::prelude::*;
use runnel_amp::value::{read_boolean, read_boxes, read_list, read_number, read_text};
use runnel_amp::{AmpBox, Decoder, Event, Limits, Session};

/// Bytes among which short lengths and AMP's own keys are frequent.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..4),
        (0..9_u8).prop_map(|len| vec![0, len]),
        Just(b"\0\x04_ask\0\x011".to_vec()),
        Just(b"\0\x07_answer\0\x011".to_vec()),
        Just(b"\0\x06_error\0\x011\0\x0b_error_code\0\x01x".to_vec()),
        Just(b"\0\x08_command\0\x01a".to_vec()),
        Just(vec![0, 0]),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn limits() -> Limits {
    Limits { box_bytes_max: 1 << 10, pairs_max: 8, asks_max: 3, requests_max: 3, output_bytes_max: 1000 }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm_to_a_decoder(bytes in noise(), chunk in 1..50_usize) {
        let mut decoder = Decoder::new(limits());
        for chunk in bytes.chunks(chunk) {
            decoder.push(chunk);
            while let Ok(Some(read)) = decoder.next_box() {
                prop_assert!(read.len() <= 8 && read.encoded_len() <= 1 << 10);
            }
            prop_assert!(decoder.unread_bytes() <= 1 << 10);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm_to_a_session(bytes in noise(), chunk in 1..50_usize, is_slow: bool) {
        let mut session = Session::new(limits());
        let mut open = Vec::new();
        for chunk in bytes.chunks(chunk) {
            // It may have as many open as are allowed.
            session.ask("Do", AmpBox::new()).ok();
            session.handle_bytes(chunk);
            while let Some(event) = session.poll_event() {
                if let Event::Called(called) = event {
                    open.push(called);
                }
            }
            prop_assert!(session.requests_open() <= 3);
            if !is_slow {
                for called in open.drain(..) {
                    let answered = session.answer(called.request, called.arguments);
                    prop_assert!(answered.is_ok() || !session.wants_bytes());
                }
            }
            session.poll_transmit();
        }
        session.handle_end();
        prop_assert!(std::iter::from_fn(|| session.poll_event()).last().is_none_or(|last| matches!(last, Event::Closed(_))));
        prop_assert!(session.poll_transmit().is_none());
    }

    #[test]
    fn arbitrary_values_are_read_or_refused(value in noise()) {
        let _read = (read_number(&value), read_boolean(&value), read_text(&value), read_list(&value));
        let _boxes = read_boxes(&value, &limits());
    }
}
