//! The conversation: greeting, login, calls in both directions, references and endings.

use bytes::Bytes;
use runnel_buildbot::banana::{DialectError, Element};
use runnel_buildbot::jelly::{Failure, JellyError, Value};
use runnel_buildbot::{
    CallFailure, CallId, Called, CloseReason, Event, Limits, ObjectId, RemoteId, SendError,
};

use crate::script::{PERSPECTIVE, Script, call, challenge, jelly, remote, words};

const PB_ERROR: &str = "twisted.spread.pb.Error";

fn logged_in() -> Script {
    Script::logged_in(Limits::default())
}

fn answer(number: i64, value: Element) -> Element {
    words("answer", [Element::Int(number), value])
}

fn error(number: i64, failure: &Failure) -> Element {
    words("error", [Element::Int(number), jelly(Value::Failure(Box::new(failure.clone())))])
}

fn decref(number: i64) -> Element {
    words("decref", [Element::Int(number)])
}

#[track_caller]
fn one_call(script: &mut Script) -> Called {
    match (script.broker.poll_event(), script.broker.poll_event()) {
        (Some(Event::Called(called)), None) => called,
        other => panic!("{other:?} instead of one call"),
    }
}

#[test]
fn the_greeting_is_answered_and_the_login_begins() {
    let mut script = Script::new(Limits::default());
    assert_eq!(script.heard(), []);
    script.offer();
    let login = call(1, Element::word("root"), words("tuple", [Element::word("worker1")]), 1);
    let Element::List(mut login) = login else { panic!("a list") };
    login[3] = Element::word("login");
    let version = words("version", [Element::Int(6)]);
    assert_eq!(script.heard(), [Element::word("pb"), version, Element::List(login)]);
}

#[test]
fn the_challenge_is_answered_with_the_mind_and_given_back() {
    let mut script = Script::greeted(Limits::default());
    script.say(answer(1, challenge()));
    let heard = script.heard();
    let [Element::List(respond), given_back] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(respond[2..4], [Element::Int(1), Element::word("respond")]);
    let Element::List(args) = &respond[5] else { panic!("arguments") };
    assert!(matches!(&args[1], Element::Bytes(hash) if hash.len() == 16));
    assert_eq!(args[2], remote(script.broker.mind().to_wire()));
    assert_eq!(*given_back, decref(1));
}

#[test]
fn calls_are_served_before_the_login_is_answered() {
    let mut script = Script::greeted(Limits::default());
    script.say(answer(1, challenge()));
    script.heard();
    script.call(1, vec!["attached".into()], 1);
    let called = one_call(&mut script);
    assert_eq!((called.object, called.args), (script.broker.mind(), vec!["attached".into()]));
    script.broker.answer(called.request.expect("wanted"), Value::None).expect("it can be sent");
    assert_eq!(script.heard(), [answer(1, jelly(Value::None))]);
    script.say(answer(2, remote(2)));
    assert_eq!(script.events(), [Event::LoggedIn { perspective: PERSPECTIVE }]);
}

#[test]
fn the_mind_cannot_be_called_before_it_was_given() {
    let mut script = Script::greeted(Limits::default());
    script.call(1, vec![], 1);
    assert_eq!(script.events(), []);
    assert_eq!(script.heard(), [error(1, &Failure::new(PB_ERROR, "Invalid Object ID"))]);
}

#[test]
fn a_refused_login_ends_the_connection() {
    for number in [1, 2] {
        let mut script = Script::greeted(Limits::default());
        if number == 2 {
            script.say(answer(1, challenge()));
        }
        let failure = Failure::new("twisted.cred.error.UnauthorizedLogin", "");
        script.say(error(number, &failure));
        assert_eq!(script.closed(), CloseReason::LoginRefused(failure));
    }
}

