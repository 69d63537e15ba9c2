//! Writing the frames of the control stream.

use bytes::{BufMut, BytesMut};

use super::{framed_len, outcome_len, put_key, put_outcome, put_text_len, whole_millis};
use crate::frame::{ControlFrame, LastWord, Reached};
use crate::hello::{Hello, HelloAnswer, Settled};
use crate::id::{Epoch, Seq};
use crate::kind::FrameKind;
use crate::lineage::{Lineage, Reach};
use crate::varint::{put_varint, varint_len};

/// Bytes of a hello besides its fleet and its lists.
pub(crate) const HELLO_FIXED_BYTES: usize = 9 * 8 + 2 * 4;

/// Writes a frame of the control stream.
///
/// Only a hello, its answer, `Settled` and `Reached` have lists, and only `Ended` has a result: whoever fills them keeps
/// [`control_encoded_len`] within [`Limits::control_bytes_max`](crate::Limits::control_bytes_max).
pub fn encode_control(frame: &ControlFrame, out: &mut BytesMut) {
    out.reserve(control_encoded_len(frame));
    put_varint(frame_kind(frame).to_wire(), out);
    put_varint(content_len(frame) as u64, out);
    match frame {
        ControlFrame::Hello(hello) => put_hello(hello, out),
        ControlFrame::HelloAnswer(answer) => put_answer(answer, out),
        ControlFrame::Heartbeat => {}
        ControlFrame::Cancel(key) => put_key(*key, out),
        ControlFrame::Settled(settled) => put_settled(settled, out),
        ControlFrame::Taken { bytes } => out.put_u64(*bytes),
        ControlFrame::StreamEnded { stream, bytes } => {
            out.put_u64(*stream);
            out.put_u64(*bytes);
        }
        ControlFrame::Credit { key, part, offset } => {
            put_key(*key, out);
            out.put_u8(part.to_wire());
            out.put_u64(*offset);
        }
        ControlFrame::Received { key, updates, result_body } => {
            put_key(*key, out);
            out.put_u64(*updates);
            out.put_u64(*result_body);
        }
        ControlFrame::GoAway(go_away) => {
            out.put_u8(go_away.reason.to_wire());
            out.put_u64(whole_millis(go_away.retry_after));
        }
        ControlFrame::Reached(reached) => put_reached(reached, out),
        ControlFrame::Ended { key, last } => {
            put_key(*key, out);
            put_last_word(last, out);
        }
    }
}

/// Returns how many bytes [`encode_control`] writes.
pub fn control_encoded_len(frame: &ControlFrame) -> usize {
    framed_len(frame_kind(frame).to_wire(), content_len(frame))
}

fn frame_kind(frame: &ControlFrame) -> FrameKind {
    match frame {
        ControlFrame::Hello(_) => FrameKind::Hello,
        ControlFrame::HelloAnswer(_) => FrameKind::HelloAnswer,
        ControlFrame::Heartbeat => FrameKind::Heartbeat,
        ControlFrame::Cancel(_) => FrameKind::Cancel,
        ControlFrame::Settled(_) => FrameKind::Settled,
        ControlFrame::Taken { .. } => FrameKind::Taken,
        ControlFrame::StreamEnded { .. } => FrameKind::StreamEnded,
        ControlFrame::Credit { .. } => FrameKind::Credit,
        ControlFrame::Received { .. } => FrameKind::Received,
        ControlFrame::GoAway(_) => FrameKind::GoAway,
        ControlFrame::Reached(_) => FrameKind::Reached,
        ControlFrame::Ended { .. } => FrameKind::Ended,
    }
}

fn content_len(frame: &ControlFrame) -> usize {
    match frame {
        ControlFrame::Hello(hello) => hello_len(hello),
        ControlFrame::HelloAnswer(answer) => match &**answer {
            HelloAnswer::Welcome(hello) => 1 + hello_len(hello),
            HelloAnswer::TooLow { .. } => 9,
        },
        ControlFrame::Heartbeat => 0,
        ControlFrame::Taken { .. } => 8,
        ControlFrame::GoAway(_) => 9,
        ControlFrame::Cancel(_) | ControlFrame::StreamEnded { .. } => 16,
        ControlFrame::Credit { .. } => 25,
        ControlFrame::Received { .. } => 32,
        ControlFrame::Settled(settled) => settled_len(settled),
        ControlFrame::Reached(reached) => 9 + ranges_len(&reached.ranges),
        ControlFrame::Ended { last, .. } => 16 + last_word_len(last),
    }
}

