//! Arbitrary bytes: nothing panics, and what is held is bounded.

use proptest::collection::vec;
use proptest::prelude::*;
use runnel_buildbot::banana::Decoder;
use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::worker::{BuilderCall, MindCall};
use runnel_buildbot::{Broker, Called, Event, Limits, ObjectId, RemoteId};

use crate::samples;
use crate::script::{Script, call, credentials, jelly, words};

/// Bytes among which types, short lengths and words are frequent.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0x80..=0x87_u8, 0..=6_u8, any::<u8>(), Just(b'x')];
    vec(byte, 0..400)
}

/// Takes every event as an application that answers each call with its arguments, and calls what it is given.
fn serve(broker: &mut Broker) {
    while let Some(event) = broker.poll_event() {
        match event {
            Event::Called(called) => {
                let values: Vec<_> =
                    called.kwargs.into_iter().map(|(_, value)| value).chain(called.args).collect();
                let remotes = Value::Tuple(values.clone()).remotes();
                for &remote in &remotes {
                    // It may name objects that are not ours, for one.
                    let _sent = broker.call(remote, "print", values.clone(), vec![]);
                }
                if let Some(request) = called.request
                    && broker.answer(request, Value::List(values)).is_err()
                {
                    let failed = broker.fail(request, Failure::default());
                    while broker.poll_transmit().is_some() {}
                    assert_eq!(failed.is_ok(), broker.wants_bytes(), "{failed:?}");
                }
                remotes.into_iter().for_each(|remote| broker.release(remote));
            }
            Event::Answered { outcome: Ok(value), .. } => broker.release_all(&value),
            _ => {}
        }
    }
    while broker.poll_transmit().is_some() {}
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm_to_a_decoder(bytes in noise(), chunk in 1..50_usize) {
        let limits = Limits { string_bytes_max: 50, message_bytes_max: 200, ..Limits::default() };
        let mut decoder = Decoder::new(limits);
        for chunk in bytes.chunks(chunk) {
            decoder.push(chunk);
            while let Ok(Some(_)) = decoder.next_element() {}
            prop_assert!(decoder.unread_bytes() <= 50 + 65);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm_to_a_broker(bytes in noise(), chunk in 1..50_usize) {
        let mut broker = Broker::new(Limits::default(), credentials());
        for chunk in bytes.chunks(chunk) {
            broker.handle_bytes(chunk);
            serve(&mut broker);
        }
        let mut script = Script::logged_in(Limits::default());
        for chunk in bytes.chunks(chunk) {
            script.broker.handle_bytes(chunk);
            serve(&mut script.broker);
        }
    }

    #[test]
    fn arbitrary_messages_do_no_harm_to_a_broker(
        messages in vec((0..6, samples::element(), samples::value(), 0..4_i64), 1..20),
    ) {
        let mut script = Script::logged_in(Limits { requests_max: 3, references_max: 50, ..Limits::default() });
        for (kind, element, value, number) in messages {
            let number = || runnel_buildbot::banana::Element::Int(number);
            script.say(match kind {
                0 => call(1, number(), element, 1),
                1 => call(1, number(), jelly(Value::Tuple(vec![value])), 1),
                2 => words("answer", [number(), jelly(value)]),
                3 => words("error", [number(), element]),
                4 => words("decref", [number()]),
                _ => element,
            });
            serve(&mut script.broker);
        }
    }

    #[test]
    fn arbitrary_arguments_are_read_or_refused(
        kind in 0..COMMANDS.len(),
        arguments in vec((0..ARGUMENTS.len(), samples::value()), 0..20),
        value in samples::value(),
    ) {
        let object = ObjectId::from_wire(1);
        for method in ["print", "setBuilderList", "interruptCommand"] {
            let args = vec![value.clone()];
            let called = Called { request: None, object, method: method.to_owned(), args, kwargs: vec![] };
            let _read = (MindCall::of(&called), BuilderCall::of(&called));
        }
        let sink = Value::Remote(RemoteId::from_wire(1));
        let arguments = arguments.into_iter().map(|(name, value)| (ARGUMENTS[name].into(), value));
        let mut args = vec![sink.clone(), "7".into(), COMMANDS[kind].into()];
        // What is needed is there, unless it is something else.
        let needed = ["workdir", "command", "workersrc", "workerdest", "dir", "fromdir", "todir", "file", "path"];
        let needed = needed.map(|name| (name.into(), "a".into()));
        let more = [("writer".into(), sink.clone()), ("reader".into(), sink), ("blocksize".into(), Value::Int(9))];
        args.push(Value::Dict(needed.into_iter().chain(more).chain(arguments).collect()));
        let method = "startCommand".to_owned();
        let called = Called { request: None, object, method, args, kwargs: vec![] };
        let _read = BuilderCall::of(&called);
    }
}

const COMMANDS: [&str; 11] = [
    "shell",
    "uploadFile",
    "uploadDirectory",
    "downloadFile",
    "mkdir",
    "rmdir",
    "cpdir",
    "stat",
    "glob",
    "listdir",
    "rmfile",
];

const ARGUMENTS: [&str; 20] = [
    "workdir",
    "command",
    "env",
    "timeout",
    "maxTime",
    "max_lines",
    "sigtermTime",
    "want_stdout",
    "initial_stdin",
    "logfiles",
    "usePTY",
    "interruptSignal",
    "workersrc",
    "writer",
    "blocksize",
    "maxsize",
    "keepstamp",
    "compress",
    "mode",
    "dir",
];
