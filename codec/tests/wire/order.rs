//! The state tables of `WIRE.md`, cell by cell: which frame may come where.

use runnel_codec::*;

use crate::samples;
use crate::streams::*;

/// Asserts that after `before`, each frame of `all` is taken if it is in `allowed` and is refused otherwise.
#[track_caller]
fn check_state<T: Clone>(
    state: &str,
    before: &[&str],
    allowed: &[&str],
    all: &[(&'static str, T)],
    read: impl Fn(&[T]) -> (usize, Result<(), DecodeError>),
) {
    let named = |name: &str| {
        all.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no frame {name}")).1.clone()
    };
    let before: Vec<T> = before.iter().map(|name| named(name)).collect();
    assert!(allowed.iter().all(|name| all.iter().any(|(known, _)| known == name)), "{state}: {allowed:?}");
    for (name, frame) in all {
        let frames: Vec<T> = before.iter().cloned().chain([frame.clone()]).collect();
        let (taken, end) = read(&frames);
        if allowed.contains(name) {
            assert_eq!(taken, frames.len(), "{name} is taken {state}: {end:?}");
        } else {
            assert_eq!(taken, before.len(), "{name} is refused {state}");
            assert!(matches!(end, Err(DecodeError::UnexpectedFrame { .. })), "{name} {state}: {end:?}");
        }
    }
}

#[track_caller]
fn check_command(payload_bytes: u32, has_body: bool, before: &[&str], allowed: &[&str]) {
    let head = Head { payload_bytes, has_body, ..samples::head().1 };
    let state = format!("with payload {payload_bytes}, body {has_body}, after {before:?}");
    check_state(&state, before, allowed, &samples::stream_frames(), |frames| {
        let stream = write_command_stream(&head, frames);
        let (items, end) = read_all(&mut CommandStreamDecoder::new(LIMITS), [stream]);
        (items.len() - 1, end)
    });
}

#[track_caller]
fn check_replies(before: &[&str], allowed: &[&str]) {
    check_state(&format!("after {before:?}"), before, allowed, &samples::stream_frames(), |frames| {
        let (items, end) = read_all(&mut ReplyDecoder::new(LIMITS, 6), [write_frames(frames)]);
        (items.len(), end)
    });
}

#[track_caller]
fn check_control(from: ControlSide, before: &[&str], allowed: &[&str]) {
    let state = format!("from {from:?} after {before:?}");
    check_state(&state, before, allowed, &samples::control_frames(), |frames| {
        let chunks = [write_control(from, frames)];
        match from {
            ControlSide::Acceptor => {
                let (items, end) = read_all(&mut ControlDecoder::new(LIMITS), chunks);
                (items.len(), end)
            }
            ControlSide::Dialler => {
                let (items, end) = read_all(&mut StreamDecoder::new(LIMITS), chunks);
                (items.len() - 1, end)
            }
        }
    });
}

#[test]
fn a_command_stream_has_what_its_head_announced_and_nothing_else() {
    let payload_bytes = samples::PAYLOAD.len().try_into().expect("a short payload");
    check_command(payload_bytes, false, &[], &["Payload"]);
    check_command(payload_bytes, false, &["Payload"], &[]);
    check_command(payload_bytes, true, &[], &["Payload"]);
    check_command(payload_bytes, true, &["Payload"], &["Body", "BodyEnd"]);
    check_command(0, true, &[], &["Body", "BodyEnd"]);
    check_command(0, true, &["Body"], &["Body", "BodyEnd"]);
    check_command(0, true, &["Body", "BodyEnd"], &[]);
    check_command(0, false, &[], &[]);
}

#[test]
fn a_batch_has_messages_and_nothing_else() {
    let messages = write_batch(&samples::messages());
    for (name, frame) in samples::stream_frames() {
        let stream = [&messages[..], &write_frames(&[frame])].concat();
        let (items, end) = read_all(&mut BatchDecoder::new(LIMITS), [stream.into()]);
        assert_eq!(items.len(), 2);
        assert!(matches!(end, Err(DecodeError::UnexpectedFrame { .. })), "{name}: {end:?}");
    }
    let heads = messages.slice(1..);
    let welcome = ControlFrame::HelloAnswer(Box::new(HelloAnswer::Welcome(samples::hello())));
    let head = write_command_stream(&samples::head().1, &[]);
    let accepted = write_frames(&[StreamFrame::Accepted { body_received: 0, body_credit: 0 }]);
    let after = |before: &[u8]| [[before, &heads[..]].concat().into()];
    let elsewhere = [
        read_all(&mut CommandStreamDecoder::new(LIMITS), after(&head)).1,
        read_all(&mut ReplyDecoder::new(LIMITS, 0), after(&accepted)).1,
        read_all(&mut ControlDecoder::new(LIMITS), after(&write_control(ControlSide::Acceptor, &[welcome])))
            .1,
    ];
    for end in elsewhere {
        assert!(matches!(end, Err(DecodeError::UnexpectedFrame { frame: "Message", .. })), "{end:?}");
    }
}

#[test]
fn a_payload_has_exactly_the_announced_length() {
    let head = Head { payload_bytes: 5, has_body: false, ..samples::head().1 };
    for len in [0, 4, 6] {
        let stream = write_command_stream(&head, &[StreamFrame::Payload(vec![0; len].into())]);
        let (_, end) = read_all(&mut CommandStreamDecoder::new(LIMITS), [stream]);
        assert_eq!(end, Err(DecodeError::Malformed { what: "Payload" }), "{len}");
    }
}

#[test]
fn answers_begin_with_acceptance_or_a_last_word() {
    check_replies(&[], &["Accepted", "Outcome", "Busy", "Stale", "Duplicate"]);
    check_replies(&["Accepted"], &["Started", "Update", "ResultBody", "ResultBodyEnd", "Outcome"]);
    check_replies(&["Accepted", "Started"], &["Update", "ResultBody", "ResultBodyEnd", "Outcome"]);
    check_replies(&["Accepted", "ResultBodyEnd"], &["Started", "Update", "Outcome"]);
    check_replies(&["Accepted", "Started", "ResultBodyEnd"], &["Update", "Outcome"]);
}

#[test]
fn nothing_follows_a_last_word() {
    for last in ["Outcome", "Busy", "Stale", "Duplicate"] {
        check_replies(&[last], &[]);
    }
    check_replies(&["Accepted", "Outcome"], &[]);
    let skippable = [&write_frames(&[StreamFrame::Stale])[..], &[0x3e, 0x00]].concat();
    let (_, end) = read_all(&mut ReplyDecoder::new(LIMITS, 0), [skippable.into()]);
    assert!(matches!(end, Err(DecodeError::UnexpectedFrame { .. })), "{end:?}");
}

#[test]
fn updates_are_numbered_without_gaps() {
    let accepted = StreamFrame::Accepted { body_received: 0, body_credit: 0 };
    let update = |number| StreamFrame::Update { number, content: bytes::Bytes::new() };
    for (numbers, is_good) in
        [(&[7, 8][..], true), (&[6], false), (&[8], false), (&[7, 7], false), (&[0], false)]
    {
        let mut frames = vec![accepted.clone()];
        frames.extend(numbers.iter().map(|number| update(*number)));
        let (items, end) = read_all(&mut ReplyDecoder::new(LIMITS, 6), [write_frames(&frames)]);
        assert_eq!(items.len() == frames.len(), is_good, "{numbers:?}: {end:?}");
    }
}

#[test]
fn answers_that_end_without_a_last_word_are_truncated() {
    let mut decoder = ReplyDecoder::new(LIMITS, 0);
    let accepted = StreamFrame::Accepted { body_received: 0, body_credit: 0 };
    let (items, end) = read_all(&mut decoder, [write_frames(&[accepted])]);
    assert_eq!((items.len(), end), (1, Err(DecodeError::Truncated)));
    assert_eq!(end.map_err(|error| error.close_code()), Err(CloseCode::Malformed));
}

#[test]
fn hellos_come_first_and_from_the_right_side() {
    let open = [
        "Heartbeat",
        "Cancel",
        "Settled",
        "Taken",
        "StreamEnded",
        "Credit",
        "Received",
        "GoAway",
        "Reached.Accepted",
        "Reached.Started",
        "Reached.Done",
        "Ended.Outcome",
        "Ended.Busy",
        "Ended.Stale",
        "Ended.Duplicate",
    ];
    check_control(ControlSide::Dialler, &[], &["Hello"]);
    check_control(ControlSide::Dialler, &["Hello"], &[&["Hello"], &open[..]].concat());
    check_control(ControlSide::Acceptor, &[], &["HelloAnswer.Welcome", "HelloAnswer.TooLow"]);
    check_control(
        ControlSide::Acceptor,
        &["HelloAnswer.TooLow"],
        &["HelloAnswer.Welcome", "HelloAnswer.TooLow"],
    );
    check_control(
        ControlSide::Acceptor,
        &["HelloAnswer.Welcome"],
        &[&["HelloAnswer.Welcome"], &open[..]].concat(),
    );
}
