//! Writing heads and frames. `WIRE.md` has the bytes.
//!
//! Nothing here fails: whoever builds a frame keeps it within the peer's limits, and the functions ending in
//! `_encoded_len` say how large it will be. To send large contents without copying them, use the `_split` functions
//! or [`piece_prefix`], and write the content after what they wrote. Reading is [`decode`](crate::decode)'s.

mod control;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

pub use self::control::{control_encoded_len, encode_control};
use crate::frame::{BodyEnd, StreamFrame, StreamKind};
use crate::head::Head;
use crate::id::CommandKey;
use crate::kind::FrameKind;
use crate::outcome::{Outcome, cut_message};
use crate::varint::{put_varint, varint_len};

/// Bytes of a head before the name of the command's type.
pub(crate) const HEAD_FIXED_BYTES: usize = 64;

/// Bits of a head's flags byte. The others are zero.
pub(crate) mod head_flag {
    pub(crate) const IDEMPOTENT: u8 = 0x01;
    pub(crate) const CANCELLED: u8 = 0x02;
    pub(crate) const RESENT: u8 = 0x04;
    pub(crate) const HAS_BODY: u8 = 0x08;
    pub(crate) const HAS_DEADLINE: u8 = 0x10;
    pub(crate) const STARTED: u8 = 0x20;
    pub(crate) const EARLY: u8 = 0x40;
    pub(crate) const ALL: u8 = 0x7f;
}

/// The frames whose content is raw bytes and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// The inline payload: [`StreamFrame::Payload`].
    Payload,
    /// A piece of the body: [`StreamFrame::Body`].
    Body,
    /// A piece of the result body: [`StreamFrame::ResultBody`].
    ResultBody,
}

/// The bytes before a piece's content: its kind and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiecePrefix {
    bytes: [u8; PIECE_PREFIX_BYTES_MAX],
    len: usize,
}

/// One byte for the kind and at most eight for the length.
const PIECE_PREFIX_BYTES_MAX: usize = 9;

/// Writes the kind of a stream. The opener of a stream says it, once.
///
/// [`encode_head`] includes it; only the control stream needs it by itself.
pub fn encode_stream_kind(kind: StreamKind, out: &mut BytesMut) {
    put_varint(kind.to_wire(), out);
}

/// Writes everything that a command's stream begins with: the stream's kind and the head.
pub fn encode_head(head: &Head, out: &mut BytesMut) {
    out.reserve(head_encoded_len(head));
    let args = encode_head_split(head, out);
    out.put_slice(&args);
}

/// Writes the same as [`encode_head`] without the arguments, and returns them: they come next on the stream.
pub fn encode_head_split(head: &Head, out: &mut BytesMut) -> Bytes {
    put_varint(StreamKind::Command.to_wire(), out);
    put_head(head, out);
    head.args.clone()
}

/// Writes a message of a batch, behind the stream's kind or another message: see [`Head::is_message`].
pub fn encode_message(head: &Head, out: &mut BytesMut) {
    out.reserve(message_encoded_len(head));
    put_varint(FrameKind::Message.to_wire(), out);
    put_head(head, out);
    out.put_slice(&head.args);
}

/// Returns how many bytes [`encode_message`] writes.
pub fn message_encoded_len(head: &Head) -> usize {
    framed_len(FrameKind::Message.to_wire(), head_content_len(head))
}

/// Writes the length of a head's content, and the content without the arguments.
fn put_head(head: &Head, out: &mut BytesMut) {
    let name = head.name.as_str().as_bytes();
    put_varint(head_content_len(head) as u64, out);
    out.put_u8(head_flags(head));
    out.put_u8(head.class.to_wire());
    out.put_u8(head.updates.to_wire());
    put_text_len(name, out);
    put_key(head.key, out);
    out.put_u64(head.deadline_remaining.map_or(0, whole_millis));
    out.put_u64(head.updates_received);
    out.put_u64(head.result_body_received);
    out.put_u64(head.updates_credit);
    out.put_u64(head.result_body_credit);
    out.put_u32(head.payload_bytes);
    out.put_slice(name);
}

