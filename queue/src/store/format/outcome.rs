//! Outcomes as bytes.

use bytes::{BufMut, BytesMut};
use runnel_codec::{FailureKind, MESSAGE_BYTES_MAX, Outcome, RejectionKind, UnknownReason};

use super::fields::{Fields, Malformed, put_bytes};

pub(super) fn put_outcome(outcome: &Outcome, out: &mut BytesMut) {
    match outcome {
        Outcome::Done { result } => {
            out.put_u8(0);
            put_bytes(result, out);
        }
        Outcome::Failed(failure) => {
            out.put_u8(1);
            out.put_u8(number_of_failure(failure.kind));
            put_message(&failure.message, out);
        }
        Outcome::Rejected(rejection) => {
            out.put_u8(2);
            out.put_u8(number_of_rejection(rejection.kind));
            put_message(&rejection.message, out);
        }
        Outcome::Expired => out.put_u8(3),
        Outcome::Cancelled => out.put_u8(4),
        Outcome::Unknown(reason) => {
            out.put_u8(5);
            out.put_u8(number_of_reason(*reason));
        }
    }
}

pub(super) fn outcome(fields: &mut Fields) -> Result<Outcome, Malformed> {
    Ok(match fields.u8()? {
        0 => Outcome::Done { result: fields.bytes()? },
        1 => Outcome::failed(fields.choice(&FAILURES)?, message(fields)?),
        2 => Outcome::rejected(fields.choice(&REJECTIONS)?, message(fields)?),
        3 => Outcome::Expired,
        4 => Outcome::Cancelled,
        5 => Outcome::Unknown(fields.choice(&REASONS)?),
        _ => return Err(Malformed("number of an unknown outcome")),
    })
}

fn message(fields: &mut Fields) -> Result<String, Malformed> {
    let message = fields.text()?;
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed("message above the limit"));
    }
    Ok(message)
}

fn put_message(message: &str, out: &mut BytesMut) {
    put_bytes(&message.as_bytes()[..message.floor_char_boundary(MESSAGE_BYTES_MAX)], out);
}

/// By their numbers.
const FAILURES: [FailureKind; 6] = [
    FailureKind::Handler,
    FailureKind::Cancelled,
    FailureKind::DeadlineExceeded,
    FailureKind::Panicked,
    FailureKind::BodyBroken,
    FailureKind::BodyChanged,
];

fn number_of_failure(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Handler => 0,
        FailureKind::Cancelled => 1,
        FailureKind::DeadlineExceeded => 2,
        FailureKind::Panicked => 3,
        FailureKind::BodyBroken => 4,
        FailureKind::BodyChanged => 5,
    }
}

/// By their numbers.
const REJECTIONS: [RejectionKind; 3] =
    [RejectionKind::UnknownCommand, RejectionKind::Denied, RejectionKind::BadArguments];

fn number_of_rejection(kind: RejectionKind) -> u8 {
    match kind {
        RejectionKind::UnknownCommand => 0,
        RejectionKind::Denied => 1,
        RejectionKind::BadArguments => 2,
    }
}

/// By their numbers.
const REASONS: [UnknownReason; 4] = [
    UnknownReason::ReceiverStateLost,
    UnknownReason::HandlerLost,
    UnknownReason::Abandoned,
    UnknownReason::Poisoned,
];

fn number_of_reason(reason: UnknownReason) -> u8 {
    match reason {
        UnknownReason::ReceiverStateLost => 0,
        UnknownReason::HandlerLost => 1,
        UnknownReason::Abandoned => 2,
        UnknownReason::Poisoned => 3,
    }
}
