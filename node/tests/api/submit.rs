//! Submitting, describing, cancelling, explaining.

use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Fleet, shell};

#[tokio::test]
async fn a_command_is_told_from_its_submit_to_its_outcome() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let id = ctl.api.submit_script("echo hello; printf '\\377' >&2; exit 3").await;
    let outcome = json!({ "kind": "done", "exit_code": 3, "signal": null, "result": { "cause": "natural" } });
    assert_eq!(ctl.api.outcome(&id).await, outcome);
    let events = ctl.api.events(&id, "").await.rest().await;
    for (event, n) in events.iter().zip(1u64..) {
        assert_eq!(event["n"], n);
        assert!(event["at_ms"].as_u64().expect("a number") > 1_700_000_000_000, "milliseconds since 1970");
    }
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["stored", "sent", "accepted", "started", "output", "output", "outcome"]);
    let output =
        |stream: &str| events.iter().find(|event| event["stream"] == stream).expect("it put that out");
    assert_eq!(output("stdout")["text"], "hello\n");
    assert_eq!(output("stderr")["base64"], "/w==");
    assert_eq!(events[6]["outcome"], outcome);
    assert_eq!(ctl.api.events(&id, "?from=7&follow=true").await.rest().await, events[6..]);

    let described = ctl.api.get(&format!("/v1/commands/{id}")).await;
    for (field, expected) in [
        ("id", json!(id)),
        ("to", json!("w1")),
        ("command", json!("exec/1")),
        ("class", json!("normal")),
        ("stage", json!("ended")),
        ("outcome", outcome),
        ("is_overdue", json!(false)),
        ("deadline_ms", Value::Null),
        ("summary", json!("/bin/sh -c 'echo hello; printf '\\''\\377'\\'' >&2; exit 3'")),
    ] {
        assert_eq!(described[field], expected, "{field}");
    }
    assert!(described["age_ms"].is_u64() && described["ended_ms"].is_u64(), "{described}");
    assert_eq!(ctl.api.get("/v1/commands").await["commands"], json!([]));
    assert_eq!(ctl.api.get("/v1/commands?all=true").await["commands"][0]["id"], json!(id));
    assert_eq!(ctl.api.get(&format!("/v1/commands/{id}/why")).await["reason"], "ended");
}

#[tokio::test]
async fn people_see_of_a_command_what_its_sender_wants_them_to() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let secret = json!({
        "to": "w1", "command": "exec/1", "summary": "login XXXX\n",
        "args": { "program": "/bin/echo", "args": ["hunter2"] },
    });
    let id = ctl.api.submit(secret).await;
    ctl.api.outcome(&id).await;
    assert_eq!(ctl.api.get(&format!("/v1/commands/{id}")).await["summary"], "login XXXX ");
}

#[tokio::test]
async fn every_type_of_command_can_be_called() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let ping = ctl.api.submit(json!({ "to": "w1", "command": "sys.ping/1", "args": { "number": 7 } })).await;
    assert_eq!(ctl.api.outcome(&ping).await, json!({ "kind": "done", "result": { "number": 7 } }));
    let info = ctl.api.submit(json!({ "to": "w1", "command": "sys.info/1", "class": "urgent" })).await;
    assert_eq!(ctl.api.outcome(&info).await["result"]["os"], std::env::consts::OS);
    assert_eq!(ctl.api.get(&format!("/v1/commands/{info}")).await["class"], "urgent");
    let exec = json!({
        "to": "w1", "command": "exec/1", "updates": "discard",
        "args": { "program": "/bin/sh", "args": ["-c", "echo unseen; kill -9 $$"], "env": { "A": "b" },
                  "cwd": "/", "timeout_ms": 60_000, "no_output_timeout_ms": 60_000, "kill_grace_ms": 100 },
    });
    let exec = ctl.api.submit(exec).await;
    let outcome = ctl.api.outcome(&exec).await;
    assert_eq!((&outcome["exit_code"], &outcome["signal"]), (&Value::Null, &json!(9)), "{outcome}");
    let events = ctl.api.events(&exec, "").await.rest().await;
    assert!(events.iter().all(|event| event["event"] != "output"), "its output was discarded: {events:?}");
}

#[tokio::test]
async fn what_waits_for_a_node_that_is_gone_says_so_and_can_be_cancelled() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let first = ctl.api.submit(shell("gone", "true")).await;
    let second = ctl.api.submit(shell("gone", "true")).await;
    let why = ctl.api.get(&format!("/v1/commands/{second}/why")).await;
    assert_eq!(
        (&why["id"], &why["stage"], &why["reason"]),
        (&json!(second), &json!("stored"), &json!("unreachable"))
    );
    assert_eq!(why["position"], 1);
    assert!(why["unreachable_ms"].is_u64(), "{why}");
    assert!(why["text"].as_str().expect("a text").contains("gone has had no link for"), "{why}");
    let open = ctl.api.get("/v1/commands").await["commands"].clone();
    let ids: Vec<_> = open.as_array().expect("a list").iter().map(|command| &command["id"]).collect();
    assert_eq!(ids, [&json!(first), &json!(second)]);

    let cancel = format!("/v1/commands/{first}/cancel");
    assert_eq!(ctl.api.ask(Method::POST, &cancel, "").await, (204, Value::Null));
    assert_eq!(ctl.api.outcome(&first).await, json!({ "kind": "cancelled" }));
    let (status, error) = ctl.api.ask(Method::POST, &cancel, "").await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("ended")));
}