/// Returns how many bytes [`encode_head`] writes.
pub fn head_encoded_len(head: &Head) -> usize {
    framed_len(StreamKind::Command.to_wire(), head_content_len(head))
}

/// Writes a frame of a command's stream.
pub fn encode_frame(frame: &StreamFrame, out: &mut BytesMut) {
    out.reserve(frame_encoded_len(frame));
    let content = encode_frame_split(frame, out);
    out.put_slice(&content);
}

/// Writes the same as [`encode_frame`] without the raw bytes at the frame's end, and returns them: they come next on
/// the stream. They are empty for frames that have none.
pub fn encode_frame_split(frame: &StreamFrame, out: &mut BytesMut) -> Bytes {
    put_varint(frame_kind(frame).to_wire(), out);
    put_varint(frame_content_len(frame) as u64, out);
    match frame {
        StreamFrame::Payload(content) | StreamFrame::Body(content) | StreamFrame::ResultBody(content) => {
            return content.clone();
        }
        StreamFrame::BodyEnd(end) | StreamFrame::ResultBodyEnd(end) => put_body_end(end, out),
        StreamFrame::Accepted { body_received, body_credit } => {
            out.put_u64(*body_received);
            out.put_u64(*body_credit);
        }
        StreamFrame::Update { number, content } => {
            out.put_u64(*number);
            return content.clone();
        }
        StreamFrame::Outcome(outcome) => return put_outcome(outcome, out),
        StreamFrame::Busy { scope, retry_after } => {
            out.put_u8(scope.to_wire());
            out.put_u64(whole_millis(*retry_after));
        }
        StreamFrame::Started | StreamFrame::Stale | StreamFrame::Duplicate => {}
    }
    Bytes::new()
}

/// Returns how many bytes [`encode_frame`] writes.
pub fn frame_encoded_len(frame: &StreamFrame) -> usize {
    framed_len(frame_kind(frame).to_wire(), frame_content_len(frame))
}

/// Makes what goes before a piece of `len` raw bytes, so that the piece itself is written as it is.
pub fn piece_prefix(kind: PieceKind, len: usize) -> PiecePrefix {
    let kind = match kind {
        PieceKind::Payload => FrameKind::Payload,
        PieceKind::Body => FrameKind::Body,
        PieceKind::ResultBody => FrameKind::ResultBody,
    };
    let mut bytes = [0; PIECE_PREFIX_BYTES_MAX];
    let mut free = &mut bytes[..];
    put_varint(kind.to_wire(), &mut free);
    put_varint(len as u64, &mut free);
    let len = PIECE_PREFIX_BYTES_MAX - free.len();
    PiecePrefix { bytes, len }
}