#[test]
fn odd_answers_to_the_login_end_the_connection() {
    let mut script = Script::greeted(Limits::default());
    script.say(answer(1, jelly(Value::None)));
    assert_eq!(script.closed(), CloseReason::Malformed { what: "challenge" });

    let mut script = Script::greeted(Limits::default());
    script.say(answer(1, challenge()));
    script.say(answer(2, jelly(Value::None)));
    assert_eq!(script.closed(), CloseReason::Malformed { what: "answer to the login" });

    let mut script = Script::greeted(Limits::default());
    script.say(words("error", [Element::Int(1), jelly("no failure".into())]));
    assert_eq!(script.closed(), CloseReason::Malformed { what: "answer to the login" });
}

#[test]
fn another_greeting_ends_the_connection() {
    let mut script = Script::new(Limits::default());
    script.say(Element::List(vec![Element::word("newer")]));
    assert_eq!(script.closed(), CloseReason::NoDialect(DialectError::NoneKnown));

    let mut script = Script::new(Limits::default());
    script.offer();
    script.say(words("version", [Element::Int(7)]));
    assert_eq!(script.closed(), CloseReason::Version { version: 7 });

    let mut script = Script::new(Limits::default());
    script.offer();
    script.say(answer(1, challenge()));
    assert_eq!(script.closed(), CloseReason::Malformed { what: "version" });
    assert_eq!(script.heard(), [], "nothing is said any more");
}

#[test]
fn a_call_goes_out_and_its_answer_comes_in() {
    let mut script = logged_in();
    let kwargs = vec![("message".to_owned(), Value::Int(2))];
    let first = script.broker.call(PERSPECTIVE, "first", vec![Value::Int(1)], kwargs).expect("sent");
    let second = script.broker.call(PERSPECTIVE, "second", vec![], vec![]).expect("sent");
    let args = words("tuple", [Element::Int(1)]);
    let name = words("unicode", [Element::word("message")]);
    let kwargs = words("dictionary", [Element::List(vec![name, Element::Int(2)])]);
    let (number, want) = (Element::Int(first.to_wire()), Element::Int(1));
    let expected = words("message", [number, Element::Int(2), Element::word("first"), want, args, kwargs]);
    assert_eq!(script.heard()[0], expected);

    script.say(answer(second.to_wire(), Element::Int(22)));
    let failure = Failure::new("builtins.OSError", "disk full");
    script.say(error(first.to_wire(), &failure));
    let answered = |call, outcome| Event::Answered { call, outcome };
    assert_eq!(
        script.events(),
        [answered(second, Ok(Value::Int(22))), answered(first, Err(CallFailure::Raised(failure))),]
    );
    script.say(answer(first.to_wire(), Element::Int(0)));
    assert_eq!(script.closed(), CloseReason::UnknownCall { number: first.to_wire() });
}

#[test]
fn an_answer_that_is_not_read_fails_its_call_alone() {
    let mut script = logged_in();
    let call = script.broker.call(PERSPECTIVE, "first", vec![], vec![]).expect("sent");
    script.say(answer(call.to_wire(), words("datetime", [Element::word("2026 1 1")])));
    let refused = CallFailure::Unreadable(JellyError::NotAllowed { kind: "datetime".to_owned() });
    assert_eq!(script.events(), [Event::Answered { call, outcome: Err(refused) }]);
    assert!(script.broker.wants_bytes());
}

#[test]
fn an_exception_of_another_kind_fails_its_call_alone() {
    let mut script = logged_in();
    let call = script.broker.call(PERSPECTIVE, "first", vec![], vec![]).expect("sent");
    script.heard();
    script.say(words("error", [Element::Int(call.to_wire()), remote(9)]));
    let refused = CallFailure::Unreadable(JellyError::Malformed { what: "failure" });
    assert_eq!(script.events(), [Event::Answered { call, outcome: Err(refused) }]);
    assert_eq!(script.heard(), [decref(9)]);
}

