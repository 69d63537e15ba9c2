//! The bytes that Twisted writes: read as what they are, and written alike. `vectors/make.py` makes them.

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use runnel_buildbot::banana::{Decoder, Dialect, Element, encode};
use runnel_buildbot::jelly::{Failure, JellyError, Value, read, write};
use runnel_buildbot::{Broker, Called, Event, Limits, RemoteId};

use crate::script::{credentials, words};

/// Lines of a file, each without its last word, which is bytes.
fn vectors(name: &str) -> Vec<(String, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let text = std::fs::read_to_string(path).expect("the vectors are committed");
    let lines = text.lines().map(|line| {
        let (name, hex) = line.rsplit_once(' ').expect("a name and bytes");
        (name.to_owned(), bytes_of(hex))
    });
    lines.collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn decoded(bytes: &[u8], dialect: Dialect) -> Element {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_dialect(dialect);
    decoder.push(bytes);
    let element = decoder.next_element().expect("Twisted's bytes are good").expect("and whole");
    assert_eq!(decoder.unread_bytes(), 0);
    element
}

fn encoded(element: &Element, dialect: Dialect) -> BytesMut {
    let mut out = BytesMut::new();
    encode(element, dialect, &Limits::default(), &mut out).expect("within the limits");
    out
}

fn element_of(name: &str) -> Option<Element> {
    let bytes = |bytes: Vec<u8>| Element::Bytes(Bytes::from(bytes));
    Some(match name {
        "zero" => Element::Int(0),
        "one" => Element::Int(1),
        "largest_int" => Element::Int(0x7fff_ffff),
        "smallest_long_int" => Element::Int(0x8000_0000),
        "largest_i64" => Element::Int(i64::MAX),
        "above_i64" => Element::from(i128::from(i64::MAX) + 1),
        "largest_u64" => Element::from(i128::from(u64::MAX)),
        "minus_one" => Element::Int(-1),
        "smallest_neg" => Element::Int(-0x8000_0000),
        "largest_long_neg" => Element::Int(-0x8000_0001),
        "smallest_i64" => Element::Int(i64::MIN),
        "below_i64" => Element::from(i128::from(i64::MIN) - 1),
        "float" => Element::Float(1.5),
        "float_negative" => Element::Float(-0.1),
        "float_infinite" => Element::Float(f64::INFINITY),
        "string_empty" => bytes(vec![]),
        "string" => Element::word("hello"),
        "string_200" => bytes((0..200).collect()),
        "word" => Element::word("message"),
        "list_empty" => Element::List(vec![]),
        "list" => Element::List(vec![
            Element::Int(1),
            words("two", [Element::List(vec![Element::Float(3.0)])]),
            Element::List(vec![]),
        ]),
        _ => return None,
    })
}

#[test]
fn banana_is_read_and_written_as_twisted_writes_it() {
    let vectors = vectors("banana.txt");
    assert_eq!(vectors.len(), 48);
    for (name, bytes) in vectors {
        let (name, dialect) = name.split_once(' ').expect("a name and a dialect");
        let dialect = if dialect == "pb" { Dialect::Pb } else { Dialect::None };
        let element = decoded(&bytes, dialect);
        assert_eq!(encoded(&element, dialect), bytes, "{name}");
        match (name, element_of(name)) {
            (_, Some(expected)) => assert_eq!(element, expected, "{name}"),
            ("words", None) => assert!(matches!(element, Element::List(words) if words.len() == 31)),
            ("largest_of_all" | "smallest_of_all", None) => assert!(matches!(element, Element::Long(_))),
            _ => panic!("{name} has no expectation"),
        }
    }
}

/// What a value of `jelly.txt` is, and whether it is written as Twisted writes it.
fn value_of(name: &str) -> (Result<Value, JellyError>, bool) {
    let pair = |key: Value, value: Value| (key, value);
    let shared = Value::List(vec![Value::Int(1), "two".into()]);
    let alike = |value| (Ok(value), true);
    match name {
        "none" => alike(Value::None),
        "true" => alike(Value::Bool(true)),
        "false" => alike(Value::Bool(false)),
        "int" => alike(Value::Int(-5)),
        "long" => alike(Value::from(i128::from(u64::MAX))),
        "float" => alike(Value::Float(0.25)),
        "bytes" => alike(Value::Bytes(Bytes::from_static(b"\0\xff"))),
        "bytes_word" => alike(Value::Bytes(Bytes::from_static(b"message"))),
        "text" => alike("häß €".into()),
        "text_word" => alike("message".into()),
        "list" => alike(Value::List(vec![Value::Int(1), Value::List(vec![]), Value::List(vec!["a".into()])])),
        "tuple" => alike(Value::Tuple(vec![Value::Int(1), Value::Tuple(vec!["b".into()])])),
        "dict" => alike(Value::Dict(vec![
            pair("a".into(), Value::Int(1)),
            pair(Value::Bytes(Bytes::from_static(b"b")), Value::None),
            pair(Value::Int(3), Value::Dict(vec![pair("c".into(), Value::Tuple(vec![]))])),
        ])),
        "set" => alike(Value::Set(vec![Value::Int(7)])),
        "frozenset" => (Ok(Value::Set(vec![Value::Int(8)])), false),
        "shared" => {
            let again = Value::Dict(vec![pair("again".into(), shared.clone())]);
            (Ok(Value::Tuple(vec![shared.clone(), shared, again])), false)
        }
        "cycle" => (Err(JellyError::Unfinished), false),
        "failure" => (Ok(failure("Traceback unavailable\n")), false),
        "failure_traced" => {
            let traceback = "Traceback (most recent call last):\n\
                             Failure: builtins.OSError: [Errno 28] No space left on device\n";
            (Ok(failure(traceback)), false)
        }
        _ => panic!("{name} has no expectation"),
    }
}

fn failure(traceback: &str) -> Value {
    let parents = ["builtins.OSError", "builtins.Exception", "builtins.BaseException", "builtins.object"];
    Value::Failure(Box::new(Failure {
        class: "builtins.OSError".to_owned(),
        value: "[Errno 28] No space left on device".to_owned(),
        traceback: traceback.to_owned(),
        parents: parents.map(str::to_owned).to_vec(),
    }))
}

#[test]
fn jelly_is_read_and_written_as_twisted_writes_it() {
    let vectors = vectors("jelly.txt");
    assert_eq!(vectors.len(), 19);
    for (name, bytes) in vectors {
        let (expected, is_written_alike) = value_of(&name);
        assert_eq!(read(decoded(&bytes, Dialect::Pb), &Limits::default()), expected, "{name}");
        if let (Ok(value), true) = (expected, is_written_alike) {
            let element = write(value, &Limits::default()).expect("within the limits");
            assert_eq!(encoded(&element, Dialect::Pb), bytes, "{name}");
        }
    }
}

/// The worker's part in `session.txt`.
struct Worker {
    broker: Broker,
    perspective: Option<RemoteId>,
    command: Option<RemoteId>,
    writer: Option<RemoteId>,
    answers: usize,
}

impl Worker {
    fn handle(&mut self, event: Event) {
        match event {
            Event::LoggedIn { perspective } => self.perspective = Some(perspective),
            Event::Called(called) => self.serve(called),
            Event::Answered { outcome, .. } => {
                self.answers += 1;
                self.go_on(outcome.map_err(|error| error.to_string()));
            }
            // This server keeps neither the mind nor the builder for longer than it calls them.
            Event::Unreferenced { .. } => {}
            Event::Closed(reason) => panic!("{reason}"),
        }
    }

    fn serve(&mut self, called: Called) {
        let text = |text: &str| Value::from(text);
        let answer = match called.method.as_str() {
            "getWorkerInfo" => Value::Dict(vec![
                (text("environ"), Value::Dict(vec![(text("HOME"), text("/home/w"))])),
                (text("system"), text("posix")),
                (text("numcpus"), Value::Int(2)),
            ]),
            "setBuilderList" => {
                let builder = self.broker.add_object().expect("there is room");
                Value::Dict(vec![(text("linux"), Value::Object(builder))])
            }
            "startCommand" => {
                assert_eq!(called.args[3].get("workersrc"), Some(&text("out.bin")));
                self.command = Value::remotes(&called.args[0]).pop();
                self.writer = Value::remotes(&called.args[3]).pop();
                Value::None
            }
            _ => Value::None,
        };
        self.broker.answer(called.request.expect("an answer is wanted"), answer).expect("it can be sent");
        if called.method == "startCommand" {
            let block = Value::Bytes(Bytes::from_static(b"block"));
            self.call(self.writer, "write", vec![block]);
        }
    }

    fn go_on(&mut self, outcome: Result<Value, String>) {
        match self.answers {
            1 => {
                self.call(self.writer, "close", vec![]);
                let update =
                    Value::Dict(vec![("header".into(), "sending".into()), ("rc".into(), Value::Int(0))]);
                let update = Value::List(vec![update, Value::Int(0)]);
                self.call(self.command, "update", vec![Value::List(vec![update])]);
                self.call(self.command, "complete", vec![Value::None]);
            }
            3 => assert_eq!(outcome, Ok(Value::Int(0))),
            4 => {
                for remote in [self.writer, self.command] {
                    self.broker.release(remote.expect("it came with the command"));
                }
                self.call(self.perspective, "refuse", vec![]);
            }
            5 => {
                assert_eq!(outcome, Err("the peer answers with twisted.spread.pb.Error: not this".to_owned()))
            }
            _ => assert_eq!(outcome, Ok(Value::None)),
        }
    }

    fn call(&mut self, target: Option<RemoteId>, method: &str, args: Vec<Value>) {
        let target = target.expect("it came before");
        self.broker.call(target, method, args, vec![]).expect("it can be sent");
    }
}

#[test]
fn a_worker_says_what_a_worker_with_twisted_says() {
    let broker = Broker::new(Limits::default(), credentials());
    let mut worker = Worker { broker, perspective: None, command: None, writer: None, answers: 0 };
    let (mut expected, mut said) = (Vec::new(), Vec::new());
    for (side, bytes) in vectors("session.txt") {
        if side == "client" {
            expected.extend(bytes);
            continue;
        }
        worker.broker.handle_bytes(&bytes);
        while let Some(event) = worker.broker.poll_event() {
            worker.handle(event);
        }
        said.extend(std::iter::from_fn(|| worker.broker.poll_transmit()).flatten());
    }
    assert_eq!(worker.answers, 5);
    assert_eq!(said, expected);
}
