//! What an outcome means on this side: an exit code, and a sentence.

use super::exit::Exit;
use runnel_client::api::Outcome;

/// Whose exit code counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitFrom {
    /// Ours: 1 for every program that failed.
    Table,
    /// The remote program's, if it ran to its end.
    Program,
}

/// Returns how we end after this outcome.
pub(super) fn exit_of(outcome: &Outcome, from: ExitFrom) -> Exit {
    match outcome.kind.as_str() {
        "done" => exit_of_done(outcome, from),
        "failed" => match outcome.reason.as_deref() {
            Some("cancelled") => Exit::Cancelled,
            Some("deadline-exceeded") => Exit::TimedOut,
            _ => Exit::Failed,
        },
        "rejected" => Exit::Rejected,
        "expired" => Exit::Expired,
        "cancelled" => Exit::Cancelled,
        // What a newer node says is not known here either.
        _ => Exit::Unknown,
    }
}

fn exit_of_done(outcome: &Outcome, from: ExitFrom) -> Exit {
    match stopped_by(outcome) {
        Some(TOO_MANY_LINES) => return Exit::Failed,
        Some(_) => return Exit::TimedOut,
        None => {}
    }
    match (outcome.exit_code, outcome.signal) {
        (Some(0), _) => Exit::Success,
        (Some(code), _) if from == ExitFrom::Program => Exit::Remote(u8::try_from(code & 0xff).unwrap_or(1)),
        (None, Some(signal)) if from == ExitFrom::Program => {
            Exit::Remote(u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX))
        }
        (Some(_), _) | (None, Some(_)) => Exit::Failed,
        (None, None) if is_exec(outcome) => Exit::Unknown,
        (None, None) => Exit::Success,
    }
}

/// Returns a few words for a table, such as `exit 3`.
pub(super) fn brief(outcome: &Outcome) -> String {
    if let Some(limit) = stopped_by(outcome) {
        return limit.to_owned();
    }
    match (outcome.kind.as_str(), outcome.exit_code, outcome.signal) {
        ("done", Some(code), _) => format!("exit {code}"),
        ("done", None, Some(signal)) => format!("signal {signal}"),
        ("done", None, None) if is_exec(outcome) => "exit lost".to_owned(),
        (kind, ..) => match &outcome.reason {
            Some(reason) => format!("{kind}: {reason}"),
            None => kind.to_owned(),
        },
    }
}

/// Returns what is to be said on standard error, or `None` if the exit code says it all.
pub(super) fn sentence(outcome: &Outcome) -> Option<String> {
    if let Some(limit) = stopped_by(outcome) {
        return Some(format!("the program was stopped: {limit}"));
    }
    let reason = outcome.reason.as_deref().unwrap_or_default();
    let text = match outcome.kind.as_str() {
        "done" => return sentence_of_done(outcome),
        "failed" => match reason {
            "cancelled" => "cancelled while it ran".to_owned(),
            "deadline-exceeded" => "stopped: its deadline passed while it ran".to_owned(),
            "panicked" => "failed: its handler panicked; the worker's log says where".to_owned(),
            "body-broken" | "body-changed" => "failed: what was sent with it broke off or changed".to_owned(),
            _ => "failed".to_owned(),
        },
        "rejected" => match reason {
            "denied" => "denied: the worker's policy or confinement does not allow it".to_owned(),
            "unknown-command" => {
                "rejected: the worker does not know this command; is its version older?".to_owned()
            }
            _ => "rejected: it never started".to_owned(),
        },
        "expired" => "expired: its deadline passed before it started, and it never will".to_owned(),
        "cancelled" => "cancelled before it started".to_owned(),
        "unknown" => match reason {
            "receiver-state-lost" => {
                "unknown: the worker was restarted and forgot it; it may have run".to_owned()
            }
            "handler-lost" => "unknown: its handler was lost; it may have run".to_owned(),
            "abandoned" => "unknown: it was abandoned; it may have run and may run on".to_owned(),
            "poisoned" => "unknown: it was given up after several runs that did not end".to_owned(),
            _ => "unknown: nobody can say whether it ran".to_owned(),
        },
        kind => format!("it ended as {kind:?}, which this version does not know"),
    };
    Some(match &outcome.message {
        Some(message) if !message.is_empty() => format!("{text}: {message}"),
        _ => text,
    })
}