#[test]
fn arguments_come_by_position_and_by_name() {
    let mut script = logged_in();
    let Element::List(mut message) = call(1, Element::Int(1), words("tuple", [Element::Int(1)]), 0) else {
        panic!("a list")
    };
    let pairs = vec![("why".into(), "stop".into())];
    message[6] = jelly(Value::Dict(pairs));
    script.say(Element::List(message.clone()));
    let called = one_call(&mut script);
    assert_eq!(called.request, None, "no answer is wanted");
    assert_eq!(called.argument(0, "id"), Some(&Value::Int(1)));
    assert_eq!(called.argument(1, "why"), Some(&"stop".into()));
    assert_eq!(called.argument(1, "other"), None);

    for kwargs in [
        jelly(Value::Dict(vec![(Value::Int(1), Value::None)])),
        jelly(Value::Dict(vec![("a".into(), Value::None), ("a".into(), Value::None)])),
        jelly(Value::None),
    ] {
        message[4] = Element::Int(1);
        message[6] = kwargs;
        script.say(Element::List(message.clone()));
        assert_eq!(script.events(), []);
        assert_eq!(script.heard().len(), 1, "an error");
    }
}

#[test]
fn a_call_of_what_is_not_there_is_refused_and_what_came_with_it_goes_back() {
    let mut script = logged_in();
    let args = words("tuple", [remote(9)]);
    for (object, args) in [
        (Element::Int(77), args.clone()),
        (Element::word("root"), args.clone()),
        (Element::Int(1), words("tuple", [remote(9), words("os.system", [])])),
    ] {
        script.say(call(5, object, args, 1));
        assert_eq!(script.events(), []);
        let heard = script.heard();
        assert!(heard.contains(&decref(9)), "{heard:?}");
        assert!(
            heard.iter().any(|said| matches!(said, Element::List(said) if said[0] == Element::word("error")))
        );
    }
    script.say(call(5, Element::Int(77), args, 0));
    assert_eq!(script.heard(), [decref(9)]);
}

#[test]
fn a_request_is_answered_under_the_number_of_the_peer() {
    let mut script = logged_in();
    for _ in 0..2 {
        script.say(call(-3, Element::Int(1), words("tuple", []), 1));
    }
    let events = script.events();
    let [Event::Called(first), Event::Called(second)] = &events[..] else { panic!("{events:?}") };
    let (first, second) = (first.request.expect("wanted"), second.request.expect("wanted"));
    assert_ne!(first, second);
    script.broker.answer(second, Value::Int(2)).expect("sent");
    let failure = Failure::new("builtins.ValueError", "no");
    script.broker.fail(first, failure.clone()).expect("sent");
    assert_eq!(script.broker.answer(second, Value::None), Err(SendError::NoSuchRequest(second)));
    assert_eq!(script.heard(), [answer(-3, Element::Int(2)), error(-3, &failure)]);
}

#[test]
fn an_object_is_there_as_long_as_it_is_held() {
    let mut script = logged_in();
    let object = script.broker.add_object().expect("room");
    let number = object.to_wire();
    script.call(number, vec![], 1);
    assert_eq!(script.heard().len(), 1, "an error: it was not given");

    for _ in 0..2 {
        script.broker.call(PERSPECTIVE, "take", vec![Value::Object(object)], vec![]).expect("sent");
    }
    script.heard();
    script.call(number, vec![], 0);
    assert_eq!(one_call(&mut script).object, object);
    script.say(decref(number));
    assert_eq!(script.events(), []);
    script.say(decref(number));
    assert_eq!(script.events(), [Event::Unreferenced { object }]);
    script.call(number, vec![], 0);
    assert_eq!(script.events(), []);

    script.broker.call(PERSPECTIVE, "take", vec![Value::Object(object)], vec![]).expect("sent");
    script.broker.remove_object(object);
    let refused = script.broker.call(PERSPECTIVE, "take", vec![Value::Object(object)], vec![]);
    assert_eq!(refused, Err(SendError::NoSuchObject(object)));
    script.say(decref(number));
    assert_eq!(script.events(), [], "a late word about a removed object");
    script.say(decref(number));
    assert_eq!(script.closed(), CloseReason::UnknownObject(object));
}

