//! Reading the log of a command: live, late, from the middle, slowly.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::client::{Fleet, shell};

/// A pipe with a name: a script waits at it until the test writes.
fn make_fifo(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status().expect("mkfifo is there");
    assert!(status.success());
}

/// Returns the text of all output among events.
fn text(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["text"].as_str()).collect()
}

#[tokio::test]
async fn several_clients_follow_one_command_and_a_lost_one_goes_on_where_it_was() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let fifo = fleet.folder().join("fifo");
    make_fifo(&fifo);
    let id = ctl.api.submit_script(&format!("echo one; read line < {}; echo $line", fifo.display())).await;
    let (mut first, mut second) =
        (ctl.api.events(&id, "?follow=true").await, ctl.api.events(&id, "?follow=true").await);
    let one = first.until("output").await;
    assert_eq!(second.until("output").await, one);
    drop(second);
    // Without `follow` the stream ends with what is there.
    let so_far = ctl.api.events(&id, "").await.rest().await;
    assert_eq!(so_far.last(), Some(&one));

    tokio::fs::write(&fifo, "two\n").await.expect("the script reads it");
    let next = one["n"].as_u64().expect("a number") + 1;
    let resumed = ctl.api.events(&id, &format!("?from={next}&follow=true")).await.rest().await;
    assert_eq!(first.rest().await, resumed);
    assert_eq!(text(&resumed), "two\n");
    assert_eq!(resumed.last().map(|event| &event["event"]), Some(&"outcome".into()));
}

#[tokio::test]
async fn nobody_reads_and_the_command_goes_on_and_a_gap_is_said() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("[api]\nlog_bytes_max = 20000", "").await;
    let id = ctl.api.submit_script(MUCH).await;
    assert_eq!(ctl.api.outcome(&id).await["exit_code"], 0);
    let events = ctl.api.events(&id, "?from=3").await.rest().await;
    assert_eq!((&events[0]["event"], &events[0]["from"]), (&"gap".into(), &3.into()));
    assert_eq!(events[0].get("n"), None, "a gap has no number of its own");
    let after = events[0]["to"].as_u64().expect("a number") + 1;
    for (event, n) in events[1..].iter().zip(after..) {
        assert_eq!(event["n"], n);
    }
    assert!(text(&events).ends_with("\n20000\n"), "the end of the output is kept");
    assert_eq!(events.last().map(|event| &event["event"]), Some(&"outcome".into()));
}

#[tokio::test]
async fn who_follows_from_the_start_gets_everything_however_small_the_log() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("[api]\nlog_bytes_max = 20000", "").await;
    let fifo = fleet.folder().join("fifo");
    make_fifo(&fifo);
    let id = ctl.api.submit_script(&format!("read line < {}; {MUCH}", fifo.display())).await;
    let events = ctl.api.events(&id, "?follow=true").await;
    tokio::fs::write(&fifo, "go\n").await.expect("the script reads it");
    let events = events.rest().await;
    let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(text(&events) == expected, "{} bytes instead of {}", text(&events).len(), expected.len());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up_on() {
    let fleet = Fleet::new();
    let config = "[api]\nlog_bytes_max = 20000\nreader_patience = \"50ms\"";
    let (ctl, _worker) = fleet.start_pair(config, "").await;
    let id = ctl.api.submit_script("seq 1000000").await;
    let stuck = ctl.api.events(&id, "?follow=true").await;
    assert_eq!(ctl.api.outcome(&id).await["exit_code"], 0);
    let events = stuck.rest().await;
    assert!(events.iter().any(|event| event["event"] == "gap"), "it missed something");
    assert_eq!(events.last().map(|event| &event["event"]), Some(&"outcome".into()));
}

#[tokio::test]
async fn a_client_that_is_waited_for_without_end_misses_nothing_and_holds_until_it_is_gone() {
    let fleet = Fleet::new();
    let config = "[api]\nlog_bytes_max = 20000\nreader_patience = \"50ms\"";
    let (ctl, _worker) = fleet.start_pair(config, "").await;
    let start = async |name: &str, query: &str| {
        let fifo = fleet.folder().join(name);
        make_fifo(&fifo);
        let script = format!("read line < {}; seq 1000000", fifo.display());
        let id = ctl.api.submit_script(&script).await;
        let events = ctl.api.events(&id, query).await;
        tokio::fs::write(&fifo, "go\n").await.expect("the script reads it");
        (id, events)
    };
    let (held, holder) = start("held", "?follow=true&hold=true").await;
    let (other, other_holder) = start("other", "?follow=true&hold=true").await;
    // Patience is over for one that came after both.
    let (third, _stuck) = start("third", "?follow=true").await;
    assert_eq!(ctl.api.outcome(&third).await["exit_code"], 0);
    for id in [&held, &other] {
        assert_eq!(ctl.api.get(&format!("/v1/commands/{id}")).await["stage"], "started");
    }
    drop(other_holder);
    assert_eq!(ctl.api.outcome(&other).await["exit_code"], 0);
    let events = holder.rest().await;
    assert!(events.iter().all(|event| event["event"] != "gap"), "it missed something");
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert!(text(&events) == expected, "{} bytes instead of {}", text(&events).len(), expected.len());
    assert_eq!(events.last().map(|event| &event["event"]), Some(&"outcome".into()));
}

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(100);

/// Some 109 KB of output.
const MUCH: &str = "seq 20000";

#[tokio::test]
async fn who_submits_a_command_may_come_later_and_misses_nothing() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("[api]\nlog_bytes_max = 20000", "").await;
    let mut request = shell("w1", "seq 1000000");
    request["hold"] = true.into();
    let id = ctl.api.submit(request).await;
    // Without a reader the log is full by then, and the handler waits.
    let is_held =
        async { while ctl.api.get(&format!("/v1/commands/{id}/why")).await["reason"] != "output-held" {} };
    timeout(PATIENCE, is_held).await.expect("its output is held");
    let events = ctl.api.events(&id, "?follow=true").await.rest().await;
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert!(text(&events) == expected, "{} bytes instead of {}", text(&events).len(), expected.len());
}
