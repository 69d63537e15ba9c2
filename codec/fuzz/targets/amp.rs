//! What a Twisted program says on a connection of AMP, in chunks, to an application that answers and asks: what the
//! session says can be read and reads the same when it is written again, and after the end it says nothing.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use runnel_amp::value::{read_boolean, read_boxes, read_list, read_number, read_text};
use runnel_amp::{Decoder, Event, Limits, Session, UNHANDLED};
use runnel_codec_fuzz::chunks;

fuzz_target!(|input: &[u8]| {
    let mut connection = Connection {
        session: Session::new(limits()),
        decoder: Decoder::new(Limits::default()),
        asks: 0,
        answered: 0,
        ended: false,
    };
    for chunk in chunks(input) {
        connection.session.handle_bytes(&chunk);
        connection.serve();
    }
    connection.session.handle_end();
    connection.serve();
    assert!(connection.ended, "the end is told");
    assert!(!connection.session.wants_bytes());
});

struct Connection {
    session: Session,
    /// Reads what the session says.
    decoder: Decoder,
    asks: usize,
    answered: usize,
    ended: bool,
}

/// Limits so small that a fuzzer reaches them.
fn limits() -> Limits {
    Limits { box_bytes_max: 1 << 10, pairs_max: 8, asks_max: 4, requests_max: 3, output_bytes_max: 1 << 12 }
}

impl Connection {
    fn serve(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.ended, "nothing comes after the end");
            self.handle(event);
        }
        assert!(self.session.requests_open() <= 3);
        while let Some(bytes) = self.session.poll_transmit() {
            assert!(!self.ended, "nothing is said after the end");
            self.decoder.push(&bytes);
        }
        while let Some(said) = self.decoder.next_box().expect("a session keeps the rules") {
            let mut again = BytesMut::new();
            assert_eq!(said.encode(&mut again), Ok(()));
            assert_eq!(again.len(), said.encoded_len());
        }
        assert!(self.decoder.is_between_boxes());
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Called(called) => {
                for (_, value) in called.arguments.iter() {
                    let _read = (read_number(value), read_boolean(value), read_text(value), read_list(value));
                    let _boxes = read_boxes(value, &limits());
                }
                if self.session.ask("Output", called.arguments.clone()).is_ok() {
                    self.asks += 1;
                }
                // Some stay open, so that the bound is reached.
                match called.command.first() {
                    Some(b'a') => {}
                    Some(b'f') => drop(self.session.fail(called.request, UNHANDLED, "no such command")),
                    _ => drop(self.session.answer(called.request, called.arguments)),
                }
            }
            Event::Answered { .. } => {
                self.answered += 1;
                assert!(self.answered <= self.asks, "each ask is answered once");
            }
            Event::Closed(_) => {
                self.ended = true;
                assert_eq!(self.answered, self.asks, "each ask is answered");
            }
        }
    }
}

