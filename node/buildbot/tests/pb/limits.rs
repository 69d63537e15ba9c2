//! What a connection is bounded by, and what happens beyond.

use runnel_buildbot::banana::{DecodeError, Element, EncodeError};
use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::{CloseReason, Event, Limits, RemoteId, SendError};

use crate::script::{PERSPECTIVE, Script, remote, words};

#[test]
fn calls_that_wait_are_bounded() {
    let mut script = Script::logged_in(Limits { calls_max: 2, ..Limits::default() });
    let call = |script: &mut Script| script.broker.call(PERSPECTIVE, "keepalive", vec![], vec![]);
    let first = call(&mut script).expect("room");
    call(&mut script).expect("room");
    assert_eq!(call(&mut script), Err(SendError::TooManyCalls { max: 2 }));
    assert_eq!(script.broker.check_room(), Err(SendError::TooManyCalls { max: 2 }));
    script.say(words("answer", [Element::Int(first.to_wire()), Element::Int(0)]));
    assert!(call(&mut script).is_ok());
}

#[test]
fn output_that_waits_stops_calls_and_reading() {
    let mut script = Script::logged_in(Limits { output_bytes_max: 100, ..Limits::default() });
    let block = || vec![Value::Bytes(vec![0; 200].into())];
    script.broker.call(PERSPECTIVE, "write", block(), vec![]).expect("nothing waits");
    assert!(!script.broker.wants_bytes());
    let refused = script.broker.call(PERSPECTIVE, "write", block(), vec![]);
    assert_eq!(refused, Err(SendError::OutputFull { max: 100 }));
    assert_eq!(script.broker.check_room(), Err(SendError::OutputFull { max: 100 }));
    assert_eq!(script.heard().len(), 1);
    assert!(script.broker.wants_bytes());
    assert!(script.broker.call(PERSPECTIVE, "write", block(), vec![]).is_ok());
}

#[test]
fn calls_of_the_peer_that_wait_are_bounded() {
    let mut script = Script::logged_in(Limits { requests_max: 1, ..Limits::default() });
    script.call(1, vec![], 1);
    let events = script.events();
    let [Event::Called(called)] = &events[..] else { panic!("a call") };
    script.call(1, vec![], 1);
    assert_eq!(script.events(), []);
    assert!(matches!(&script.heard()[..], [Element::List(error)] if error[0] == Element::word("error")));
    script.call(1, vec![], 0);
    assert_eq!(script.events().len(), 1, "a call that wants no answer takes no place");

    script.broker.answer(called.request.expect("wanted"), Value::None).expect("it can be sent");
    script.call(1, vec![], 1);
    assert_eq!(script.events().len(), 1);
}

#[test]
fn references_are_bounded() {
    let mut script = Script::logged_in(Limits { references_max: 3, ..Limits::default() });
    let give = |number| vec![Value::Object(runnel_buildbot::ObjectId::from_wire(number))];
    for number in [3, 4, 4] {
        script.call(1, give(number), 0);
    }
    assert_eq!(script.events().len(), 3);
    script.broker.release(RemoteId::from_wire(3));
    script.call(1, give(5), 0);
    assert_eq!(script.events().len(), 1);
    script.call(1, give(6), 0);
    assert_eq!(script.closed(), CloseReason::TooManyReferences { max: 3 });
}

#[test]
fn objects_are_bounded() {
    let mut script = Script::logged_in(Limits { objects_max: 2, ..Limits::default() });
    let object = script.broker.add_object().expect("room beside the mind");
    assert!(script.broker.add_object().is_err());
    script.broker.remove_object(object);
    assert!(script.broker.add_object().is_ok());
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let mut script = Script::logged_in(Limits::default());
    script.broker.handle_bytes(&[1, 0, 0x28, 0x82]);
    let (len, max) = ((640 << 10) + 1, 640 << 10);
    let reason = CloseReason::Undecodable(DecodeError::StringTooLong { len, max });
    assert_eq!(script.closed(), reason);
    script.broker.handle_bytes(b"more");
    assert_eq!(script.events(), []);
}

#[test]
fn limits_that_no_connection_could_keep_are_raised() {
    let limits = Limits {
        string_bytes_max: 0,
        message_bytes_max: 0,
        elements_max: 0,
        depth_max: 0,
        objects_max: 0,
        requests_max: 0,
        ..Limits::default()
    };
    let mut script = Script::logged_in(limits);
    script.call(1, vec![], 1);
    assert_eq!(script.heard().len(), 1, "the error is sent");
}

#[test]
fn what_is_too_long_is_not_sent_and_the_call_still_waits() {
    let mut script = Script::logged_in(Limits::default());
    let long = || Value::Bytes(vec![0; (640 << 10) + 1].into());
    let refused = script.broker.call(PERSPECTIVE, "write", vec![long()], vec![]);
    let (len, max) = ((640 << 10) + 1, 640 << 10);
    let too_long = SendError::Encode(EncodeError::StringTooLong { len, max });
    assert_eq!(refused, Err(too_long.clone()));

    script.call(1, vec![], 1);
    let Some(Event::Called(called)) = script.broker.poll_event() else { panic!("a call") };
    let request = called.request.expect("wanted");
    assert_eq!(script.broker.answer(request, long()), Err(too_long));
    assert_eq!(script.heard(), []);
    assert_eq!(script.broker.fail(request, Failure::new("a.B", "too long")), Ok(()));
    assert_eq!(script.broker.fail(request, Failure::default()), Err(SendError::NoSuchRequest(request)));
    assert_eq!(script.heard().len(), 1);
}

#[test]
fn every_failure_fits_into_a_message() {
    let long = || "ä".repeat(1 << 20);
    let failure = Failure { class: long(), value: long(), traceback: long(), parents: vec![long(); 200] };
    let mut script = Script::logged_in(Limits { message_bytes_max: 0, ..Limits::default() });
    script.call(1, vec![], 1);
    let Some(Event::Called(called)) = script.broker.poll_event() else { panic!("a call") };
    assert_eq!(script.broker.fail(called.request.expect("wanted"), failure), Ok(()));
    assert_eq!(script.heard().len(), 1);
}

#[test]
fn a_reference_in_vain_does_not_cost_a_place() {
    let mut script = Script::logged_in(Limits { references_max: 3, ..Limits::default() });
    for _ in 0..10 {
        let bad = words("tuple", [remote(9), words("module", [Element::word("os")])]);
        script.say(crate::script::call(1, Element::Int(1), bad, 0));
    }
    assert_eq!(script.events(), []);
    let decref = words("decref", [Element::Int(9)]);
    assert_eq!(script.heard(), vec![decref; 10]);
}
