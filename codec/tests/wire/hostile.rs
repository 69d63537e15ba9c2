//! No bytes make a decoder panic, stand still or hold more than its limits.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use runnel_codec::*;

use crate::samples::ours::Sample;
use crate::streams::*;

/// Random bytes in which kinds and lengths make sense more often than chance would have it.
fn noise() -> impl Strategy<Value = Bytes> {
    let token = prop_oneof![
        4 => (0..0x40_u8).prop_map(|kind| vec![kind]),
        4 => (0..0x40_u8).prop_map(|len| vec![len]),
        1 => Just(vec![0x50, 0x00]),
        1 => Just(vec![0xff; 8]),
        2 => vec(any::<u8>(), 0..64),
    ];
    vec(token, 0..60).prop_map(|tokens| tokens.concat().into())
}

/// Changes some bytes of a stream.
fn spoil(stream: &Bytes, changes: &[(Index, u8)]) -> Bytes {
    let mut bytes = stream.to_vec();
    for (index, value) in changes {
        let index = index.index(bytes.len());
        bytes[index] ^= value;
    }
    bytes.into()
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec((any::<Index>(), any::<u8>()), 1..6)
}

/// Feeds a stream to a decoder, which may make of it what it wants: `read_all` holds it to its promises.
fn feed<D: Decoder>(mut decoder: D, stream: &Bytes, lens: &[usize]) {
    let (items, _) = read_all(&mut decoder, cut(stream, lens));
    assert!(items.len() <= stream.len());
}

/// Feeds the same stream to every decoder.
fn feed_all(stream: &Bytes, lens: &[usize]) {
    feed(StreamDecoder::new(LIMITS), stream, lens);
    feed(CommandStreamDecoder::new(LIMITS), stream, lens);
    feed(ReplyDecoder::new(LIMITS, 0), stream, lens);
    feed(ControlDecoder::new(LIMITS), stream, lens);
    feed(BatchDecoder::new(LIMITS), stream, lens);
}

