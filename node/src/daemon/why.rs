//! Why a command has not ended: the send queue's facts in words.

use std::time::{Duration, Instant};

use runnel::codec::CommandId;
use runnel::{Explanation, Stage, Waiting, WaitsFor};
use serde_json::{Value, json};

use super::error::bound_word;
use super::registry::millis;

/// Tells what a command waits for.
pub(super) fn why_json(now: Instant, id: &CommandId, class: &str, explanation: &Explanation) -> Value {
    let Explanation { waiting, unreachable_since } = explanation;
    let left = |until: Option<Instant>| until.map(|until| millis(until.saturating_duration_since(now)));
    let unreachable = unreachable_since.map(|since| now.saturating_duration_since(since));
    json!({
        "id": id.to_string(),
        "stage": stage_word(waiting.stage),
        "reason": reason_word(waiting),
        "position": waiting.position,
        "ahead": waiting.ahead,
        "unreachable_ms": unreachable.map(millis),
        "busy_for_ms": left(waiting.busy_until),
        "resend_in_ms": left(waiting.resend_at),
        "bound": waiting.full.map(bound_word),
        "streams_lost": waiting.streams_lost,
        "links_died": waiting.links_died,
        "is_cancelled": waiting.is_cancelled,
        "is_overdue": waiting.is_overdue,
        "updates_held_bytes": waiting.updates_held_bytes,
        "text": text(now, id, class, waiting, unreachable),
    })
}

/// Tells that a command waits for nothing any more.
pub(super) fn ended_json(id: &CommandId, outcome: &Value) -> Value {
    let kind = outcome["kind"].as_str().unwrap_or("its outcome is being noted");
    json!({ "id": id.to_string(), "stage": "ended", "reason": "ended", "text": format!("it has ended: {kind}") })
}

fn reason_word(waiting: &Waiting) -> &'static str {
    match waiting.waits_for {
        WaitsFor::Store if waiting.stage == Stage::Ending => "ending",
        WaitsFor::Store => "storing",
        WaitsFor::Link => "unreachable",
        WaitsFor::Release => "held",
        WaitsFor::Pause { .. } => "busy",
        WaitsFor::Resend { .. } => "resending",
        WaitsFor::Place { .. } => "no-place",
        WaitsFor::Budget => "no-budget",
        WaitsFor::Turn => "in-line",
        WaitsFor::Answer => "at-receiver",
        WaitsFor::Start => "in-receivers-queue",
        WaitsFor::Handler => "running",
        WaitsFor::Caller => "output-held",
        _ => "other",
    }
}