#[test]
fn an_object_of_the_peer_goes_back_when_all_that_came_are_released() {
    let mut script = logged_in();
    let theirs = RemoteId::from_wire(9);
    for _ in 0..2 {
        script.say(call(1, Element::Int(1), words("tuple", [remote(9)]), 0));
    }
    script.broker.call(theirs, "write", vec![Value::Remote(theirs)], vec![]).expect("sent");
    let heard = script.heard();
    let [Element::List(said)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(said[5], words("tuple", [words("local", [Element::Int(9)])]));

    script.broker.release(theirs);
    assert_eq!(script.heard(), []);
    script.broker.release_all(&Value::List(vec![Value::Remote(theirs)]));
    assert_eq!(script.heard(), [decref(9), decref(9)]);
    let refused = script.broker.call(theirs, "write", vec![], vec![]);
    assert_eq!(refused, Err(SendError::NotHeld(theirs)));
    let refused = script.broker.call(PERSPECTIVE, "write", vec![Value::Remote(theirs)], vec![]);
    assert_eq!(refused, Err(SendError::NotHeld(theirs)));
    script.broker.release(theirs);
    assert_eq!(script.heard(), []);
}

#[test]
fn our_object_comes_home_as_ours() {
    let mut script = logged_in();
    script.say(call(1, Element::Int(1), words("tuple", [words("local", [Element::Int(1)])]), 0));
    assert_eq!(one_call(&mut script).args, [Value::Object(ObjectId::from_wire(1))]);
}

#[test]
fn caches_and_unknown_words_are_refused_and_the_connection_goes_on() {
    let mut script = logged_in();
    let long = Element::Bytes(Bytes::from(vec![b'x'; 100]));
    script.say(words("decache", [Element::Int(1)]));
    script.say(words("uncache", [Element::Int(1)]));
    script.say(Element::List(vec![long]));
    script.say(words("didNotUnderstand", [Element::word("version")]));
    let cut = Element::Bytes(Bytes::from(vec![b'x'; 64]));
    let not_understood = [Element::word("decache"), Element::word("uncache"), cut]
        .map(|word| words("didNotUnderstand", [word]));
    assert_eq!(script.heard(), not_understood);

    let Element::List(mut message) = call(8, Element::Int(1), words("tuple", []), 1) else {
        panic!("a list")
    };
    message[0] = Element::word("cachemessage");
    script.say(Element::List(message));
    assert_eq!(script.heard(), [error(8, &Failure::new(PB_ERROR, "Invalid Object ID"))]);
    let call = script.broker.call(PERSPECTIVE, "observe", vec![], vec![]).expect("sent");
    script.say(answer(call.to_wire(), words("cache", [Element::Int(1)])));
    assert!(matches!(
        &script.events()[..],
        [Event::Answered { outcome: Err(CallFailure::Unreadable(_)), .. }]
    ));
    assert!(script.broker.wants_bytes());
}

#[test]
fn the_end_fails_what_waits_in_order_and_is_told_once() {
    let mut script = logged_in();
    let calls: Vec<CallId> =
        (0..20).map(|_| script.broker.call(PERSPECTIVE, "x", vec![], vec![]).expect("sent")).collect();
    script.call(1, vec![], 1);
    let request = one_call(&mut script).request.expect("wanted");
    script.broker.handle_end();
    script.broker.handle_end();
    let lost = |call| Event::Answered { call, outcome: Err(CallFailure::ConnectionLost) };
    let mut expected: Vec<_> = calls.into_iter().map(lost).collect();
    expected.push(Event::Closed(CloseReason::Ended));
    assert_eq!(script.events(), expected);
    assert_eq!(script.heard(), []);
    assert!(!script.broker.wants_bytes());
    assert_eq!(script.broker.call(PERSPECTIVE, "x", vec![], vec![]), Err(SendError::Closed));
    assert_eq!(script.broker.answer(request, Value::None), Err(SendError::NoSuchRequest(request)));
    script.broker.release(PERSPECTIVE);
    assert_eq!(script.heard(), []);
}
