//! Reading the control stream.

use bytes::Bytes;

use super::fields::Fields;
use super::frame_reader::{Admission, FrameReader, RawFrame, admit_unknown, check_exact_len, check_len};
use super::hello::{decode_answer, decode_hello, decode_ranges, decode_settled};
use super::replies::decode_outcome;
use crate::error::DecodeError;
use crate::frame::{BusyScope, ControlFrame, LastWord, Part, Reached, Step};
use crate::hello::{GoAway, GoAwayReason, HelloAnswer};
use crate::id::Epoch;
use crate::kind::FrameKind;
use crate::limits::Limits;

/// Reads one direction of the control stream.
///
/// The order it enforces: the dialler begins with a hello; the acceptor says nothing but answers to it until one of them
/// is a welcome. Only the dialler says hello, only the acceptor answers, and each may do so again later.
#[derive(Debug)]
#[must_use]
pub struct ControlDecoder {
    limits: Limits,
    from: ControlSide,
    reader: FrameReader,
    is_open: bool,
}

/// Whose words a [`ControlDecoder`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlSide {
    /// The node that opened the link and the control stream.
    Dialler,
    /// The node that accepted the link.
    Acceptor,
}

impl ControlDecoder {
    /// Makes a decoder for the acceptor's direction. The dialler's begins with a kind and is read by a
    /// [`StreamDecoder`](super::StreamDecoder).
    pub fn new(limits: Limits) -> Self {
        Self::with_reader(limits, ControlSide::Acceptor, FrameReader::new())
    }

    /// Goes on with a stream whose kind has been read, or whose direction begins without one.
    pub(super) fn with_reader(limits: Limits, from: ControlSide, reader: FrameReader) -> Self {
        Self { limits, from, reader, is_open: false }
    }

    /// Takes the stream's next bytes. See [`CommandStreamDecoder::push`](super::CommandStreamDecoder::push).
    pub fn push(&mut self, chunk: Bytes) {
        self.reader.push(chunk);
    }

    /// Returns the next frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// Whenever the peer broke the rules; the decoder then returns the same error again.
    pub fn next_frame(&mut self) -> Result<Option<ControlFrame>, DecodeError> {
        let (from, is_open, len_max) = (self.from, self.is_open, self.limits.control_bytes_max);
        let admit = |kind, len| admit(from, is_open, kind, len, len_max);
        let Some(raw) = self.reader.next_frame(admit)? else {
            return Ok(None);
        };
        self.decode(raw).map(Some).inspect_err(|error| self.reader.fail(*error))
    }

    /// Checks that the stream ends between two frames. It is for the caller to say that it should not end at all.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when a frame has begun and is not complete.
    pub fn finish(&self) -> Result<(), DecodeError> {
        self.reader.finish()
    }

    /// Returns the bytes that this decoder holds: pushed ones not yet read, and those of an incomplete frame.
    pub fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    pub(super) fn reader(&self) -> &FrameReader {
        &self.reader
    }

    fn decode(&mut self, raw: RawFrame) -> Result<ControlFrame, DecodeError> {
        let Some(kind) = FrameKind::from_wire(raw.kind) else {
            return Err(DecodeError::UnknownKind { kind: raw.kind });
        };
        let frame = decode_control(kind, raw.content, &self.limits)?;
        match &frame {
            ControlFrame::HelloAnswer(answer) if matches!(**answer, HelloAnswer::TooLow { .. }) => {
                if self.is_open {
                    let state = "with a refusal after a welcome";
                    return Err(DecodeError::UnexpectedFrame { frame: kind.as_str(), state });
                }
            }
            _ => self.is_open = true,
        }
        Ok(frame)
    }
}

