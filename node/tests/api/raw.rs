//! Commands of types that the daemon does not know: a worker of its own handlers, bytes through the API.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use runnel::certs::Role;
use runnel::codec::{Command, Message};
use runnel::commands::{Exec, ExecArgs, ExecResult, ExecStatus, ExecUpdate};
use runnel::{Context, HandlerError, Handlers, Node, NodeBuilder};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::{Daemon, Fleet};

/// Says a word and how often, a step at a time.
enum Repeat {}

/// Says nothing back.
enum Note {}

impl Command for Repeat {
    const NAME: &'static str = "test.repeat/1";
    type Args = (String, u32);
    type Update = String;
    type Result = (u32, String);
}

impl Message for Note {
    const NAME: &'static str = "test.note/1";
    type Args = String;
}

/// A controller's daemon with this configuration, and a worker `w1` that takes a step of `Repeat` when `steps` lets it.
async fn pair(fleet: &Fleet, config: &str, steps: &Arc<Semaphore>) -> (Daemon, Node) {
    let config = format!("listen = [\"127.0.0.1:0\"]\n{config}\n[peers]\nw1 = []\n");
    let ctl = fleet.start("ctl", Role::Controller, &config).await;
    let address = ctl.ready["listening"][0].as_str().expect("it listens").to_owned();
    let worker = NodeBuilder::new(fleet.issue("w1", Role::Worker))
        .handlers(handlers(steps))
        .peer("ctl".parse().expect("a name"), [address]);
    (ctl, worker.start().await.expect("the worker starts"))
}

fn handlers(steps: &Arc<Semaphore>) -> Handlers {
    let steps = steps.clone();
    let mut handlers = Handlers::new();
    handlers.on::<Repeat, _, _>(move |context: Context<Repeat>, (word, times)| {
        repeat(context, word, times, steps.clone())
    });
    handlers.on_inline::<Note, _>(|_| Ok(()));
    handlers
}

async fn repeat(
    mut context: Context<Repeat>,
    word: String,
    times: u32,
    steps: Arc<Semaphore>,
) -> Result<(u32, String), HandlerError> {
    for _ in 0..times {
        steps.acquire().await?.forget();
        context.update(&word).await?;
    }
    Ok((times, word))
}

fn raw<C: Command>(args: &C::Args) -> Value {
    let args = C::encode_args(args).expect("they are short");
    json!({ "to": "w1", "command": C::NAME, "args_base64": STANDARD.encode(args) })
}

fn bytes(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().expect("base64")).expect("base64")
}

/// Returns the numbers and words of all updates among events.
fn updates(events: &[Value]) -> Vec<(u64, String)> {
    let updates = events.iter().filter(|event| event["event"] == "update");
    let read =
        |event: &Value| Repeat::decode_update(&bytes(&event["base64"])).expect("an update of its type");
    updates.map(|event| (event["update"].as_u64().expect("a number"), read(event))).collect()
}

fn result(outcome: &Value) -> (u32, String) {
    assert_eq!(outcome["kind"], "done", "{outcome}");
    Repeat::decode_result(&bytes(&outcome["result_base64"])).expect("a result of its type")
}

#[tokio::test]
async fn bytes_go_to_the_handler_and_back() {
    let fleet = Fleet::new();
    let (ctl, _worker) = pair(&fleet, "", &Arc::new(Semaphore::new(2))).await;
    let id = ctl.api.submit(raw::<Repeat>(&("ä".to_owned(), 2))).await;
    let mut events = ctl.api.events(&id, "?follow=true").await.rest().await;
    assert_eq!(updates(&events), [(1, "ä".to_owned()), (2, "ä".to_owned())]);
    let outcome = events.pop().expect("the outcome")["outcome"].clone();
    assert_eq!(result(&outcome), (2, "ä".to_owned()));
    let described = ctl.api.get(&format!("/v1/commands/{id}")).await;
    assert_eq!((&described["command"], &described["outcome"]), (&json!("test.repeat/1"), &outcome));
    assert_eq!(described["summary"], "4 bytes of arguments");

    let note = ctl.api.submit(raw::<Note>(&"hello".to_owned())).await;
    assert_eq!(ctl.api.outcome(&note).await, json!({ "kind": "done", "result_base64": "" }));
}

#[tokio::test]
async fn what_the_receiver_does_not_know_or_cannot_read_it_rejects() {
    let fleet = Fleet::new();
    let (ctl, _worker) = pair(&fleet, "", &Arc::new(Semaphore::new(0))).await;
    for (command, args, reason) in
        [("test.other/1", "", "unknown-command"), (Repeat::NAME, "/////w==", "bad-arguments")]
    {
        let id = ctl.api.submit(json!({ "to": "w1", "command": command, "args_base64": args })).await;
        let outcome = ctl.api.outcome(&id).await;
        assert_eq!((&outcome["kind"], &outcome["reason"]), (&json!("rejected"), &json!(reason)), "{outcome}");
    }
}

#[tokio::test]
async fn a_type_that_is_known_can_be_called_by_bytes_too() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "").await;
    let args = ["-c", "echo hello; exit 3"].map(str::to_owned).to_vec();
    let args = ExecArgs { program: "/bin/sh".to_owned(), args, ..ExecArgs::default() };
    let id = ctl.api.submit(raw::<Exec>(&args)).await;
    let mut events = ctl.api.events(&id, "?follow=true").await;
    let update = Exec::decode_update(&bytes(&events.until("update").await["base64"]));
    assert_eq!(update, Ok(ExecUpdate::Stdout(b"hello\n".to_vec())));
    let outcome = events.until("outcome").await["outcome"].clone();
    let result: ExecResult = Exec::decode_result(&bytes(&outcome["result_base64"])).expect("its result");
    assert_eq!(result.status, ExecStatus::Code(3));
}

#[tokio::test]
async fn a_durable_one_is_followed_again_after_a_restart() {
    let fleet = Fleet::new();
    let steps = Arc::new(Semaphore::new(1));
    let (mut ctl, _worker) = pair(&fleet, "state_dir = \"state\"", &steps).await;
    let mut command = raw::<Repeat>(&("on".to_owned(), 2));
    command["key"] = json!("nightly");
    let id = ctl.api.submit(command.clone()).await;
    ctl.api.events(&id, "?follow=true").await.until("update").await;

    ctl.process.kill().await.expect("it is our child");
    let listen = &ctl.ready["listening"];
    let config = format!("listen = {listen}\nstate_dir = \"state\"\n[peers]\nw1 = []\n");
    let ctl = fleet.start("ctl", Role::Controller, &config).await;
    let (status, answer) = ctl.api.ask(Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, answer["id"].as_str()), (200, Some(id.as_str())));
    let rest = ctl.api.events(&id, "?after_update=1&follow=true").await;
    steps.add_permits(1);
    let rest = rest.rest().await;
    assert_eq!(updates(&rest), [(2, "on".to_owned())]);
    assert_eq!(result(&rest.last().expect("the outcome")["outcome"]), (2, "on".to_owned()));

    command["args_base64"] = json!("AA==");
    let (status, error) = ctl.api.ask(Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("key-conflict")));
}