fn hello_len(hello: &Hello) -> usize {
    let commands: usize = hello.commands.iter().map(|name| 1 + name.as_str().len()).sum();
    let settled: usize = hello.settled.iter().map(settled_len).sum();
    let counts = varint_len(hello.commands.len() as u64) + varint_len(hello.settled.len() as u64);
    let boots = hello.lineage.boots().len();
    let boots = varint_len(boots as u64) + 8 * boots;
    let reaches = reaches_len(&hello.sent) + reaches_len(&hello.journaled);
    1 + hello.fleet.as_str().len() + HELLO_FIXED_BYTES + counts + commands + settled + boots + reaches
}

fn reaches_len(reaches: &[Reach]) -> usize {
    varint_len(reaches.len() as u64) + 16 * reaches.len()
}

fn settled_len(settled: &Settled) -> usize {
    16 + ranges_len(&settled.ranges)
}

fn ranges_len(ranges: &[(Seq, Seq)]) -> usize {
    varint_len(ranges.len() as u64) + 16 * ranges.len()
}

fn last_word_len(last: &LastWord) -> usize {
    match last {
        LastWord::Outcome(outcome) => 1 + outcome_len(outcome),
        LastWord::Busy { .. } => 10,
        LastWord::Stale | LastWord::Duplicate => 1,
    }
}

fn put_answer(answer: &HelloAnswer, out: &mut BytesMut) {
    match answer {
        HelloAnswer::Welcome(hello) => {
            out.put_u8(0);
            put_hello(hello, out);
        }
        HelloAnswer::TooLow { highest } => {
            out.put_u8(1);
            out.put_u64(highest.to_wire());
        }
    }
}

fn put_hello(hello: &Hello, out: &mut BytesMut) {
    put_text(hello.fleet.as_str(), out);
    out.put_u64(hello.link.to_wire());
    out.put_u64(hello.boot.to_wire());
    put_epoch(hello.store, out);
    put_epoch(hello.receiver, out);
    put_epoch(hello.expected_boot, out);
    put_epoch(hello.expected_receiver, out);
    out.put_u64(hello.features);
    out.put_u64(hello.receive_window);
    out.put_u32(hello.args_bytes_max);
    out.put_u32(hello.payload_bytes_max);
    put_varint(hello.commands.len() as u64, out);
    for name in &hello.commands {
        put_text(name.as_str(), out);
    }
    put_varint(hello.settled.len() as u64, out);
    for settled in &hello.settled {
        put_settled(settled, out);
    }
    put_lineage(&hello.lineage, out);
    put_reaches(&hello.sent, out);
    put_reaches(&hello.journaled, out);
}

fn put_lineage(lineage: &Lineage, out: &mut BytesMut) {
    out.put_u64(lineage.processes());
    put_varint(lineage.boots().len() as u64, out);
    for boot in lineage.boots() {
        out.put_u64(boot.to_wire());
    }
}

fn put_reaches(reaches: &[Reach], out: &mut BytesMut) {
    put_varint(reaches.len() as u64, out);
    for reach in reaches {
        out.put_u64(reach.process);
        out.put_u64(reach.position);
    }
}

fn put_settled(settled: &Settled, out: &mut BytesMut) {
    out.put_u64(settled.epoch.to_wire());
    out.put_u64(settled.low.map_or(0, |seq| seq.to_wire()));
    put_ranges(&settled.ranges, out);
}

fn put_reached(reached: &Reached, out: &mut BytesMut) {
    out.put_u8(reached.step.to_wire());
    out.put_u64(reached.epoch.to_wire());
    put_ranges(&reached.ranges, out);
}

fn put_last_word(last: &LastWord, out: &mut BytesMut) {
    match last {
        LastWord::Outcome(outcome) => {
            out.put_u8(0);
            let result = put_outcome(outcome, out);
            out.put_slice(&result);
        }
        LastWord::Busy { scope, retry_after } => {
            out.put_u8(1);
            out.put_u8(scope.to_wire());
            out.put_u64(whole_millis(*retry_after));
        }
        LastWord::Stale => out.put_u8(2),
        LastWord::Duplicate => out.put_u8(3),
    }
}

fn put_ranges(ranges: &[(Seq, Seq)], out: &mut BytesMut) {
    put_varint(ranges.len() as u64, out);
    for (first, last) in ranges {
        out.put_u64(first.to_wire());
        out.put_u64(last.to_wire());
    }
}

fn put_epoch(epoch: Option<Epoch>, out: &mut BytesMut) {
    out.put_u64(epoch.map_or(0, Epoch::to_wire));
}

fn put_text(text: &str, out: &mut BytesMut) {
    put_text_len(text.as_bytes(), out);
    out.put_slice(text.as_bytes());
}