/// Returns whether a frame may come now, and may be that long.
fn admit(
    from: ControlSide,
    is_open: bool,
    kind: u64,
    len: u64,
    len_max: usize,
) -> Result<Admission, DecodeError> {
    let known = FrameKind::from_wire(kind);
    let state = match (from, known) {
        (ControlSide::Dialler, Some(FrameKind::Hello)) => None,
        (ControlSide::Acceptor, Some(FrameKind::HelloAnswer)) => None,
        (_, Some(FrameKind::Hello | FrameKind::HelloAnswer)) => Some("from the wrong side"),
        (ControlSide::Dialler, _) if !is_open => Some("before the hello"),
        (ControlSide::Acceptor, _) if !is_open => Some("before the welcome"),
        _ => None,
    };
    if let Some(state) = state {
        let frame = known.map_or("unknown", FrameKind::as_str);
        return Err(DecodeError::UnexpectedFrame { frame, state });
    }
    match known {
        Some(known) => check_control_len(known, len, len_max).map(|()| Admission::Take),
        None => admit_unknown(kind, len, len_max),
    }
}

fn check_control_len(kind: FrameKind, len: u64, len_max: usize) -> Result<(), DecodeError> {
    match kind {
        FrameKind::Hello
        | FrameKind::HelloAnswer
        | FrameKind::Settled
        | FrameKind::Reached
        | FrameKind::Ended => check_len("control frame", len, len_max),
        FrameKind::Heartbeat => check_exact_len(kind, len, 0),
        FrameKind::Taken => check_exact_len(kind, len, 8),
        FrameKind::GoAway => check_exact_len(kind, len, 9),
        FrameKind::Cancel | FrameKind::StreamEnded => check_exact_len(kind, len, 16),
        FrameKind::Credit => check_exact_len(kind, len, 25),
        FrameKind::Received => check_exact_len(kind, len, 32),
        other => Err(not_a_control_frame(other)),
    }
}

fn decode_control(kind: FrameKind, content: Bytes, limits: &Limits) -> Result<ControlFrame, DecodeError> {
    let mut fields = Fields::new(kind.as_str(), content);
    let frame = match kind {
        FrameKind::Hello => ControlFrame::Hello(Box::new(decode_hello(&mut fields)?)),
        FrameKind::HelloAnswer => ControlFrame::HelloAnswer(Box::new(decode_answer(&mut fields)?)),
        FrameKind::Heartbeat => ControlFrame::Heartbeat,
        FrameKind::Cancel => ControlFrame::Cancel(fields.key()?),
        FrameKind::Settled => ControlFrame::Settled(decode_settled(&mut fields)?),
        FrameKind::Taken => ControlFrame::Taken { bytes: fields.u64()? },
        FrameKind::StreamEnded => ControlFrame::StreamEnded { stream: fields.u64()?, bytes: fields.u64()? },
        FrameKind::Credit => ControlFrame::Credit {
            key: fields.key()?,
            part: fields.choice(Part::from_wire)?,
            offset: fields.u64()?,
        },
        FrameKind::Received => {
            ControlFrame::Received { key: fields.key()?, updates: fields.u64()?, result_body: fields.u64()? }
        }
        FrameKind::GoAway => ControlFrame::GoAway(GoAway {
            reason: fields.choice(GoAwayReason::from_wire)?,
            retry_after: fields.millis()?,
        }),
        FrameKind::Reached => ControlFrame::Reached(decode_reached(&mut fields)?),
        FrameKind::Ended => {
            return Ok(ControlFrame::Ended { key: fields.key()?, last: decode_last_word(fields, limits)? });
        }
        other => return Err(not_a_control_frame(other)),
    };
    fields.finish()?;
    Ok(frame)
}

fn decode_reached(fields: &mut Fields) -> Result<Reached, DecodeError> {
    Ok(Reached {
        step: fields.choice(Step::from_wire)?,
        epoch: fields.nonzero(Epoch::from_wire)?,
        ranges: decode_ranges(fields, None)?,
    })
}

fn decode_last_word(mut fields: Fields, limits: &Limits) -> Result<LastWord, DecodeError> {
    let last = match fields.u8()? {
        0 => return decode_outcome(fields, limits).map(LastWord::Outcome),
        1 => LastWord::Busy { scope: fields.choice(BusyScope::from_wire)?, retry_after: fields.millis()? },
        2 => LastWord::Stale,
        3 => LastWord::Duplicate,
        _ => return Err(fields.malformed()),
    };
    fields.finish()?;
    Ok(last)
}

fn not_a_control_frame(kind: FrameKind) -> DecodeError {
    DecodeError::UnexpectedFrame { frame: kind.as_str(), state: "on the control stream" }
}