/// One sentence of the facts that matter, most decisive first.
fn text(
    now: Instant,
    id: &CommandId,
    class: &str,
    waiting: &Waiting,
    unreachable: Option<Duration>,
) -> String {
    let to = &id.receiver;
    let left = |until: Instant| millis(until.saturating_duration_since(now));
    let mut text = match waiting.waits_for {
        WaitsFor::Store if waiting.stage == Stage::Ending => "its outcome is being stored".to_owned(),
        WaitsFor::Store => "its record is being stored".to_owned(),
        WaitsFor::Link => format!("{to} has had no link for {} s", unreachable.unwrap_or_default().as_secs()),
        WaitsFor::Release => format!(
            "{} links to {to} died after it was sent, so it is held back until it is released or abandoned",
            waiting.links_died
        ),
        WaitsFor::Pause { until, .. } => format!("{to} is busy and is asked again in {} ms", left(until)),
        WaitsFor::Resend { at } => {
            format!(
                "its stream was lost ({} in a row); it is sent again in {} ms",
                waiting.streams_lost,
                left(at)
            )
        }
        WaitsFor::Place { reserved } => {
            format!("{to} lets no more streams be open ({reserved} places are left to urgent commands)")
        }
        WaitsFor::Budget => {
            format!("the link to {to} is full: what is in flight below urgent is not yet taken")
        }
        WaitsFor::Turn => format!("the link to {to} is up, and others go first"),
        WaitsFor::Answer => format!("it was sent, and {to} has not answered yet"),
        WaitsFor::Start => format!("it is in the queue of {to} and has not been started"),
        WaitsFor::Handler => format!("it runs on {to}"),
        WaitsFor::Caller => {
            format!(
                "nobody takes its output ({} bytes), so it is held back on {to}",
                waiting.updates_held_bytes
            )
        }
        _ => format!("it waits for {:?}", waiting.waits_for),
    };
    match waiting.position {
        None => {}
        Some(0) => text.push_str(&format!("; it is the first of class {class} to {to}")),
        Some(1) => text.push_str(&format!("; 1 command of class {class} to {to} goes first")),
        Some(ahead) => text.push_str(&format!("; {ahead} commands of class {class} to {to} go first")),
    }
    if let Some(bound) = waiting.full {
        text.push_str(&format!("; the queue takes no more like it ({bound})"));
    }
    if waiting.is_cancelled {
        text.push_str(&format!("; it is to be cancelled, and {to} has not said what came of it"));
    }
    if waiting.is_overdue {
        text.push_str("; its deadline has passed");
    }
    text
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
    use runnel::Bound;
    use runnel::codec::BusyScope;

    use super::*;

    const RUNNING: Waiting = Waiting {
        stage: Stage::Started,
        waits_for: WaitsFor::Handler,
        position: None,
        ahead: None,
        full: None,
        is_reachable: true,
        unreachable_since: None,
        busy_until: None,
        resend_at: None,
        streams_lost: 2,
        links_died: 5,
        runs_lost: 0,
        is_cancelled: false,
        is_overdue: false,
        updates_held_bytes: 70,
    };

    /// Tells it at a moment at which all pauses have 250 ms left.
    fn why(waiting: Waiting, unreachable: Option<Duration>) -> Value {
        let since = Instant::now();
        let now = since + unreachable.unwrap_or_default();
        let until = now + Duration::from_millis(250);
        let waits_for = match waiting.waits_for {
            WaitsFor::Pause { scope, .. } => WaitsFor::Pause { until, scope },
            WaitsFor::Resend { .. } => WaitsFor::Resend { at: until },
            other => other,
        };
        let busy_until = waiting.busy_until.map(|_| until);
        let waiting = Waiting { waits_for, busy_until, ..waiting };
        let id = "ctl.w1.00000000000000ff.7".parse().expect("a valid id");
        let explanation = Explanation { waiting, unreachable_since: unreachable.map(|_| since) };
        why_json(now, &id, "normal", &explanation)
    }

    #[track_caller]
    fn check(waiting: Waiting, reason: &str, text: &str) {
        let why = why(waiting, Some(Duration::from_secs(61)));
        assert_eq!((why["reason"].as_str(), why["text"].as_str()), (Some(reason), Some(text)));
    }

    fn waiting(waits_for: WaitsFor) -> Waiting {
        Waiting { stage: Stage::Waiting, waits_for, ..RUNNING }
    }

    #[test]
    fn each_reason_names_its_facts() {
        let now = Instant::now();
        for (waits_for, reason, text) in [
            (WaitsFor::Store, "storing", "its record is being stored"),
            (WaitsFor::Link, "unreachable", "w1 has had no link for 61 s"),
            (
                WaitsFor::Release,
                "held",
                "5 links to w1 died after it was sent, so it is held back until it is released or abandoned",
            ),
            (
                WaitsFor::Pause { until: now, scope: BusyScope::Peer },
                "busy",
                "w1 is busy and is asked again in 250 ms",
            ),
            (
                WaitsFor::Resend { at: now },
                "resending",
                "its stream was lost (2 in a row); it is sent again in 250 ms",
            ),
            (
                WaitsFor::Place { reserved: 32 },
                "no-place",
                "w1 lets no more streams be open (32 places are left to urgent commands)",
            ),
            (
                WaitsFor::Budget,
                "no-budget",
                "the link to w1 is full: what is in flight below urgent is not yet taken",
            ),
            (WaitsFor::Turn, "in-line", "the link to w1 is up, and others go first"),
            (WaitsFor::Answer, "at-receiver", "it was sent, and w1 has not answered yet"),
            (WaitsFor::Start, "in-receivers-queue", "it is in the queue of w1 and has not been started"),
            (WaitsFor::Handler, "running", "it runs on w1"),
            (WaitsFor::Caller, "output-held", "nobody takes its output (70 bytes), so it is held back on w1"),
        ] {
            check(waiting(waits_for), reason, text);
        }
        check(
            Waiting { stage: Stage::Ending, ..waiting(WaitsFor::Store) },
            "ending",
            "its outcome is being stored",
        );
    }

    #[test]
    fn what_else_is_known_is_said_behind_it() {
        check(
            Waiting { position: Some(4), full: Some(Bound::PeerCommands), ..waiting(WaitsFor::Link) },
            "unreachable",
            "w1 has had no link for 61 s; 4 commands of class normal to w1 go first; the queue takes no more like it \
             (commands to this peer)",
        );
        check(
            Waiting { is_cancelled: true, is_overdue: true, ..RUNNING },
            "running",
            "it runs on w1; it is to be cancelled, and w1 has not said what came of it; its deadline has passed",
        );
    }

    #[test]
    fn figures_are_told_beside_the_text() {
        let why = why(
            Waiting { busy_until: Some(Instant::now()), full: Some(Bound::Bytes), ahead: Some(9), ..RUNNING },
            None,
        );
        assert_eq!(
            (&why["stage"], &why["bound"], &why["ahead"]),
            (&json!("started"), &json!("bytes"), &json!(9))
        );
        assert_eq!((&why["busy_for_ms"], &why["unreachable_ms"]), (&json!(250), &Value::Null));
    }
}
