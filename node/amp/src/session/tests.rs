//! Sessions against a script of bytes.

use super::*;
use crate::decode::DecodeError;

/// A session, and what the other side of it would say.
struct Script(Session);

impl Script {
    fn new(limits: Limits) -> Self {
        Self(Session::new(limits))
    }

    fn say(&mut self, said: AmpBox) {
        let mut bytes = BytesMut::new();
        said.encode(&mut bytes).expect("it can be said");
        self.0.handle_bytes(&bytes);
    }

    fn call(&mut self, tag: &'static str) -> RequestId {
        self.say(AmpBox::new().with(COMMAND, "Do").with(ASK, tag).with("a", "1"));
        match self.0.poll_event() {
            Some(Event::Called(called)) => called.request,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn hears(&mut self, expected: &[AmpBox]) {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(&self.0.poll_transmit().unwrap_or_default());
        let said: Vec<_> =
            std::iter::from_fn(|| decoder.next_box().expect("a session keeps the rules")).collect();
        assert_eq!(said, expected);
    }

    #[track_caller]
    fn has_ended(mut self, reason: CloseReason) {
        assert_eq!(self.0.poll_event(), Some(Event::Closed(reason)));
        assert!(!self.0.wants_bytes());
        assert_eq!(self.0.poll_transmit(), None);
        assert_eq!(self.0.ask("Do", AmpBox::new()), Err(SendError::Closed));
    }
}

fn script() -> Script {
    Script::new(Limits::default())
}

fn refused(tag: &'static str, code: &'static str, description: &'static str) -> AmpBox {
    AmpBox::new().with(ERROR, tag).with(ERROR_CODE, code).with(ERROR_DESCRIPTION, description)
}

#[test]
fn a_command_is_answered_once() {
    let mut script = script();
    let request = script.call("1f");
    script.0.answer(request, AmpBox::new().with("b", "2")).unwrap();
    script.hears(&[AmpBox::new().with(ANSWER, "1f").with("b", "2")]);
    assert_eq!(script.0.answer(request, AmpBox::new()), Err(SendError::NoSuchRequest(request)));
    assert_eq!(script.0.fail(request, "x", "y"), Err(SendError::NoSuchRequest(request)));
}

#[test]
fn an_answer_that_is_too_long_leaves_the_command_open() {
    let mut script = script();
    let request = script.call("1");
    let long = AmpBox::new().with("b", vec![0; 70_000]);
    assert!(matches!(script.0.answer(request, long), Err(SendError::Encode(_))));
    script.0.fail(request, "too-large", &"ä".repeat(40_000)).unwrap();
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(&script.0.poll_transmit().expect("it was answered"));
    let said = decoder.next_box().unwrap().expect("whole");
    assert_eq!(said.value(ERROR_DESCRIPTION).map(Bytes::len), Some(DESCRIPTION_BYTES_MAX));
}

#[test]
fn a_command_that_wants_no_answer_gets_none() {
    let mut script = script();
    script.say(AmpBox::new().with(COMMAND, "Do"));
    let Some(Event::Called(called)) = script.0.poll_event() else { panic!("a call") };
    assert!(!called.wants_answer);
    script.0.fail(called.request, UNHANDLED, "there is no such command").unwrap();
    script.hears(&[]);
    assert_eq!(script.0.requests_open(), 0);
}

#[test]
fn asks_are_answered_in_any_order() {
    let mut script = script();
    let first = script.0.ask("Output", AmpBox::new().with("data", "x")).unwrap();
    let second = script.0.ask("Ended", AmpBox::new()).unwrap();
    script.hears(&[
        AmpBox::new().with(ASK, "1").with(COMMAND, "Output").with("data", "x"),
        AmpBox::new().with(ASK, "2").with(COMMAND, "Ended"),
    ]);
    script.say(refused("2", "no", "not now"));
    script.say(AmpBox::new().with(ANSWER, "1").with("c", "3"));
    let failure = AskFailure::Refused { code: "no".into(), description: "not now".to_owned() };
    assert_eq!(script.0.poll_event(), Some(Event::Answered { ask: second, outcome: Err(failure) }));
    let answer = AmpBox::new().with("c", "3");
    assert_eq!(script.0.poll_event(), Some(Event::Answered { ask: first, outcome: Ok(answer) }));
}

#[test]
fn commands_above_the_bound_are_refused() {
    let mut script = Script::new(Limits { requests_max: 1, ..Limits::default() });
    let request = script.call("1");
    script.say(AmpBox::new().with(COMMAND, "Do").with(ASK, "2"));
    let description = "1 commands of this connection wait for their answer: wait for one of them";
    script.hears(&[refused("2", BUSY, description)]);
    script.0.answer(request, AmpBox::new()).unwrap();
    script.call("3");
    script.say(AmpBox::new().with(COMMAND, "Do"));
    script.has_ended(CloseReason::TooManyCommands { max: 1 });
}

#[test]
fn what_is_asked_and_not_read_is_bounded() {
    let mut script = Script::new(Limits { asks_max: 2, output_bytes_max: 200, ..Limits::default() });
    script.0.ask("Output", AmpBox::new().with("data", vec![0; 300])).unwrap();
    assert!(!script.0.wants_bytes());
    assert_eq!(script.0.ask("Output", AmpBox::new()), Err(SendError::OutputFull { max: 200 }));
    assert!(script.0.poll_transmit().is_some());
    script.0.ask("Output", AmpBox::new()).unwrap();
    assert_eq!(script.0.ask("Output", AmpBox::new()), Err(SendError::TooManyAsks { max: 2 }));
}

#[test]
fn what_breaks_the_rules_ends_the_connection() {
    let closed_by = |said: AmpBox, reason| {
        let mut script = script();
        script.say(said);
        script.has_ended(reason);
    };
    closed_by(AmpBox::new().with(ANSWER, "1"), CloseReason::UnknownAsk);
    closed_by(AmpBox::new().with(ERROR, "1").with(ERROR_CODE, "x"), CloseReason::UnknownAsk);
    closed_by(AmpBox::new().with(ERROR, "1"), CloseReason::Malformed { what: "error without a code" });
    let neither = CloseReason::Malformed { what: "box that neither asks nor answers" };
    closed_by(AmpBox::new().with(ASK, "1"), neither);
    let mut script = script();
    script.0.handle_bytes(b"\0\0");
    script.has_ended(CloseReason::Undecodable(DecodeError::EmptyBox));
}

#[test]
fn the_end_answers_every_ask() {
    let mut script = script();
    let ask = script.0.ask("Output", AmpBox::new()).unwrap();
    script.call("1");
    script.0.handle_end();
    let lost = Event::Answered { ask, outcome: Err(AskFailure::ConnectionLost) };
    assert_eq!(script.0.poll_event(), Some(lost));
    assert_eq!(script.0.requests_open(), 0);
    script.has_ended(CloseReason::Ended);
}
