//! Why a command has not ended: the send queue's facts in words.

use std::time::{Duration, Instant};

use runnel::codec::CommandId;
use runnel::{Explanation, Stage, Waiting};
use serde_json::{Value, json};

use super::registry::millis;

/// Tells what a command waits for.
pub(super) fn why_json(now: Instant, id: &CommandId, class: &str, explanation: &Explanation) -> Value {
    let Explanation { waiting, unreachable_since } = explanation;
    let left = |until: Option<Instant>| until.map(|until| until.saturating_duration_since(now));
    let unreachable = unreachable_since.map(|since| now.saturating_duration_since(since));
    let (busy, resend) = (left(waiting.busy_until), left(waiting.resend_at));
    let reason = reason(waiting, unreachable.is_some(), busy.is_some());
    json!({
        "id": id.to_string(),
        "stage": stage_word(waiting.stage),
        "reason": reason.as_str(),
        "position": waiting.position,
        "unreachable_ms": unreachable.map(millis),
        "busy_for_ms": busy.map(millis),
        "resend_in_ms": resend.map(millis),
        "bound": Value::Null,
        "text": text(reason, id, class, waiting.position, unreachable, busy.or(resend)),
    })
}

/// Tells that a command waits for nothing any more.
pub(super) fn ended_json(id: &CommandId, outcome: &Value) -> Value {
    json!({
        "id": id.to_string(),
        "stage": "ended",
        "reason": "ended",
        "position": null,
        "unreachable_ms": null,
        "busy_for_ms": null,
        "resend_in_ms": null,
        "bound": null,
        "text": format!("it has ended: {}", outcome["kind"].as_str().unwrap_or("unknown")),
    })
}

/// What a command waits for, most decisive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Storing,
    Unreachable,
    Busy,
    Resending,
    InLine,
    NoRoom,
    AtReceiver,
    InReceiversQueue,
    Running,
    Ending,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Storing => "storing",
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Resending => "resending",
            Self::InLine => "in-line",
            Self::NoRoom => "no-room",
            Self::AtReceiver => "at-receiver",
            Self::InReceiversQueue => "in-receivers-queue",
            Self::Running => "running",
            Self::Ending => "ending",
        }
    }
}

fn reason(waiting: &Waiting, is_unreachable: bool, is_busy: bool) -> Reason {
    match waiting.stage {
        Stage::Storing => Reason::Storing,
        Stage::Ending => Reason::Ending,
        _ if is_unreachable => Reason::Unreachable,
        Stage::Waiting if is_busy => Reason::Busy,
        Stage::Waiting if waiting.resend_at.is_some() => Reason::Resending,
        Stage::Waiting if waiting.position.is_some_and(|position| position > 0) => Reason::InLine,
        Stage::Waiting => Reason::NoRoom,
        Stage::Sent => Reason::AtReceiver,
        Stage::Accepted => Reason::InReceiversQueue,
        Stage::Started => Reason::Running,
    }
}

fn text(
    reason: Reason,
    id: &CommandId,
    class: &str,
    position: Option<usize>,
    unreachable: Option<Duration>,
    pause: Option<Duration>,
) -> String {
    let to = &id.receiver;
    let pause = millis(pause.unwrap_or_default());
    let line = match position {
        None => String::new(),
        Some(0) => format!("; it is the first of class {class} to {to}"),
        Some(1) => format!("; 1 command of class {class} to {to} goes first"),
        Some(ahead) => format!("; {ahead} commands of class {class} to {to} go first"),
    };
    match reason {
        Reason::Storing => "its record is being stored".to_owned(),
        Reason::Unreachable => {
            format!("{to} has had no link for {} s{line}", unreachable.unwrap_or_default().as_secs())
        }
        Reason::Busy => format!("{to} is busy and is asked again in {pause} ms{line}"),
        Reason::Resending => format!("its stream was lost; it is sent again in {pause} ms"),
        Reason::InLine => format!("the link to {to} is up{line}"),
        Reason::NoRoom => {
            format!("the link to {to} has no stream place or no budget left for class {class}{line}")
        }
        Reason::AtReceiver => format!("it was sent, and {to} has not answered yet"),
        Reason::InReceiversQueue => format!("it is in the queue of {to} and has not been started"),
        Reason::Running => format!("it runs on {to}"),
        Reason::Ending => "its outcome is being stored".to_owned(),
    }
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Storing | Stage::Waiting => "stored",
        Stage::Sent => "sent",
        Stage::Accepted => "accepted",
        Stage::Started => "started",
        Stage::Ending => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: Waiting = Waiting {
        stage: Stage::Waiting,
        position: Some(0),
        is_reachable: true,
        busy_until: None,
        resend_at: None,
    };

    #[track_caller]
    fn check(waiting: Waiting, unreachable: Option<Duration>, reason: &str, text: &str) {
        let now = Instant::now() + Duration::from_secs(100);
        let unreachable_since = unreachable.map(|unreachable| now - unreachable);
        let busy_until = waiting.busy_until.map(|_| now + Duration::from_millis(250));
        let resend_at = waiting.resend_at.map(|_| now + Duration::from_millis(100));
        let waiting = Waiting { busy_until, resend_at, ..waiting };
        let id = "ctl.w1.00000000000000ff.7".parse().expect("a valid id");
        let why = why_json(now, &id, "normal", &Explanation { waiting, unreachable_since });
        assert_eq!((why["reason"].as_str(), why["text"].as_str()), (Some(reason), Some(text)));
    }

    #[test]
    fn each_reason_names_its_facts() {
        let some = Some(Instant::now());
        let at = |stage| Waiting { stage, position: None, ..WAITING };
        check(
            Waiting { position: Some(4), ..WAITING },
            Some(Duration::from_secs(61)),
            "unreachable",
            "w1 has had no link for 61 s; 4 commands of class normal to w1 go first",
        );
        check(
            Waiting { busy_until: some, ..WAITING },
            None,
            "busy",
            "w1 is busy and is asked again in 250 ms; it is the first of class normal to w1",
        );
        check(
            Waiting { resend_at: some, position: None, ..WAITING },
            None,
            "resending",
            "its stream was lost; it is sent again in 100 ms",
        );
        check(
            Waiting { position: Some(1), ..WAITING },
            None,
            "in-line",
            "the link to w1 is up; 1 command of class normal to w1 goes first",
        );
        check(
            WAITING,
            None,
            "no-room",
            "the link to w1 has no stream place or no budget left for class normal; it is the first of class normal to w1",
        );
        check(at(Stage::Sent), None, "at-receiver", "it was sent, and w1 has not answered yet");
        check(
            at(Stage::Accepted),
            None,
            "in-receivers-queue",
            "it is in the queue of w1 and has not been started",
        );
        check(at(Stage::Started), None, "running", "it runs on w1");
        check(at(Stage::Storing), None, "storing", "its record is being stored");
        check(at(Stage::Ending), None, "ending", "its outcome is being stored");
    }

    #[test]
    fn a_running_command_whose_node_is_gone_is_unreachable() {
        check(
            Waiting { stage: Stage::Started, position: None, ..WAITING },
            Some(Duration::from_secs(3)),
            "unreachable",
            "w1 has had no link for 3 s",
        );
    }
}
