//! What a Buildbot master says on a connection, in chunks, to an application that answers and calls: what the broker
//! says can be read, and after the end it says nothing.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use runnel_buildbot::banana::{Decoder, Dialect, Element, encode};
use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::worker::{BuilderCall, MindCall};
use runnel_buildbot::{Broker, Credentials, Event, Limits};
use runnel_codec_fuzz::chunks;

fuzz_target!(|input: &[u8]| {
    let mut connection = Connection::new();
    for chunk in chunks(input) {
        connection.broker.handle_bytes(&chunk);
        connection.serve();
    }
    connection.broker.handle_end();
    connection.serve();
    assert!(connection.ended, "the end is told");
    assert!(!connection.broker.wants_bytes());
});

struct Connection {
    broker: Broker,
    /// Reads what the broker says.
    decoder: Decoder,
    calls: usize,
    answered: usize,
    ended: bool,
}

impl Connection {
    fn new() -> Self {
        let limits = Limits { requests_max: 3, references_max: 5, calls_max: 4, ..Limits::default() };
        let credentials = Credentials { username: "worker1".into(), password: "secret".into() };
        let broker = Broker::new(limits, credentials);
        Self { broker, decoder: Decoder::new(Limits::default()), calls: 0, answered: 0, ended: false }
    }

    fn serve(&mut self) {
        while let Some(event) = self.broker.poll_event() {
            assert!(!self.ended, "nothing comes after the end");
            self.handle(event);
        }
        while let Some(bytes) = self.broker.poll_transmit() {
            assert!(!self.ended, "nothing is said after the end");
            self.decoder.push(&bytes);
        }
        while let Some(element) = self.decoder.next_element().expect("a broker keeps the rules") {
            match &element {
                Element::Bytes(dialect) if &dialect[..] == b"pb" => self.decoder.set_dialect(Dialect::Pb),
                Element::Bytes(dialect) => assert_eq!(&dialect[..], b"none"),
                _ => {
                    let mut again = BytesMut::new();
                    assert_eq!(encode(&element, Dialect::Pb, &Limits::default(), &mut again), Ok(()));
                }
            }
        }
        assert_eq!(self.decoder.unread_bytes(), 0);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::LoggedIn { perspective } => {
                let object = self.broker.add_object().expect("there is room");
                self.call(perspective, vec![Value::Object(object), Value::Remote(perspective)]);
            }
            Event::Called(called) => {
                let _read = (MindCall::of(&called), BuilderCall::of(&called));
                let all = Value::Tuple(called.args);
                for remote in all.remotes() {
                    self.call(remote, vec![Value::Remote(remote)]);
                }
                if let Some(request) = called.request
                    && self.broker.answer(request, all.clone()).is_err()
                {
                    let failure = Failure::new("builtins.ValueError", called.method);
                    // It waits no more only if the connection has ended.
                    assert!(self.broker.fail(request, failure).is_ok() || !self.broker.wants_bytes());
                }
                self.broker.release_all(&all);
                for (_, value) in called.kwargs {
                    self.broker.release_all(&value);
                }
            }
            Event::Answered { outcome, .. } => {
                self.answered += 1;
                assert!(self.answered <= self.calls, "each call is answered once");
                if let Ok(value) = outcome {
                    self.broker.release_all(&value);
                }
            }
            Event::Unreferenced { .. } => {}
            Event::Closed(_) => {
                self.ended = true;
                assert_eq!(self.answered, self.calls, "each call is answered");
            }
        }
    }

    fn call(&mut self, target: runnel_buildbot::RemoteId, args: Vec<Value>) {
        if self.broker.call(target, "print", args, vec![]).is_ok() {
            self.calls += 1;
        }
    }
}
