//! One connection, whoever is at its other end.

use proptest::prelude::*;
use runnel_buildbot::jelly::Value;
use runnel_buildbot::msgpack::{
    Ask, CloseReason, Commands, Event, Exchange, Outgoing, ReadError, SendError, read, write,
};
use runnel_buildbot::worker::{MasterCall, MasterCommandId, Update};
use runnel_buildbot::{CallFailure, CallId, Limits};

fn dict(pairs: &[(&str, Value)]) -> Value {
    Value::Dict(pairs.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
}

fn bytes(pairs: &[(&str, Value)]) -> Vec<u8> {
    write(&dict(pairs)).expect("it can be written")
}

fn keep_alive(number: i64) -> Vec<u8> {
    bytes(&[("op", "keepalive".into()), ("seq_number", Value::Int(number))])
}

fn update() -> Vec<Outgoing> {
    vec![Outgoing { op: "update", fields: vec![("command_id".into(), "7".into())] }]
}

fn events(exchange: &mut Exchange) -> Vec<Event> {
    std::iter::from_fn(|| exchange.poll_event()).collect()
}

#[track_caller]
fn check_end(message: &[u8], reason: CloseReason) {
    let mut exchange = Exchange::new(Limits::default());
    let call = exchange.call(update()).expect("there is room").expect("it is said");
    exchange.handle_message(message);
    let lost = Event::Answered { call, outcome: Err(CallFailure::ConnectionLost) };
    assert_eq!(events(&mut exchange), [lost, Event::Closed(reason)]);
    assert!(!exchange.wants_bytes() && exchange.is_closed());
    assert_eq!(exchange.poll_transmit(), None, "nothing is said after the end");
    assert_eq!(exchange.call(update()), Err(SendError::Closed));
    exchange.handle_message(&keep_alive(0));
    exchange.handle_end();
    assert_eq!(exchange.poll_event(), None);
}

#[test]
fn what_breaks_the_rules_ends_the_connection() {
    check_end(b"\xc1", CloseReason::Unreadable(ReadError::UnknownType { marker: 0xc1 }));
    let what = "message without seq_number or op";
    check_end(&bytes(&[("op", "print".into())]), CloseReason::Malformed { what });
    check_end(&bytes(&[("seq_number", Value::Int(0))]), CloseReason::Malformed { what });
    check_end(b"\x93\x01\x02\x03", CloseReason::Malformed { what });
    let answer = bytes(&[("op", "response".into()), ("seq_number", Value::Int(1))]);
    check_end(&answer, CloseReason::UnknownCall { number: 1 });
}

#[test]
fn what_waits_is_bounded() {
    let limits = Limits { calls_max: 2, requests_max: 1, output_bytes_max: 200, ..Limits::default() };
    let mut exchange = Exchange::new(limits);
    // What belongs together is said together.
    let both = [update(), update()].concat();
    assert_eq!(exchange.call(both), Ok(Some(CallId::from_wire(1))));
    assert_eq!(exchange.call(update()), Err(SendError::TooManyCalls { max: 2 }));
    for number in [0, 1] {
        let answer = [("op", "response".into()), ("seq_number", Value::Int(number))];
        exchange.handle_message(&bytes(&answer));
    }
    exchange.handle_message(&keep_alive(8));
    exchange.handle_message(&keep_alive(9));
    let events = events(&mut exchange);
    let [Event::Answered { .. }, Event::Answered { .. }, Event::Asked { request, .. }] = events[..] else {
        panic!("{events:?}");
    };
    let long = Value::Text("x".repeat(300));
    exchange.answer(request, long).expect("answers have room");
    assert!(!exchange.wants_bytes());
    assert_eq!(exchange.check_room(), Err(SendError::OutputFull { max: 200 }));
    let said: Vec<_> = std::iter::from_fn(|| exchange.poll_transmit()).collect();
    let said = said.iter().map(|message| read(message, &Limits::default()).expect("it was written"));
    let said: Vec<_> = said.collect();
    assert_eq!(said.len(), 4);
    assert_eq!(said[2].get("seq_number"), Some(&Value::Int(9)), "there was no room for it");
    assert_eq!(said[2].get("is_exception"), Some(&Value::Bool(true)));
    assert_eq!(said[3].get("seq_number"), Some(&Value::Int(8)));
    assert!(exchange.wants_bytes() && exchange.check_room().is_ok());
    assert_eq!(exchange.answer(request, Value::None), Err(SendError::NoSuchRequest(request)));
}

#[test]
fn an_answer_that_cannot_be_written_can_be_given_in_another_way() {
    let mut exchange = Exchange::new(Limits::default());
    exchange.handle_message(&keep_alive(3));
    let Some(Event::Asked { request, .. }) = exchange.poll_event() else { panic!("a request") };
    let wide = Value::from(i128::MAX);
    assert!(matches!(exchange.answer(request, wide), Err(SendError::Unwritable(_))));
    assert_eq!(exchange.fail(request, "it is too wide".to_owned()), Ok(()));
}

#[test]
fn a_command_that_was_closed_says_nothing() {
    let mut commands = Commands::default();
    let id = MasterCommandId::of(Some(&"7".into())).expect("a name");
    let start = commands.open(id, "listdir", dict(&[("path", "/srv".into())])).expect("it is right");
    let half = MasterCall::Update(vec![Update::Stdout("half a line".to_owned())]);
    assert_eq!(commands.say(start.sink, half, 0.0), Ok(vec![]), "it waits for its rest");
    let end = commands.say(start.sink, MasterCall::Complete(None), 1.0).expect("it is open");
    assert_eq!(end.iter().map(|outgoing| outgoing.op).collect::<Vec<_>>(), ["update", "complete"]);
    assert!(commands.say(start.sink, MasterCall::Unpack, 1.0).is_err(), "it is no upload");
    commands.close(start.sink);
    assert!(commands.say(start.sink, MasterCall::Complete(None), 2.0).is_err());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|number| Value::Float(number.into())),
        ".{0,40}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner), 0..8).prop_map(Value::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_the_same_when_read_again(value in value()) {
        let written = write(&value).expect("each has a form");
        prop_assert_eq!(read(&written, &Limits::default()), Ok(value));
        for len in 0..written.len() {
            prop_assert_eq!(read(&written[..len], &Limits::default()), Err(ReadError::Truncated));
        }
    }

    #[test]
    fn whatever_a_peer_says_is_answered_or_ends_the_connection(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..5),
    ) {
        let mut exchange = Exchange::new(Limits::default());
        let mut commands = Commands::default();
        for message in messages {
            exchange.handle_message(&message);
            while let Some(event) = exchange.poll_event() {
                if let Event::Asked { op, fields, .. } = event {
                    Ask::of(&op, fields, &mut commands).ok();
                }
            }
        }
        exchange.handle_end();
        prop_assert!(exchange.is_closed());
    }
}