#[tokio::test]
async fn what_runs_can_be_cancelled() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let id = ctl.api.submit_script("echo running; sleep 1000").await;
    let mut events = ctl.api.events(&id, "?follow=true").await;
    events.until("output").await;
    let why = ctl.api.get(&format!("/v1/commands/{id}/why")).await;
    assert_eq!(
        (&why["stage"], &why["reason"], &why["text"]),
        (&json!("started"), &json!("running"), &json!("it runs on w1"))
    );
    let (status, _) = ctl.api.ask(Method::POST, &format!("/v1/commands/{id}/cancel"), "").await;
    assert_eq!(status, 204);
    let outcome = events.until("outcome").await["outcome"].clone();
    assert_eq!((&outcome["kind"], &outcome["reason"]), (&json!("failed"), &json!("cancelled")), "{outcome}");
    assert_eq!(events.next().await, None, "the outcome is the last event");
}

#[tokio::test]
async fn what_was_given_up_is_unknown_if_it_may_have_left_and_cancelled_if_not() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let waiting = ctl.api.submit(shell("gone", "true")).await;
    let running = ctl.api.submit_script("echo running; sleep 1000").await;
    ctl.api.events(&running, "?follow=true").await.until("output").await;
    for (id, outcome) in [
        (waiting, json!({ "kind": "cancelled" })),
        (running, json!({ "kind": "unknown", "reason": "abandoned" })),
    ] {
        let abandon = format!("/v1/commands/{id}/abandon");
        assert_eq!(ctl.api.ask(Method::POST, &abandon, "").await, (204, Value::Null));
        assert_eq!(ctl.api.outcome(&id).await, outcome);
        let (status, error) = ctl.api.ask(Method::POST, &abandon, "").await;
        assert_eq!((status, &error["error"]["code"]), (404, &json!("ended")));
    }
}

#[tokio::test]
async fn a_deadline_ends_what_has_not_left() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let mut command = shell("gone", "true");
    command["deadline_ms"] = json!(20);
    let id = ctl.api.submit(command).await;
    assert_eq!(ctl.api.outcome(&id).await, json!({ "kind": "expired" }));
}

#[tokio::test]
async fn a_rule_of_the_worker_rejects_what_it_denies() {
    let fleet = Fleet::new();
    let rules = "[[policy.rules]]\naction = \"deny\"\nrole = \"controller\"\ncommands = [\"exec/*\"]\n";
    let (ctl, _worker) = fleet.start_pair("", rules).await;
    let id = ctl.api.submit_script("true").await;
    let outcome = ctl.api.outcome(&id).await;
    assert_eq!((&outcome["kind"], &outcome["reason"]), (&json!("rejected"), &json!("denied")), "{outcome}");
    let ping = ctl.api.submit(json!({ "to": "w1", "command": "sys.ping/1" })).await;
    assert_eq!(ctl.api.outcome(&ping).await["kind"], "done");
}

#[tokio::test]
async fn a_key_stands_for_one_command() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let mut command = shell("w1", "true");
    command["key"] = json!("build 7");
    let id = ctl.api.submit(command.clone()).await;
    let repeated = ctl.api.ask(Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!(repeated, (200, json!({ "id": id })));
    command["args"]["args"][1] = json!("false");
    let (status, error) = ctl.api.ask(Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("key-conflict")));
    let listed = ctl.api.get("/v1/commands?all=true&key_prefix=build%20").await;
    assert_eq!(
        (&listed["commands"][0]["id"], &listed["commands"][0]["key"]),
        (&json!(id), &json!("build 7"))
    );
    assert_eq!(ctl.api.get("/v1/commands?all=true&key_prefix=test").await["commands"], json!([]));
    assert_eq!(ctl.api.get("/v1/commands?all=true").await["commands"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(json!(ctl.api.submit(shell("gone", "true")).await));
    }
    let (mut listed, mut pages, mut after) = (Vec::new(), 0, json!(0));
    while !after.is_null() {
        let page = ctl.api.get(&format!("/v1/commands?limit=2&after={after}")).await;
        let commands = page["commands"].as_array().expect("a list");
        listed.extend(commands.iter().map(|command| command["id"].clone()));
        after = page["next"].clone();
        pages += 1;
    }
    assert_eq!((listed, pages), (submitted, 3));
    assert_eq!(ctl.api.get("/v1/commands").await["next"], json!(null));
}