impl PiecePrefix {
    /// Returns the bytes to write.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for PiecePrefix {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

fn head_flags(head: &Head) -> u8 {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    flag(head.idempotent, head_flag::IDEMPOTENT)
        | flag(head.cancelled, head_flag::CANCELLED)
        | flag(head.resent, head_flag::RESENT)
        | flag(head.started, head_flag::STARTED)
        | flag(head.early, head_flag::EARLY)
        | flag(head.has_body, head_flag::HAS_BODY)
        | flag(head.deadline_remaining.is_some(), head_flag::HAS_DEADLINE)
}

fn head_content_len(head: &Head) -> usize {
    HEAD_FIXED_BYTES + head.name.as_str().len() + head.args.len()
}

fn frame_kind(frame: &StreamFrame) -> FrameKind {
    match frame {
        StreamFrame::Payload(_) => FrameKind::Payload,
        StreamFrame::Body(_) => FrameKind::Body,
        StreamFrame::BodyEnd(_) => FrameKind::BodyEnd,
        StreamFrame::Accepted { .. } => FrameKind::Accepted,
        StreamFrame::Started => FrameKind::Started,
        StreamFrame::Update { .. } => FrameKind::Update,
        StreamFrame::ResultBody(_) => FrameKind::ResultBody,
        StreamFrame::ResultBodyEnd(_) => FrameKind::ResultBodyEnd,
        StreamFrame::Outcome(_) => FrameKind::Outcome,
        StreamFrame::Busy { .. } => FrameKind::Busy,
        StreamFrame::Stale => FrameKind::Stale,
        StreamFrame::Duplicate => FrameKind::Duplicate,
    }
}

fn frame_content_len(frame: &StreamFrame) -> usize {
    match frame {
        StreamFrame::Payload(content) | StreamFrame::Body(content) | StreamFrame::ResultBody(content) => {
            content.len()
        }
        StreamFrame::BodyEnd(_) | StreamFrame::ResultBodyEnd(_) => 40,
        StreamFrame::Accepted { .. } => 16,
        StreamFrame::Update { content, .. } => 8 + content.len(),
        StreamFrame::Outcome(outcome) => outcome_len(outcome),
        StreamFrame::Busy { .. } => 9,
        StreamFrame::Started | StreamFrame::Stale | StreamFrame::Duplicate => 0,
    }
}

fn outcome_len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done { result } => 1 + result.len(),
        Outcome::Failed(failure) => 2 + cut_message(&failure.message).len(),
        Outcome::Rejected(rejection) => 2 + cut_message(&rejection.message).len(),
        Outcome::Expired | Outcome::Cancelled => 1,
        Outcome::Unknown(_) => 2,
    }
}

fn put_outcome(outcome: &Outcome, out: &mut BytesMut) -> Bytes {
    out.put_u8(outcome.to_wire());
    match outcome {
        Outcome::Done { result } => return result.clone(),
        Outcome::Failed(failure) => {
            out.put_u8(failure.kind.to_wire());
            out.put_slice(cut_message(&failure.message).as_bytes());
        }
        Outcome::Rejected(rejection) => {
            out.put_u8(rejection.kind.to_wire());
            out.put_slice(cut_message(&rejection.message).as_bytes());
        }
        Outcome::Expired | Outcome::Cancelled => {}
        Outcome::Unknown(reason) => out.put_u8(reason.to_wire()),
    }
    Bytes::new()
}

fn put_body_end(end: &BodyEnd, out: &mut BytesMut) {
    out.put_u64(end.bytes);
    out.put_slice(&end.hash);
}

fn put_key(key: CommandKey, out: &mut BytesMut) {
    out.put_u64(key.epoch.to_wire());
    out.put_u64(key.seq.to_wire());
}

/// Writes the length of a name in one byte.
fn put_text_len(text: &[u8], out: &mut BytesMut) {
    out.put_u8(u8::try_from(text.len()).expect("names of nodes, fleets and commands have at most 64 bytes"));
}

/// Returns the size of a whole frame with `content_len` bytes of content.
fn framed_len(kind: u64, content_len: usize) -> usize {
    varint_len(kind) + varint_len(content_len as u64) + content_len
}

/// Rounds up to milliseconds, so that a wait is never shortened and a deadline that has not passed is never 0.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_to_milliseconds() {
        assert_eq!(whole_millis(Duration::ZERO), 0);
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(Duration::from_millis(7)), 7);
        assert_eq!(whole_millis(Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_prefix_and_its_content_are_the_whole_frame() {
        let cases = [
            (PieceKind::Payload, StreamFrame::Payload as fn(Bytes) -> StreamFrame),
            (PieceKind::Body, StreamFrame::Body),
            (PieceKind::ResultBody, StreamFrame::ResultBody),
        ];
        for (kind, frame) in cases {
            for len in [0, 63, 64, 16_383, 16_384, 1 << 20] {
                let content = Bytes::from(vec![7; len]);
                let mut whole = BytesMut::new();
                encode_frame(&frame(content.clone()), &mut whole);
                let mut pieces = piece_prefix(kind, len).as_slice().to_vec();
                pieces.extend_from_slice(&content);
                assert_eq!(pieces, whole, "{kind:?} of {len}");
            }
        }
    }
}
