//! Reading what a command's receiver answers: acceptance, progress, the outcome.

use bytes::Bytes;

use super::command_stream::{BODY_END_BYTES, decode_body_end};
use super::fields::Fields;
use super::frame_reader::{Admission, FrameReader, RawFrame, admit_unknown, check_exact_len, check_len};
use crate::error::DecodeError;
use crate::frame::{BusyScope, StreamFrame};
use crate::kind::FrameKind;
use crate::limits::Limits;
use crate::outcome::{
    Failure, FailureKind, MESSAGE_BYTES_MAX, Outcome, Rejection, RejectionKind, UnknownReason,
};

/// Reads the answers on a command's stream at its sender.
///
/// The order it enforces: first `Accepted` or one of the last frames; `Started` at most once, updates numbered without
/// gaps, nothing of the result body after its end; nothing after one of the last frames, which are `Outcome`, `Busy`,
/// `Stale` and `Duplicate`. The latter three come only as the first.
#[derive(Debug)]
#[must_use]
pub struct ReplyDecoder {
    limits: Limits,
    reader: FrameReader,
    state: State,
    updates_received: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unanswered,
    Accepted { is_started: bool, result_body_ended: bool },
    Ended,
}

impl ReplyDecoder {
    /// Makes a decoder for the answers to a head that said `updates_received`.
    pub fn new(limits: Limits, updates_received: u64) -> Self {
        Self { limits, reader: FrameReader::new(), state: State::Unanswered, updates_received }
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
    pub fn next_frame(&mut self) -> Result<Option<StreamFrame>, DecodeError> {
        let (limits, state) = (self.limits, self.state);
        let Some(raw) = self.reader.next_frame(|kind, len| state.admit(kind, len, &limits))? else {
            return Ok(None);
        };
        self.decode(raw).map(Some).inspect_err(|error| self.reader.fail(*error))
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when it has not come to its last frame. A receiver that gives a stream up resets it.
    pub fn finish(&self) -> Result<(), DecodeError> {
        self.reader.finish()?;
        if self.is_complete() { Ok(()) } else { Err(DecodeError::Truncated) }
    }

    /// Returns whether the last frame has come.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Returns the number of the last update: the one given at first, if none has come.
    pub fn updates_received(&self) -> u64 {
        self.updates_received
    }

    /// Returns the bytes that this decoder holds: pushed ones not yet read, and those of an incomplete frame.
    pub fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    /// Returns the bytes of everything that was read completely, skipped frames included, since the stream began.
    pub fn completed_bytes(&self) -> u64 {
        self.reader.completed_bytes()
    }

    fn decode(&mut self, raw: RawFrame) -> Result<StreamFrame, DecodeError> {
        let Some(kind) = FrameKind::from_wire(raw.kind) else {
            return Err(DecodeError::UnknownKind { kind: raw.kind });
        };
        let frame = decode_reply(kind, raw.content, &self.limits)?;
        if let StreamFrame::Update { number, .. } = frame {
            if Some(number) != self.updates_received.checked_add(1) {
                return Err(DecodeError::Malformed { what: "number of an update" });
            }
            self.updates_received = number;
        }
        self.state = self.state.after(kind);
        Ok(frame)
    }
}

impl State {
    /// Returns whether a frame may come now, and may be that long.
    fn admit(self, kind: u64, len: u64, limits: &Limits) -> Result<Admission, DecodeError> {
        let Some(known) = FrameKind::from_wire(kind) else {
            if let Self::Ended = self {
                return Err(DecodeError::UnexpectedFrame { frame: "unknown", state: self.as_str() });
            }
            return admit_unknown(kind, len, limits.piece_bytes_max);
        };
        if !self.allows(known) {
            return Err(DecodeError::UnexpectedFrame { frame: known.as_str(), state: self.as_str() });
        }
        check_reply_len(known, len, limits).map(|()| Admission::Take)
    }

    fn allows(self, kind: FrameKind) -> bool {
        match self {
            Self::Unanswered => matches!(
                kind,
                FrameKind::Accepted
                    | FrameKind::Outcome
                    | FrameKind::Busy
                    | FrameKind::Stale
                    | FrameKind::Duplicate
            ),
            Self::Accepted { is_started, result_body_ended } => match kind {
                FrameKind::Started => !is_started,
                FrameKind::Update | FrameKind::Outcome => true,
                FrameKind::ResultBody | FrameKind::ResultBodyEnd => !result_body_ended,
                _ => false,
            },
            Self::Ended => false,
        }
    }

    fn after(self, kind: FrameKind) -> Self {
        match (self, kind) {
            (Self::Unanswered, FrameKind::Accepted) => {
                Self::Accepted { is_started: false, result_body_ended: false }
            }
            (Self::Accepted { result_body_ended, .. }, FrameKind::Started) => {
                Self::Accepted { is_started: true, result_body_ended }
            }
            (Self::Accepted { is_started, .. }, FrameKind::ResultBodyEnd) => {
                Self::Accepted { is_started, result_body_ended: true }
            }
            (Self::Accepted { .. }, FrameKind::Update | FrameKind::ResultBody) => self,
            _ => Self::Ended,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "before the answer to the head",
            Self::Accepted { .. } => "after acceptance",
            Self::Ended => "after the last frame",
        }
    }
}

fn check_reply_len(kind: FrameKind, len: u64, limits: &Limits) -> Result<(), DecodeError> {
    match kind {
        FrameKind::Accepted => check_exact_len(kind, len, 16),
        FrameKind::Busy => check_exact_len(kind, len, 9),
        FrameKind::ResultBodyEnd => check_exact_len(kind, len, BODY_END_BYTES),
        FrameKind::Update => check_len("update", len, limits.update_bytes_max.saturating_add(8)),
        FrameKind::ResultBody => check_len("piece of a result body", len, limits.piece_bytes_max),
        FrameKind::Outcome => {
            check_len("outcome", len, limits.result_bytes_max.saturating_add(1).max(MESSAGE_BYTES_MAX + 2))
        }
        _ => check_exact_len(kind, len, 0),
    }
}

fn decode_reply(kind: FrameKind, content: Bytes, limits: &Limits) -> Result<StreamFrame, DecodeError> {
    let mut fields = Fields::new(kind.as_str(), content);
    let frame = match kind {
        FrameKind::Accepted => {
            StreamFrame::Accepted { body_received: fields.u64()?, body_credit: fields.u64()? }
        }
        FrameKind::Started => StreamFrame::Started,
        FrameKind::Update => {
            return Ok(StreamFrame::Update { number: fields.u64()?, content: fields.into_rest() });
        }
        FrameKind::ResultBody => return Ok(StreamFrame::ResultBody(fields.into_rest())),
        FrameKind::ResultBodyEnd => {
            return decode_body_end(kind, fields.into_rest()).map(StreamFrame::ResultBodyEnd);
        }
        FrameKind::Outcome => return decode_outcome(fields, limits).map(StreamFrame::Outcome),
        FrameKind::Busy => {
            StreamFrame::Busy { scope: fields.choice(BusyScope::from_wire)?, retry_after: fields.millis()? }
        }
        FrameKind::Stale => StreamFrame::Stale,
        FrameKind::Duplicate => StreamFrame::Duplicate,
        other => {
            let state = "among the answers to a head";
            return Err(DecodeError::UnexpectedFrame { frame: other.as_str(), state });
        }
    };
    fields.finish()?;
    Ok(frame)
}

pub(super) fn decode_outcome(mut fields: Fields, limits: &Limits) -> Result<Outcome, DecodeError> {
    let outcome = match fields.u8()? {
        0 => {
            let result = fields.into_rest();
            check_len("result", result.len() as u64, limits.result_bytes_max)?;
            return Ok(Outcome::Done { result });
        }
        1 => {
            let kind = fields.choice(FailureKind::from_wire)?;
            Outcome::Failed(Failure { kind, message: decode_message(&mut fields)? })
        }
        2 => {
            let kind = fields.choice(RejectionKind::from_wire)?;
            Outcome::Rejected(Rejection { kind, message: decode_message(&mut fields)? })
        }
        3 => Outcome::Expired,
        4 => Outcome::Cancelled,
        5 => Outcome::Unknown(fields.choice(UnknownReason::from_wire)?),
        _ => return Err(fields.malformed()),
    };
    fields.finish()?;
    Ok(outcome)
}

fn decode_message(fields: &mut Fields) -> Result<String, DecodeError> {
    let len = fields.remaining();
    check_len("message of an outcome", len as u64, MESSAGE_BYTES_MAX)?;
    fields.text(len, |text| Ok::<_, DecodeError>(text.to_owned()))
}