/// Asserts that `items` is the beginning of `all`, and all of it unless something was refused.
#[track_caller]
fn assert_prefix<T: PartialEq + std::fmt::Debug>(items: &[T], all: &[T], end: Result<(), DecodeError>) {
    assert_eq!(items, &all[..items.len()]);
    if items.len() < all.len() {
        assert!(
            matches!(end, Err(DecodeError::UnexpectedFrame { .. } | DecodeError::Malformed { .. })),
            "{end:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_of_a_close_is_misread(
        text in prop_oneof![".*", "(; retry after |[0-9]{1,21}| ms|[ a-z])*"],
        bytes in vec(any::<u8>(), 0..2000),
        pause in prop::option::of(1..u64::MAX),
    ) {
        for whole in [text.as_bytes(), &bytes] {
            let read = CloseText::decode(whole);
            prop_assert!(read.retry_after.is_none_or(|pause| pause > Duration::ZERO && pause <= CLOSE_PAUSE_MAX));
            prop_assert!(read.encode().len() <= MESSAGE_BYTES_MAX);
        }
        if let Some(pause) = pause.map(Duration::from_millis) {
            let close = CloseText { text: text.clone(), retry_after: Some(pause) };
            let read = CloseText::decode(close.encode().as_bytes());
            prop_assert_eq!(read.retry_after, Some(pause.min(CLOSE_PAUSE_MAX)));
            prop_assert!(text.starts_with(&read.text));
        }
    }

    #[test]
    fn noise_is_refused_or_read(stream in noise(), lens in chunk_lens()) {
        feed_all(&stream, &lens);
        for kind in [[0x01], [0x03], [0x35]] {
            let stream = [&kind[..], &stream].concat().into();
            feed(StreamDecoder::new(LIMITS), &stream, &lens);
        }
    }

    #[test]
    fn noise_after_a_good_beginning_is_refused_or_read(head in head(9), stream in noise(), lens in chunk_lens()) {
        let command = [&write_command_stream(&head, &[]), &stream].map(|part| &part[..]).concat().into();
        feed_all(&command, &lens);
        let accepted = write_frames(&[StreamFrame::Accepted { body_received: 0, body_credit: 0 }]);
        feed_all(&[&accepted[..], &stream].concat().into(), &lens);
        feed_all(&[&write_batch(&crate::samples::messages())[..], &stream].concat().into(), &lens);
    }

    #[test]
    fn spoiled_streams_are_refused_or_read(
        (head, frames) in command_stream(),
        replies in replies(0),
        messages in batch(),
        dialler in dialler_frames(),
        acceptor in acceptor_frames(),
        changes in changes(),
        lens in chunk_lens(),
    ) {
        feed_all(&spoil(&write_command_stream(&head, &frames), &changes), &lens);
        feed_all(&spoil(&write_frames(&replies), &changes), &lens);
        feed_all(&spoil(&write_batch(&messages), &changes), &lens);
        feed_all(&spoil(&write_control(ControlSide::Dialler, &dialler), &changes), &lens);
        feed_all(&spoil(&write_control(ControlSide::Acceptor, &acceptor), &changes), &lens);
    }

    #[test]
    fn frames_in_any_order_are_read_up_to_the_first_wrong_one(
        head in head(4096),
        frames in vec(stream_frame(), 0..8),
        lens in chunk_lens(),
    ) {
        let stream = write_command_stream(&head, &frames);
        let (items, end) = read_all(&mut CommandStreamDecoder::new(LIMITS), cut(&stream, &lens));
        let mut all = vec![CommandItem::Head(head)];
        all.extend(frames.iter().cloned().map(CommandItem::Frame));
        assert_prefix(&items, &all, end);

        let (items, end) = read_all(&mut ReplyDecoder::new(LIMITS, 0), cut(&write_frames(&frames), &lens));
        assert_prefix(&items, &frames, end);
    }

    #[test]
    fn control_frames_in_any_order_are_read_up_to_the_first_wrong_one(
        frames in vec(prop_oneof![control_frame().boxed(), dialler_frames().prop_map(|mut frames| frames.remove(0)).boxed(), acceptor_frames().prop_map(|mut frames| frames.remove(0)).boxed()], 0..10),
        lens in chunk_lens(),
    ) {
        let stream = write_control(ControlSide::Acceptor, &frames);
        let (items, end) = read_all(&mut ControlDecoder::new(LIMITS), cut(&stream, &lens));
        assert_prefix(&items, &frames, end);
    }

    #[test]
    fn values_from_noise_are_refused_or_read(bytes in noise()) {
        if let Ok(value) = decode_body::<Sample>(&bytes, SMALL_BODY_BYTES_MAX) {
            let again = encode_body(&value, usize::MAX).expect("a decoded value has an encoding");
            prop_assert_eq!(decode_body::<Sample>(&again, SMALL_BODY_BYTES_MAX), Ok(value));
        }
    }
}

#[track_caller]
fn check<D: Decoder>(mut decoder: D, stream: &[u8], expected: DecodeError, code: CloseCode) {
    let (_, end) = read_all(&mut decoder, [Bytes::copy_from_slice(stream)]);
    assert_eq!(end, Err(expected));
    assert_eq!(expected.close_code(), code);
}

#[test]
fn lengths_are_refused_before_their_content_comes() {
    let too_large = |what, len, max| DecodeError::TooLarge { what, len, max };
    let code = CloseCode::TooLarge;
    check(CommandStreamDecoder::new(LIMITS), &[0x03, 0x44, 0x59], too_large("head", 1113, 1112), code);
    check(ControlDecoder::new(LIMITS), &[0x23, 0x44, 0x01], too_large("control frame", 1025, 1024), code);
    let accepted = write_frames(&[StreamFrame::Accepted { body_received: 0, body_credit: 0 }]);
    let after = |bytes: &[u8]| [&accepted[..], bytes].concat();
    let replies = || ReplyDecoder::new(LIMITS, 0);
    check(replies(), &after(&[0x0f, 0x41, 0x09]), too_large("update", 265, 264), code);
    check(replies(), &after(&[0x11, 0x42, 0x01]), too_large("piece of a result body", 513, 512), code);
    check(replies(), &after(&[0x15, 0x48, 0x02]), too_large("outcome", 2050, 2049), code);
    check(replies(), &after(&[0x3e, 0x42, 0x01]), too_large("skippable frame", 513, 512), code);
    check(replies(), &after(&[0x0d, 0x01]), DecodeError::Malformed { what: "Started" }, CloseCode::Malformed);
}

#[test]
fn unknown_kinds_close_the_link_unless_the_stream_can_be_spared() {
    let code = CloseCode::UnknownKind;
    let accepted = write_frames(&[StreamFrame::Accepted { body_received: 0, body_credit: 0 }]);
    let unknown = [&accepted[..], &[0x3f, 0x00]].concat();
    check(ReplyDecoder::new(LIMITS, 0), &unknown, DecodeError::UnknownKind { kind: 0x3f }, code);
    check(StreamDecoder::new(LIMITS), &[0x07], DecodeError::UnknownStream { kind: 7 }, code);
    check(StreamDecoder::new(LIMITS), &[0x04], DecodeError::UnknownStream { kind: 4 }, code);
    assert!(DecodeError::UnknownStream { kind: 4 }.spares_link());
    assert!(!DecodeError::UnknownStream { kind: 7 }.spares_link());
    assert!(!DecodeError::UnknownKind { kind: 7 }.spares_link());
}

#[test]
fn a_head_is_refused_for_unknown_flags_classes_policies_and_names() {
    let good = crate::samples::head().0;
    let mut bytes = write_command_stream(&good, &[]).to_vec();
    let content = 3;
    assert_eq!(bytes[content], 0x7f, "the sample sets all flags");
    let cases = [(0, 0xff), (1, 5), (2, 3), (3, 0), (3, 255), (64, b'E')];
    for (offset, value) in cases {
        let before = std::mem::replace(&mut bytes[content + offset], value);
        let (items, end) =
            read_all(&mut CommandStreamDecoder::new(Limits::default()), [bytes.clone().into()]);
        assert!(matches!(end, Err(DecodeError::Malformed { .. })), "{offset}: {items:?} {end:?}");
        bytes[content + offset] = before;
    }
    bytes[content] = 0x2f;
    let (_, end) = read_all(&mut CommandStreamDecoder::new(Limits::default()), [bytes.into()]);
    let what = "head with a deadline that its flags deny";
    assert_eq!(end, Err(DecodeError::Malformed { what }));
}

#[test]
fn what_needs_a_stream_of_its_own_is_refused_in_a_batch() {
    let good = crate::samples::messages();
    let plain = good[1].clone();
    let needy = [
        Head { payload_bytes: 1, ..plain.clone() },
        Head { has_body: true, ..plain.clone() },
        Head { updates: UpdatePolicy::Follow, ..plain.clone() },
        Head { updates: UpdatePolicy::Store, ..plain.clone() },
        Head { updates_credit: 1, ..plain.clone() },
        Head { result_body_credit: 1, ..plain.clone() },
        Head { early: true, ..plain.clone() },
        Head { class: Class::Low, ..plain },
    ];
    for head in needy {
        let batch = write_batch(&[good[0].clone(), head]);
        let (items, end) = read_all(&mut BatchDecoder::new(LIMITS), [batch]);
        assert_eq!(items, good[..1]);
        assert!(matches!(end, Err(DecodeError::Malformed { .. })), "{end:?}");
    }
}

#[test]
fn a_batch_has_at_least_one_message_and_at_most_16_kib() {
    let (_, end) = read_all(&mut BatchDecoder::new(LIMITS), [write_batch(&[])]);
    assert_eq!(end, Err(DecodeError::Truncated));
    let plain = crate::samples::messages().remove(1);
    let message = Head { args: vec![7; 512 - message_encoded_len(&plain)].into(), ..plain };
    assert_eq!(message_encoded_len(&message), 512);
    let mut messages = vec![message; 32];
    messages[31].args = messages[0].args.slice(1..);
    let (items, end) = read_all(&mut BatchDecoder::new(LIMITS), [write_batch(&messages)]);
    assert_eq!((items.len(), end), (32, Ok(())), "the kind takes a byte");
    messages[31].args = messages[0].args.clone();
    let too_long =
        DecodeError::TooLarge { what: "batch", len: BATCH_BYTES_MAX as u64 + 1, max: BATCH_BYTES_MAX as u64 };
    let (items, end) = read_all(&mut BatchDecoder::new(LIMITS), [write_batch(&messages)]);
    assert_eq!((items.len(), end), (31, Err(too_long)));
    // What may be skipped counts too, however it comes.
    let skipped = [&[0x3e, 0x41, 0x80][..], &[0; 0x180], &[0x3e, 0x41, 0x00], &[0; 0x100]].concat();
    let once = Bytes::from([&write_batch(&messages[..31])[..], &skipped].concat());
    let (items, end) = read_all(&mut BatchDecoder::new(LIMITS), [once]);
    assert_eq!(items.len(), 31);
    assert!(matches!(end, Err(DecodeError::TooLarge { what: "batch", .. })), "{end:?}");
}

#[test]
fn settled_ranges_must_ascend_and_stand_apart() {
    let seq = |number| Seq::from_wire(number).expect("not 0");
    let epoch = Epoch::from_random(1);
    let cases = [
        (None, &[(1, 1)][..], true),
        (Some(5), &[(6, 7), (9, 9)], true),
        (Some(5), &[(5, 7)], false),
        (Some(5), &[(7, 6)], false),
        (Some(5), &[(7, 8), (9, 9)], false),
        (Some(5), &[(7, 8), (8, 9)], false),
        (Some(5), &[(10, u64::MAX), (1, 1)], false),
    ];
    for (low, ranges, is_good) in cases {
        let ranges: Vec<_> = ranges.iter().map(|(first, last)| (seq(*first), seq(*last))).collect();
        let settled = ControlFrame::Settled(Settled { epoch, low: low.map(seq), ranges });
        let mut frames =
            vec![ControlFrame::HelloAnswer(Box::new(HelloAnswer::Welcome(crate::samples::hello())))];
        frames.push(settled.clone());
        let stream = write_control(ControlSide::Acceptor, &frames);
        let (items, end) = read_all(&mut ControlDecoder::new(LIMITS), [stream]);
        assert_eq!(items.contains(&settled), is_good, "{settled:?} {end:?}");
        assert_eq!(end.is_ok(), is_good, "{settled:?}");
    }
}
