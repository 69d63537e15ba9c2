//! Everything that is written is read back the same, however the stream is cut.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use runnel_codec::*;

use crate::streams::*;

proptest! {
    #[test]
    fn command_streams_read_back((head, frames) in command_stream(), lens in chunk_lens()) {
        let stream = write_command_stream(&head, &frames);
        let mut decoder = CommandStreamDecoder::new(LIMITS);
        let (items, end) = read_all(&mut decoder, cut(&stream, &lens));
        let frames = frames.into_iter().map(CommandItem::Frame);
        prop_assert_eq!(items, [CommandItem::Head(head)].into_iter().chain(frames).collect::<Vec<_>>());
        prop_assert_eq!(end, Ok(()));
        prop_assert!(decoder.is_complete());
        prop_assert_eq!(decoder.completed_bytes(), stream.len() as u64);
    }

    #[test]
    fn streams_of_both_kinds_are_told_apart(
        (head, frames) in command_stream(),
        control in dialler_frames(),
        lens in chunk_lens(),
    ) {
        let stream = write_command_stream(&head, &frames);
        let mut decoder = StreamDecoder::new(LIMITS).with_names([head.name.clone()].into_iter().collect());
        let (items, end) = read_all(&mut decoder, cut(&stream, &lens));
        let expected = [StreamItem::Kind(StreamKind::Command), StreamItem::Head(head)];
        let frames = frames.into_iter().map(StreamItem::Frame);
        prop_assert_eq!(items, expected.into_iter().chain(frames).collect::<Vec<_>>());
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(decoder.completed_bytes(), stream.len() as u64);

        let stream = write_control(ControlSide::Dialler, &control);
        let mut decoder = StreamDecoder::new(LIMITS);
        let (items, end) = read_all(&mut decoder, cut(&stream, &lens));
        let control = control.into_iter().map(StreamItem::Control);
        prop_assert_eq!(items, [StreamItem::Kind(StreamKind::Control)].into_iter().chain(control).collect::<Vec<_>>());
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(decoder.completed_bytes(), stream.len() as u64);
    }

    #[test]
    fn batches_read_back(messages in batch(), lens in chunk_lens()) {
        let stream = write_batch(&messages);
        let mut decoder = BatchDecoder::new(LIMITS);
        let (items, end) = read_all(&mut decoder, cut(&stream, &lens));
        prop_assert_eq!((&items, end), (&messages, Ok(())));
        prop_assert_eq!(decoder.completed_bytes(), stream.len() as u64);
        prop_assert_eq!(stream.len(), 1 + messages.iter().map(message_encoded_len).sum::<usize>());

        let mut decoder = StreamDecoder::new(LIMITS).with_names([messages[0].name.clone()].into_iter().collect());
        let (items, end) = read_all(&mut decoder, cut(&stream, &lens));
        let messages = messages.into_iter().map(StreamItem::Message);
        prop_assert_eq!(items, [StreamItem::Kind(StreamKind::Batch)].into_iter().chain(messages).collect::<Vec<_>>());
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(decoder.completed_bytes(), stream.len() as u64);
    }

    #[test]
    fn replies_read_back(
        (updates_received, frames) in (0..1_000_u64).prop_flat_map(|from| (Just(from), replies(from))),
        lens in chunk_lens(),
    ) {
        let stream = write_frames(&frames);
        let mut decoder = ReplyDecoder::new(LIMITS, updates_received);
        let (items, end) = read_all(&mut decoder, cut(&stream, &lens));
        let updates = frames.iter().filter(|frame| matches!(frame, StreamFrame::Update { .. })).count() as u64;
        prop_assert_eq!(items, frames);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(decoder.updates_received(), updates_received + updates);
        prop_assert_eq!(decoder.completed_bytes(), stream.len() as u64);
    }

    #[test]
    fn the_acceptors_control_frames_read_back(frames in acceptor_frames(), lens in chunk_lens()) {
        let stream = write_control(ControlSide::Acceptor, &frames);
        let (items, end) = read_all(&mut ControlDecoder::new(LIMITS), cut(&stream, &lens));
        prop_assert_eq!(items, frames);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn sizes_are_known_before_writing(
        head in head(100),
        frame in stream_frame(),
        control in dialler_frames(),
    ) {
        let mut out = BytesMut::new();
        encode_head(&head, &mut out);
        prop_assert_eq!(out.len(), head_encoded_len(&head));
        let mut out = BytesMut::new();
        encode_frame(&frame, &mut out);
        prop_assert_eq!(out.len(), frame_encoded_len(&frame));
        for frame in control {
            let mut out = BytesMut::new();
            encode_control(&frame, &mut out);
            prop_assert_eq!(out.len(), control_encoded_len(&frame));
        }
    }

    #[test]
    fn what_is_split_off_completes_the_frame(head in head(100), frame in stream_frame()) {
        let (mut whole, mut split) = (BytesMut::new(), BytesMut::new());
        encode_head(&head, &mut whole);
        encode_frame(&frame, &mut whole);
        let args = encode_head_split(&head, &mut split);
        split.extend_from_slice(&args);
        let content = encode_frame_split(&frame, &mut split);
        split.extend_from_slice(&content);
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn a_stream_cut_short_is_no_whole_stream((head, frames) in command_stream(), cut_at in any::<prop::sample::Index>()) {
        let stream = write_command_stream(&head, &frames);
        let cut_at = cut_at.index(stream.len());
        let mut decoder = CommandStreamDecoder::new(LIMITS);
        let (items, end) = read_all(&mut decoder, [stream.slice(..cut_at)]);
        prop_assert!(items.len() <= frames.len());
        let ends_between_pieces = head.has_body && decoder.completed_bytes() == cut_at as u64 && !items.is_empty();
        let lacks_payload = head.payload_bytes > 0 && items.len() < 2;
        let expected = if ends_between_pieces && !lacks_payload { Ok(()) } else { Err(DecodeError::Truncated) };
        prop_assert_eq!(end, expected);
        prop_assert!(!decoder.is_complete());
    }
}

#[test]
fn a_piece_within_one_chunk_is_not_copied() {
    let piece = Bytes::from(vec![7; 400]);
    let mut decoder = ReplyDecoder::new(LIMITS, 0);
    let accepted = StreamFrame::Accepted { body_received: 0, body_credit: 0 };
    let stream = write_frames(&[accepted, StreamFrame::ResultBody(piece)]);
    let range = stream.as_ptr_range();
    decoder.push(stream);
    decoder.next_frame().expect("a frame").expect("complete");
    let Ok(Some(StreamFrame::ResultBody(read))) = decoder.next_frame() else {
        panic!("the piece is complete");
    };
    assert!(range.contains(&read.as_ptr()), "the piece is a slice of the chunk");
}

#[test]
fn pushing_before_the_last_chunk_is_read_loses_nothing() {
    let stream =
        write_frames(&[StreamFrame::Accepted { body_received: 1, body_credit: 2 }, StreamFrame::Started]);
    let mut decoder = ReplyDecoder::new(LIMITS, 0);
    cut(&stream, &[1]).into_iter().for_each(|chunk| decoder.push(chunk));
    let accepted = StreamFrame::Accepted { body_received: 1, body_credit: 2 };
    assert_eq!(decoder.next_frame(), Ok(Some(accepted)));
    assert_eq!(decoder.next_frame(), Ok(Some(StreamFrame::Started)));
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn skippable_frames_are_passed_over_and_counted() {
    let mut stream = write_frames(&[StreamFrame::Accepted { body_received: 1, body_credit: 2 }]).to_vec();
    stream.extend_from_slice(&[0x3e, 0x05, 1, 2, 3, 4, 5, 0x3c, 0x00]);
    stream.extend_from_slice(&write_frames(&[StreamFrame::Started]));
    for len in [1, 2, 7, stream.len()] {
        let mut decoder = ReplyDecoder::new(LIMITS, 0);
        let (items, _) = read_all(&mut decoder, cut(&Bytes::from(stream.clone()), &[len]));
        assert_eq!(items.len(), 2);
        assert_eq!(items[1], StreamFrame::Started);
        assert_eq!(decoder.completed_bytes(), stream.len() as u64);
    }
}

#[test]
fn bytes_count_when_their_frame_is_complete() {
    let stream = write_frames(&[StreamFrame::Accepted { body_received: 1, body_credit: 2 }]);
    let mut decoder = ReplyDecoder::new(LIMITS, 0);
    decoder.push(stream.slice(..17));
    assert_eq!(decoder.next_frame(), Ok(None));
    assert_eq!((decoder.completed_bytes(), decoder.buffered_bytes()), (0, 15));
    decoder.push(stream.slice(17..));
    assert!(matches!(decoder.next_frame(), Ok(Some(_))));
    assert_eq!((decoder.completed_bytes(), decoder.buffered_bytes()), (18, 0));
}
