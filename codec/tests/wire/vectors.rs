//! The golden bytes of every release: written alike and read alike for ever.
//!
//! A new release adds a folder; the bytes of an old one never change. `UPDATE_VECTORS=1` rewrites the folder of the
//! version in work, which a review must then explain.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use runnel_codec::*;

use crate::samples;
use crate::streams::*;

type Vectors = Vec<(String, Bytes)>;

/// Compares `written` with the committed file, line by line, or rewrites the file when asked to.
#[track_caller]
fn check_file(name: &str, written: &Vectors) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/v1").join(name);
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, to_text(written)).expect("the vectors can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the vectors are committed");
    for (committed, written) in committed.lines().zip(to_text(written).lines()) {
        assert_eq!(committed, written);
    }
    assert_eq!(committed.lines().count(), written.len(), "{name} has one line for each vector");
}

fn to_text(vectors: &Vectors) -> String {
    let mut text = String::new();
    for (name, bytes) in vectors {
        writeln!(text, "{name} {}", to_hex(bytes)).expect("a String takes everything");
    }
    text
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

#[test]
fn heads_have_their_golden_bytes() {
    let (full, plain) = samples::head();
    let mut vectors = Vectors::new();
    for (name, head) in [("Head.full", full), ("Head.plain", plain)] {
        let bytes = written(|out| encode_head(&head, out));
        let (items, _) = read_all(&mut CommandStreamDecoder::new(Limits::default()), [bytes.clone()]);
        assert_eq!(items, [CommandItem::Head(head)], "{name}");
        vectors.push((name.into(), bytes));
    }
    check_file("heads.txt", &vectors);
}

#[test]
fn stream_frames_have_their_golden_bytes() {
    let outcomes = samples::outcomes().into_iter();
    let outcomes = outcomes.map(|(name, outcome)| (format!("Outcome.{name}"), StreamFrame::Outcome(outcome)));
    let frames = samples::stream_frames().into_iter().map(|(name, frame)| (name.to_owned(), frame));
    let mut vectors = Vectors::new();
    for (name, frame) in frames.chain(outcomes) {
        let bytes = written(|out| encode_frame(&frame, out));
        assert_eq!(read_frame(&frame, &bytes), Some(frame), "{name}");
        vectors.push((name, bytes));
    }
    check_file("stream_frames.txt", &vectors);
}

/// Reads one frame after what has to come before it.
fn read_frame(frame: &StreamFrame, bytes: &Bytes) -> Option<StreamFrame> {
    let (full, plain) = samples::head();
    let head = match frame {
        StreamFrame::Payload(_) => Head { has_body: false, ..full },
        StreamFrame::Body(_) | StreamFrame::BodyEnd(_) => Head { has_body: true, ..plain },
        _ => return read_reply(frame, bytes),
    };
    let chunks = [write_command_stream(&head, &[]), bytes.clone()];
    match read_all(&mut CommandStreamDecoder::new(Limits::default()), chunks).0.pop() {
        Some(CommandItem::Frame(frame)) => Some(frame),
        _ => None,
    }
}

fn read_reply(frame: &StreamFrame, bytes: &Bytes) -> Option<StreamFrame> {
    let needs_acceptance = matches!(
        frame,
        StreamFrame::Started
            | StreamFrame::Update { .. }
            | StreamFrame::ResultBody(_)
            | StreamFrame::ResultBodyEnd(_)
    );
    let accepted = StreamFrame::Accepted { body_received: 0, body_credit: 0 };
    let before = if needs_acceptance { write_frames(&[accepted]) } else { Bytes::new() };
    read_all(&mut ReplyDecoder::new(Limits::default(), 6), [before, bytes.clone()]).0.pop()
}

#[test]
fn batches_have_their_golden_bytes() {
    let messages = samples::messages();
    let bytes = write_batch(&messages);
    let (read, end) = read_all(&mut BatchDecoder::new(Limits::default()), [bytes.clone()]);
    assert_eq!((read, end), (messages, Ok(())));
    check_file("batches.txt", &vec![("Batch".to_owned(), bytes)]);
}

#[test]
fn control_frames_have_their_golden_bytes() {
    let mut vectors =
        vec![("Kind.Control".to_owned(), written(|out| encode_stream_kind(StreamKind::Control, out)))];
    for (name, frame) in samples::control_frames() {
        let bytes = written(|out| encode_control(&frame, out));
        assert_eq!(read_control(&frame, &bytes), Some(frame), "{name}");
        vectors.push((name.into(), bytes));
    }
    check_file("control_frames.txt", &vectors);
}

fn read_control(frame: &ControlFrame, bytes: &Bytes) -> Option<ControlFrame> {
    if let ControlFrame::Hello(_) = frame {
        let chunks = [write_control(ControlSide::Dialler, &[]), bytes.clone()];
        return match read_all(&mut StreamDecoder::new(Limits::default()), chunks).0.pop() {
            Some(StreamItem::Control(frame)) => Some(frame),
            _ => None,
        };
    }
    let welcome = ControlFrame::HelloAnswer(Box::new(HelloAnswer::Welcome(samples::hello())));
    let before = match frame {
        ControlFrame::HelloAnswer(_) => Bytes::new(),
        _ => write_control(ControlSide::Acceptor, &[welcome]),
    };
    read_all(&mut ControlDecoder::new(Limits::default()), [before, bytes.clone()]).0.pop()
}

#[test]
fn close_texts_have_their_golden_bytes() {
    let mut vectors = Vectors::new();
    for (name, close) in samples::close_texts() {
        let bytes = Bytes::from(close.encode());
        assert_eq!(CloseText::decode(&bytes), close, "{name}");
        vectors.push((name.into(), bytes));
    }
    check_file("close_texts.txt", &vectors);
}

#[test]
fn copies_have_their_golden_bytes() {
    let mut vectors = Vectors::new();
    for (name, copy) in samples::copies() {
        let bytes = copy.encode();
        assert_eq!(StreamCopy::decode(bytes.clone()), Ok(Some(copy)), "{name}");
        vectors.push((name.into(), bytes));
    }
    check_file("copies.txt", &vectors);
}

#[test]
fn announcements_have_their_golden_bytes() {
    let mut vectors = Vectors::new();
    for (name, boot) in samples::announcements() {
        let bytes = Datagram::encode_announcement(boot);
        assert_eq!(Datagram::decode(bytes.clone()), Ok(Some(Datagram::Announcement(boot))), "{name}");
        vectors.push((name.into(), bytes));
    }
    check_file("announcements.txt", &vectors);
}

#[test]
fn values_have_their_golden_bytes_in_two_implementations() {
    let mut vectors = Vectors::new();
    for (name, value) in samples::values() {
        let bytes = encode_body(&value, SMALL_BODY_BYTES_MAX).expect("a small value");
        assert_eq!(decode_body(&bytes, SMALL_BODY_BYTES_MAX), Ok(value.clone()), "{name}");

        let config = bincode_next::config::standard();
        let (theirs, used): (samples::theirs::Sample, usize) =
            bincode_next::decode_from_slice(&bytes, config).expect("the same format");
        assert_eq!(used, bytes.len(), "{name}");
        assert_eq!(format!("{theirs:?}"), format!("{value:?}"), "{name}");
        let again = bincode_next::encode_to_vec(&theirs, config).expect("an encoding");
        assert_eq!(again, bytes, "{name}");
        vectors.push((name.into(), bytes));
    }
    check_file("values.txt", &vectors);
}