fn sentence_of_done(outcome: &Outcome) -> Option<String> {
    match (outcome.exit_code, outcome.signal) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the program exited with {code}")),
        (None, Some(signal)) => Some(format!("the program was ended by signal {signal}")),
        (None, None) if is_exec(outcome) => {
            Some("the program ended, but its exit code was lost on the worker".to_owned())
        }
        (None, None) => None,
    }
}

/// Returns which of its limits a program that ran exceeded.
fn stopped_by(outcome: &Outcome) -> Option<&'static str> {
    match outcome.result.get("cause")?.as_str()? {
        "timed-out" => Some("timed out"),
        "no-output" => Some("silent too long"),
        "too-many-lines" => Some(TOO_MANY_LINES),
        _ => None,
    }
}

const TOO_MANY_LINES: &str = "too many lines";

/// Only results of `exec` have a cause.
fn is_exec(outcome: &Outcome) -> bool {
    outcome.result.get("cause").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(outcome: Value, expected: Exit, propagated: Exit, words: &str) {
        let outcome: Outcome = serde_json::from_value(outcome).expect("an outcome");
        assert_eq!(exit_of(&outcome, ExitFrom::Table), expected);
        assert_eq!(exit_of(&outcome, ExitFrom::Program), propagated);
        assert_eq!(brief(&outcome), words);
        assert_eq!(sentence(&outcome).is_none(), expected == Exit::Success, "{:?}", sentence(&outcome));
    }

    fn done(exit_code: Option<i32>, signal: Option<i32>, cause: &str) -> Value {
        json!({ "kind": "done", "exit_code": exit_code, "signal": signal, "result": { "cause": cause } })
    }

    #[test]
    fn a_program_that_ran_gives_its_own_code_only_if_asked_to() {
        check(done(Some(0), None, "natural"), Exit::Success, Exit::Success, "exit 0");
        check(done(Some(3), None, "natural"), Exit::Failed, Exit::Remote(3), "exit 3");
        check(done(Some(81), None, "natural"), Exit::Failed, Exit::Remote(81), "exit 81");
        check(done(None, Some(9), "natural"), Exit::Failed, Exit::Remote(137), "signal 9");
        check(done(None, None, "natural"), Exit::Unknown, Exit::Unknown, "exit lost");
    }

    #[test]
    fn a_program_stopped_by_a_timeout_is_told_apart_from_one_that_was_killed() {
        check(done(None, Some(15), "timed-out"), Exit::TimedOut, Exit::TimedOut, "timed out");
        check(done(Some(0), None, "no-output"), Exit::TimedOut, Exit::TimedOut, "silent too long");
        check(done(Some(0), None, "too-many-lines"), Exit::Failed, Exit::Failed, "too many lines");
    }

    #[test]
    fn every_other_outcome_has_a_code_of_its_own() {
        let failed = |reason: &str| json!({ "kind": "failed", "reason": reason, "message": "no such file" });
        check(failed("handler"), Exit::Failed, Exit::Failed, "failed: handler");
        check(failed("panicked"), Exit::Failed, Exit::Failed, "failed: panicked");
        check(failed("cancelled"), Exit::Cancelled, Exit::Cancelled, "failed: cancelled");
        check(failed("deadline-exceeded"), Exit::TimedOut, Exit::TimedOut, "failed: deadline-exceeded");
        let rejected = json!({ "kind": "rejected", "reason": "denied", "message": "" });
        check(rejected, Exit::Rejected, Exit::Rejected, "rejected: denied");
        check(json!({ "kind": "expired" }), Exit::Expired, Exit::Expired, "expired");
        check(json!({ "kind": "cancelled" }), Exit::Cancelled, Exit::Cancelled, "cancelled");
        let unknown = json!({ "kind": "unknown", "reason": "abandoned" });
        check(unknown, Exit::Unknown, Exit::Unknown, "unknown: abandoned");
        check(json!({ "kind": "evaporated" }), Exit::Unknown, Exit::Unknown, "evaporated");
    }

    #[test]
    fn results_of_other_commands_are_success() {
        check(json!({ "kind": "done", "result": { "number": 0 } }), Exit::Success, Exit::Success, "done");
    }

    #[test]
    fn what_the_handler_says_is_passed_on() {
        let outcome = json!({ "kind": "failed", "reason": "handler", "message": "no program make" });
        let outcome: Outcome = serde_json::from_value(outcome).expect("an outcome");
        assert_eq!(sentence(&outcome).as_deref(), Some("failed: no program make"));
    }
}
