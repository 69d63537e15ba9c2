//! Outcomes in the words of the API.

use runnel::NotDone;
use runnel::codec::{FailureKind, RejectionKind, UnknownReason};
use serde_json::{Value, json};

use super::command_types::ApiCommand;

/// Tells an outcome in JSON; `None` when the node stopped before there was one.
pub(super) fn outcome_json<C: ApiCommand>(outcome: Result<C::Result, NotDone>) -> Option<Value> {
    Some(match outcome {
        Ok(result) => {
            let mut fields = C::done(result);
            fields.insert("kind".to_owned(), json!("done"));
            Value::Object(fields)
        }
        Err(NotDone::Failed(failure)) => {
            json!({ "kind": "failed", "reason": failure_word(failure.kind), "message": failure.message })
        }
        Err(NotDone::Rejected(rejection)) => {
            json!({ "kind": "rejected", "reason": rejection_word(rejection.kind), "message": rejection.message })
        }
        Err(NotDone::Expired) => json!({ "kind": "expired" }),
        Err(NotDone::Cancelled) => json!({ "kind": "cancelled" }),
        Err(NotDone::Unknown(reason)) => json!({ "kind": "unknown", "reason": unknown_word(reason) }),
        Err(NotDone::NodeStopped) => return None,
        // It ran, and what it says about how is not of its type.
        Err(error) => json!({ "kind": "failed", "reason": "handler", "message": error.to_string() }),
    })
}

fn failure_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Handler => "handler",
        FailureKind::Cancelled => "cancelled",
        FailureKind::DeadlineExceeded => "deadline-exceeded",
        FailureKind::Panicked => "panicked",
        FailureKind::BodyBroken => "body-broken",
        FailureKind::BodyChanged => "body-changed",
    }
}

fn rejection_word(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::UnknownCommand => "unknown-command",
        RejectionKind::Denied => "denied",
        RejectionKind::BadArguments => "bad-arguments",
    }
}

fn unknown_word(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::ReceiverStateLost => "receiver-state-lost",
        UnknownReason::HandlerLost => "handler-lost",
        UnknownReason::Abandoned => "abandoned",
        UnknownReason::Poisoned => "poisoned",
    }
}

#[cfg(test)]
mod tests {
    use runnel::codec::{Failure, Rejection};
    use runnel::commands::Ping;

    use super::*;

    #[track_caller]
    fn check(outcome: Result<u64, NotDone>, expected: Option<Value>) {
        assert_eq!(outcome_json::<Ping>(outcome), expected);
    }

    #[test]
    fn every_outcome_has_its_words() {
        check(Ok(7), Some(json!({ "kind": "done", "result": { "number": 7 } })));
        let failure = Failure { kind: FailureKind::DeadlineExceeded, message: "late".to_owned() };
        check(
            Err(NotDone::Failed(failure)),
            Some(json!({ "kind": "failed", "reason": "deadline-exceeded", "message": "late" })),
        );
        let rejection = Rejection { kind: RejectionKind::Denied, message: "no".to_owned() };
        check(
            Err(NotDone::Rejected(rejection)),
            Some(json!({ "kind": "rejected", "reason": "denied", "message": "no" })),
        );
        check(Err(NotDone::Expired), Some(json!({ "kind": "expired" })));
        check(Err(NotDone::Cancelled), Some(json!({ "kind": "cancelled" })));
        check(
            Err(NotDone::Unknown(UnknownReason::ReceiverStateLost)),
            Some(json!({ "kind": "unknown", "reason": "receiver-state-lost" })),
        );
        check(Err(NotDone::NodeStopped), None);
    }
}
