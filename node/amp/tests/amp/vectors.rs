//! The golden bytes of `vectors/`, as Twisted wrote them: `vectors/make.py` makes them anew.

use std::collections::BTreeMap;

use bytes::BytesMut;
use runnel_amp::value::{amp_list, boolean, integer, list_of, read_boxes, read_list, read_text};
use runnel_amp::{AmpBox, AskFailure, Decoder, Event, Limits, Session, UNHANDLED};

/// Reads lines of a word and bytes.
fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    text.lines().map(|line| {
        let (word, hex) = line.split_once(' ').expect("a word and bytes");
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("digits"));
        (word, digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect())
    })
}

#[test]
fn values_are_written_as_twisted_writes_them() {
    let values: BTreeMap<_, _> = lines(include_str!("../../vectors/values.txt")).collect();
    for (name, number) in [("integer", 1024), ("integer_negative", -5), ("integer_u64", i128::from(u64::MAX))]
    {
        assert_eq!(integer(number), values[name], "{name}");
    }
    assert_eq!(
        (boolean(true), boolean(false)),
        (values["true"].clone().into(), values["false"].clone().into())
    );
    assert_eq!(read_text(&values["text"]).as_deref(), Ok("häß €"));
    let list = ["-c", "", "echo ä"].map(str::as_bytes);
    assert_eq!(list_of(list).expect("short"), values["list"]);
    assert_eq!(read_list(&values["list"]), Ok(list.to_vec()));
    assert_eq!(read_list(&values["list_empty"]), Ok(vec![]));
    let boxes =
        [AmpBox::new().with("name", "PATH").with("value", "/bin"), AmpBox::new().with("name", "HOME")];
    assert_eq!(amp_list(&boxes).expect("short"), values["boxes"]);
    assert_eq!(read_boxes(&values["boxes"], &Limits::default()), Ok(boxes.to_vec()));
    assert_eq!(read_boxes(&values["boxes_empty"], &Limits::default()), Ok(vec![]));
}

#[test]
fn boxes_are_read_and_written_as_twisted_writes_them() {
    let mut decoder = Decoder::new(Limits::default());
    for (name, bytes) in lines(include_str!("../../vectors/boxes.txt")) {
        decoder.push(&bytes);
        let read = decoder.next_box().expect("Twisted keeps the rules").expect("it is whole");
        let mut written = BytesMut::new();
        read.encode(&mut written).expect("it was written before");
        assert_eq!(written, bytes, "{name}");
    }
    assert!(decoder.is_between_boxes());
}

/// What the server of the vectors does, on a session of ours.
fn serve(session: &mut Session, told: &mut Vec<String>) {
    while let Some(event) = session.poll_event() {
        let Event::Called(called) = event else { panic!("{event:?}") };
        let number = |name: &str| {
            let value = called.arguments.value(name).expect("it is there");
            str::from_utf8(value).expect("digits").parse::<i64>().expect("a number")
        };
        let request = called.request;
        let answered = match &called.command[..] {
            b"Divide" => match number("numerator").checked_div(number("denominator")) {
                Some(result) => session.answer(request, AmpBox::new().with("result", integer(result))),
                None => session.fail(request, "ZERO", "integer division or modulo by zero"),
            },
            b"Told" => {
                told.push(read_text(called.arguments.value("text").expect("it is there")).expect("text"));
                session.answer(request, AmpBox::new())
            }
            _ => session.fail(request, UNHANDLED, "Unhandled Command: b'Missing'"),
        };
        answered.expect("it waits for an answer");
    }
}

#[test]
fn a_session_says_as_a_server_what_twisted_says() {
    let mut session = Session::new(Limits::default());
    let (mut heard, mut told, mut answered) = (Vec::new(), Vec::new(), 0);
    for (side, bytes) in lines(include_str!("../../vectors/session.txt")) {
        if side == "server" {
            if heard.is_empty() {
                session.ask("Progress", AmpBox::new().with("percent", integer(50))).expect("there is room");
                heard.extend(session.poll_transmit().expect("it is asked"));
            }
            assert_eq!(std::mem::take(&mut heard), bytes);
            continue;
        }
        session.handle_bytes(&bytes);
        if bytes.starts_with(b"\0\x07_answer") {
            let event = session.poll_event();
            assert!(matches!(event, Some(Event::Answered { outcome: Ok(_), .. })), "{event:?}");
            answered += 1;
        }
        serve(&mut session, &mut told);
        heard.extend(session.poll_transmit().unwrap_or_default());
    }
    assert_eq!((told, answered), (vec!["häß".to_owned()], 1));
}

#[test]
fn a_session_understands_as_a_client_what_twisted_answers() {
    let mut session = Session::new(Limits::default());
    let division = |by: i64| AmpBox::new().with("numerator", integer(7)).with("denominator", integer(by));
    let asks = [("Divide", division(2)), ("Divide", division(0)), ("Missing", AmpBox::new())];
    let mut answers = lines(include_str!("../../vectors/session.txt"));
    let mut outcomes = Vec::new();
    for (command, arguments) in asks {
        session.ask(command, arguments).expect("there is room");
        let (_, asked) = answers.next().expect("an ask");
        assert_eq!(session.poll_transmit().expect("it is asked"), asked);
        session.handle_bytes(&answers.next().expect("an answer").1);
        let Some(Event::Answered { outcome, .. }) = session.poll_event() else { panic!("an answer") };
        outcomes.push(outcome);
    }
    let refused = |code: &'static str, description: &str| {
        Err(AskFailure::Refused { code: code.into(), description: description.to_owned() })
    };
    assert_eq!(outcomes[0], Ok(AmpBox::new().with("result", "3")));
    assert_eq!(outcomes[1], refused("ZERO", "integer division or modulo by zero"));
    assert_eq!(outcomes[2], refused(UNHANDLED, "Unhandled Command: b'Missing'"));
}
