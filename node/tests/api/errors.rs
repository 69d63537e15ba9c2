//! Every error, with its status and its code.

use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Fleet, shell};

#[track_caller]
fn check(what: &str, (status, answer): (u16, Value), expected: (u16, &str)) {
    let error = &answer["error"];
    assert_eq!((status, error["code"].as_str()), (expected.0, Some(expected.1)), "{what}: {answer}");
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{what}: {answer}");
}

async fn post(api: &Client, content: &str) -> (u16, Value) {
    api.ask(Method::POST, "/v1/commands", content.to_owned()).await
}

#[tokio::test]
async fn wrong_submits_are_refused_with_what_is_wrong() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("[api]\nrequest_bytes_max = 200000", "").await;
    let with = |field: &str, value: Value| {
        let mut command = shell("w1", "true");
        command[field] = value;
        command.to_string()
    };
    let raw = |command: &str, args: &str| {
        json!({ "to": "w1", "command": command, "args_base64": args }).to_string()
    };
    for (content, expected) in [
        ("{".to_owned(), (400, "bad-request")),
        ("{}".to_owned(), (400, "bad-request")),
        (with("kommand", json!(1)), (400, "bad-request")),
        (with("to", json!("W1")), (400, "bad-request")),
        (with("class", json!("express")), (400, "bad-request")),
        (with("deadline_ms", json!(-1)), (400, "bad-request")),
        (with("updates", json!("some")), (400, "bad-request")),
        (with("key", json!("")), (400, "bad-request")),
        (with("key", json!("x".repeat(129))), (400, "bad-request")),
        (with("args", json!({})), (400, "bad-arguments")),
        (with("args", json!({ "program": "a", "stdin": true })), (400, "bad-arguments")),
        (with("command", json!("exec/9")), (422, "unknown-command-type")),
        (with("to", json!("nobody")), (404, "unknown-node")),
        (with("args_base64", json!("")), (400, "bad-request")),
        (raw("mine/1", "AP8"), (400, "bad-arguments")),
        (raw("no name", ""), (400, "bad-request")),
        (raw("mine/1", &"A".repeat(100_000)), (413, "too-large")),
        (with("args", json!({ "program": "x".repeat(70_000) })), (413, "too-large")),
        (with("args", json!({ "program": "x".repeat(300_000) })), (413, "too-large")),
    ] {
        check(&content[..content.len().min(200)], post(&ctl.api, &content).await, expected);
    }
    assert_eq!(ctl.api.get("/v1/commands?all=true").await["commands"], json!([]), "none of them was stored");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let absent = "/v1/commands/ctl.w1.00000000000000ff.7";
    let here = format!("/v1/commands/{}", ctl.api.submit(shell("gone", "true")).await);
    for (method, path, expected) in [
        (Method::GET, "/v1/nothing".to_owned(), (404, "no-such-path")),
        (Method::GET, "/".to_owned(), (404, "no-such-path")),
        (Method::POST, "/v1/node".to_owned(), (405, "method-not-allowed")),
        (Method::DELETE, absent.to_owned(), (405, "method-not-allowed")),
        (Method::GET, absent.to_owned(), (404, "unknown-command")),
        (Method::GET, format!("{absent}/events"), (404, "unknown-command")),
        (Method::GET, format!("{absent}/why"), (404, "unknown-command")),
        (Method::POST, format!("{absent}/cancel"), (404, "unknown-command")),
        (Method::POST, format!("{absent}/abandon"), (404, "unknown-command")),
        (Method::POST, format!("{absent}/release"), (404, "unknown-command")),
        (Method::POST, format!("{here}/release"), (409, "not-held")),
        (Method::GET, format!("{absent}/body"), (404, "unknown-command")),
        (Method::PUT, format!("{absent}/body"), (404, "unknown-command")),
        (Method::PUT, format!("{here}/body"), (404, "no-body")),
        (Method::GET, "/v1/commands/7".to_owned(), (400, "bad-id")),
        (Method::GET, "/v1/commands/7/events".to_owned(), (400, "bad-id")),
        (Method::POST, "/v1/commands/7/cancel".to_owned(), (400, "bad-id")),
        (Method::GET, format!("{here}/events?from=x"), (400, "bad-request")),
        (Method::GET, format!("{here}/events?since=1"), (400, "bad-request")),
        (Method::GET, format!("{here}/events?hold=true"), (400, "bad-request")),
        (Method::GET, "/v1/nodes?watch=true".to_owned(), (400, "bad-request")),
        (Method::GET, "/v1/commands?all=maybe".to_owned(), (400, "bad-request")),
        (Method::GET, "/v1/commands?limit=0".to_owned(), (400, "bad-request")),
        (Method::GET, "/v1/commands?limit=1001".to_owned(), (400, "bad-request")),
        (Method::GET, "/v1/commands?after=ctl".to_owned(), (400, "bad-request")),
    ] {
        let what = format!("{method} {path}");
        check(&what, ctl.api.ask(method, &path, "").await, expected);
    }
}

#[tokio::test]
async fn a_full_queue_names_its_bound_and_when_to_try_again() {
    let fleet = Fleet::new();
    let config =
        "[settings.send_queue]\npeer_commands_max = 2\npeer_commands_min = 0\nretry_after = \"700ms\"";
    let (ctl, _worker) = fleet.start_pair(config, "").await;
    for _ in 0..2 {
        ctl.api.submit(shell("gone", "true")).await;
    }
    let mut keyed = shell("gone", "true");
    keyed["key"] = json!("k");
    for content in [shell("gone", "true"), keyed.clone(), keyed] {
        let (status, answer) = post(&ctl.api, &content.to_string()).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["code"], &error["bound"]),
            (503, &json!("queue-full"), &json!("peer-commands"))
        );
        assert_eq!(error["retry_after_ms"], 700);
    }
    let id = ctl.api.submit(shell("w1", "true")).await;
    assert_eq!(ctl.api.outcome(&id).await["kind"], "done", "others have room");
}

#[tokio::test]
async fn there_is_a_bound_on_keys() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("[api]\nkeys_max = 1", "").await;
    let mut command = shell("gone", "true");
    command["key"] = json!("a");
    ctl.api.submit(command.clone()).await;
    command["key"] = json!("b");
    let (status, answer) = post(&ctl.api, &command.to_string()).await;
    assert_eq!((status, &answer["error"]["bound"]), (503, &json!("keys")), "{answer}");
}
