//! Bodies of commands and of results.

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Fleet, shell};

async fn put(api: &Client, id: &str, content: impl Into<hyper::body::Bytes>) -> (u16, Value) {
    api.ask(Method::PUT, &format!("/v1/commands/{id}/body"), content).await
}

#[tokio::test]
async fn a_body_is_the_standard_input_of_a_program() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let mut command = shell("w1", "wc -c");
    command["has_body"] = json!(true);
    let id = ctl.api.submit(command).await;
    // More than fits into a request that is not a body.
    assert_eq!(put(&ctl.api, &id, vec![b'x'; 3_000_000]).await, (204, Value::Null));
    let events = ctl.api.events(&id, "?follow=true").await.rest().await;
    let output: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(output.trim(), "3000000");
}

#[tokio::test]
async fn a_body_is_written_once() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let mut command = shell("w1", "cat >/dev/null; sleep 1000");
    command["has_body"] = json!(true);
    let id = ctl.api.submit(command).await;
    assert_eq!(put(&ctl.api, &id, "all").await.0, 204);
    let (status, answer) = put(&ctl.api, &id, "more").await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("body-taken")));
    let (status, answer) = ctl.api.ask(Method::GET, &format!("/v1/commands/{id}/body"), "").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("no-body")));
    ctl.api.ask(Method::POST, &format!("/v1/commands/{id}/cancel"), "").await;
    ctl.api.outcome(&id).await;
    let (status, answer) = put(&ctl.api, &id, "late").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("ended")));
}

#[tokio::test]
async fn a_file_is_put_and_brought_back() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let path = fleet.folder().join("file");
    let content: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    let args = json!({ "path": path, "kind": "file", "mode": 0o600 });
    let id =
        ctl.api.submit(json!({ "to": "w1", "command": "fs.put/1", "args": args, "has_body": true })).await;
    assert_eq!(put(&ctl.api, &id, content.clone()).await.0, 204);
    let outcome = ctl.api.outcome(&id).await;
    assert_eq!(outcome["result"], json!({ "files": 1, "bytes": 8_000_000 }), "{outcome}");

    let id = ctl.api.submit(json!({ "to": "w1", "command": "fs.get/1", "args": { "path": path } })).await;
    let mut events = ctl.api.events(&id, "?follow=true").await;
    let found = events.until("found").await["found"].clone();
    assert_eq!((&found["kind"], &found["bytes"]), (&json!("file"), &json!(8_000_000)));
    assert_eq!(found["mode"].as_u64().map(|mode| mode & 0o777), Some(0o600));
    let answer = ctl.api.send(Method::GET, &format!("/v1/commands/{id}/body"), "").await;
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    let brought = answer.into_body().collect().await.expect("it comes whole").to_bytes();
    assert!(brought == content, "{} bytes", brought.len());
    assert_eq!(events.until("outcome").await["outcome"]["kind"], "done");
    let (status, answer) = ctl.api.ask(Method::GET, &format!("/v1/commands/{id}/body"), "").await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("body-taken")));
}

#[tokio::test]
async fn a_file_that_is_not_there_has_no_body() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let path = fleet.folder().join("absent");
    let id = ctl.api.submit(json!({ "to": "w1", "command": "fs.get/1", "args": { "path": path } })).await;
    let (status, answer) = ctl.api.ask(Method::GET, &format!("/v1/commands/{id}/body"), "").await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("body-broken")));
    let outcome = ctl.api.outcome(&id).await;
    assert_eq!((&outcome["kind"], &outcome["reason"]), (&json!("failed"), &json!("handler")), "{outcome}");
}

#[tokio::test]
async fn a_request_that_breaks_off_gives_the_body_up() {
    use tokio::io::AsyncWriteExt;

    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let path = fleet.folder().join("half");
    let args = json!({ "path": path, "kind": "file" });
    let id =
        ctl.api.submit(json!({ "to": "w1", "command": "fs.put/1", "args": args, "has_body": true })).await;
    let mut stream = tokio::net::UnixStream::connect(&ctl.api.socket).await.expect("the API listens");
    let request =
        format!("PUT /v1/commands/{id}/body HTTP/1.1\r\nhost: runnel\r\ncontent-length: 1000\r\n\r\nhalf");
    stream.write_all(request.as_bytes()).await.expect("it is read");
    drop(stream);
    assert_eq!(ctl.api.outcome(&id).await["kind"], "failed");
    assert!(!path.exists(), "half a file is no file");
}

#[tokio::test]
async fn a_body_that_was_left_first_goes_with_a_durable_command() {
    let fleet = Fleet::new();
    let durable = "state_dir = \"state\"";
    let ctl = format!("{durable}\n[api]\nbodies_bytes_max = 3000000");
    let (ctl, _worker) = fleet.start_pair(&ctl, durable).await;
    let (status, left) = ctl.api.ask(Method::POST, "/v1/bodies", vec![b'x'; 2_000_000]).await;
    assert_eq!((status, &left["bytes"]), (201, &json!(2_000_000)), "{left}");
    let (status, refused) = ctl.api.ask(Method::POST, "/v1/bodies", vec![b'x'; 2_000_000]).await;
    assert_eq!((status, &refused["error"]["bound"]), (503, &json!("bodies")), "{refused}");

    let mut command = shell("w1", "wc -c");
    command["body"] = left["body"].clone();
    let id = ctl.api.submit(command.clone()).await;
    let (status, answer) = ctl.api.ask(Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("body-taken")), "{answer}");
    assert_eq!(ctl.api.get(&format!("/v1/commands/{id}")).await["delivery"], "durable");
    let events = ctl.api.events(&id, "?follow=true").await.rest().await;
    let output: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(output.trim(), "2000000");
    let (status, answer) = ctl.api.ask(Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("no-body")), "it has gone with its command");
    assert_eq!(
        ctl.api.ask(Method::POST, "/v1/bodies", vec![b'x'; 2_000_000]).await.0,
        201,
        "there is room again"
    );
}
