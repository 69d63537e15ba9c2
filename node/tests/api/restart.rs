//! What the API still knows when its node was killed and started again.

use std::path::Path;
use std::process::Command;

use runnel::certs::Role;
use serde_json::{Value, json};

use crate::client::{Daemon, Fleet, shell};
use crate::supervisors::SUPERVISION;

/// A controller and a worker that both have a store.
async fn pair(fleet: &Fleet, config: &str) -> (Daemon, Daemon) {
    // A worker that has nothing to say learns of a controller's crash with its next heartbeat.
    let worker = format!("{STORE}{SUPERVISION}[settings.liveness]\nidle_interval = \"100ms\"\n");
    fleet.start_pair(&format!("{STORE}{config}"), &worker).await
}

/// Kills the controller and starts it again where its worker looks for it.
async fn restart(fleet: &Fleet, mut controller: Daemon, config: &str) -> Daemon {
    controller.process.kill().await.expect("it is our child");
    let listen = &controller.ready["listening"];
    let config = format!("listen = {listen}\n{STORE}{config}\n[peers]\nw1 = []\ngone = []\n");
    fleet.start("ctl", Role::Controller, &config).await
}

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
async fn a_running_command_is_listed_and_followed_behind_the_last_update() {
    let fleet = Fleet::new();
    let (ctl, _worker) = pair(&fleet, "").await;
    let fifo = fleet.folder().join("fifo");
    make_fifo(&fifo);
    let id = ctl.api.submit_script(&format!("echo one; read line < {}; echo $line", fifo.display())).await;
    let mut events = ctl.api.events(&id, "?follow=true").await;
    assert_eq!(events.until("output").await["update"], 1);
    let before = ctl.api.get(&format!("/v1/commands/{id}")).await;
    assert_eq!(before["delivery"], "durable");

    let ctl = restart(&fleet, ctl, "").await;
    let after = ctl.api.get(&format!("/v1/commands/{id}")).await;
    for field in ["id", "to", "command", "class", "delivery", "summary"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert!(after["age_ms"].as_u64() >= before["age_ms"].as_u64(), "{after}");
    assert_eq!(ctl.api.get(&format!("/v1/commands/{id}/why")).await["id"], id.as_str());
    let whole = ctl.api.events(&id, "?follow=true").await;
    let rest = ctl.api.events(&id, "?after_update=1&follow=true").await;
    tokio::fs::write(&fifo, "two\n").await.expect("the script reads it");
    let (whole, rest) = (whole.rest().await, rest.rest().await);
    assert_eq!((text(&whole).as_str(), text(&rest).as_str()), ("one\ntwo\n", "two\n"));
    assert!(whole.iter().chain(&rest).all(|event| event["event"] != "gap"), "{whole:?}");
    assert_eq!(rest.last().map(|event| &event["outcome"]["exit_code"]), Some(&json!(0)));
}

#[tokio::test]
async fn an_outcome_and_its_output_are_kept_until_the_log_forgets_them() {
    let fleet = Fleet::new();
    let (ctl, _worker) = pair(&fleet, "").await;
    let id = ctl.api.submit_script("echo out; echo err >&2; exit 3").await;
    assert_eq!(ctl.api.outcome(&id).await["exit_code"], 3);
    let in_memory =
        ctl.api.submit(json!({ "to": "w1", "command": "sys.ping/1", "delivery": "memory" })).await;
    ctl.api.outcome(&in_memory).await;

    let ctl = restart(&fleet, ctl, "").await;
    let all = ctl.api.get("/v1/commands?all=true").await["commands"].clone();
    let ids: Vec<_> = all.as_array().expect("a list").iter().map(|command| &command["id"]).collect();
    assert_eq!(ids, [id.as_str()], "what was in memory alone is gone");
    assert_eq!((&all[0]["stage"], &all[0]["outcome"]["exit_code"]), (&json!("ended"), &json!(3)));
    let events = ctl.api.events(&id, "").await.rest().await;
    assert_eq!(text(&events).len(), "out\nerr\n".len());

    // With room for one, it goes when another has ended, and from the store too.
    let mut ctl = restart(&fleet, ctl, "[api]\nended_max = 1\n").await;
    let later = ctl.api.submit(json!({ "to": "w1", "command": "sys.ping/1" })).await;
    ctl.api.outcome(&later).await;
    ctl.stop().await;
    let ctl = restart(&fleet, ctl, "").await;
    let left = ctl.api.get("/v1/commands?all=true").await["commands"].clone();
    let ids: Vec<_> = left.as_array().expect("a list").iter().map(|command| &command["id"]).collect();
    assert_eq!(ids, [later.as_str()]);
}

#[tokio::test]
async fn a_repeated_key_runs_a_command_once_whatever_happens_between() {
    let fleet = Fleet::new();
    let (ctl, _worker) = pair(&fleet, "").await;
    let ran = fleet.folder().join("ran");
    let mut command = shell("w1", &format!("echo x >> {}", ran.display()));
    command["key"] = json!("nightly");
    let id = ctl.api.submit(command.clone()).await;
    let ctl = restart(&fleet, ctl, "").await;
    let (status, answer) = ctl.api.ask(hyper::Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, answer["id"].as_str()), (200, Some(id.as_str())));
    assert_eq!(ctl.api.outcome(&id).await["exit_code"], 0);
    let ctl = restart(&fleet, ctl, "").await;
    let (status, answer) = ctl.api.ask(hyper::Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, answer["id"].as_str()), (200, Some(id.as_str())), "it has ended meanwhile");
    let listed = ctl.api.get("/v1/commands?all=true&key_prefix=night").await;
    assert_eq!(
        (&listed["commands"][0]["id"], &listed["commands"][0]["key"]),
        (&json!(id), &json!("nightly"))
    );
    command["args"]["args"] = json!(["-c", "true"]);
    let (status, answer) = ctl.api.ask(hyper::Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("key-conflict")));
    assert_eq!(std::fs::read_to_string(&ran).expect("it ran"), "x\n");
}

#[tokio::test]
async fn a_log_that_is_full_lets_the_command_go_on_and_begins_late_after_a_restart() {
    let fleet = Fleet::new();
    let config = "[api]\nlog_bytes_max = 20000\n";
    let (ctl, _worker) = pair(&fleet, config).await;
    let id = ctl.api.submit_script("seq 20000").await;
    assert_eq!(ctl.api.outcome(&id).await["exit_code"], 0);
    let ctl = restart(&fleet, ctl, config).await;
    let events = ctl.api.events(&id, "").await.rest().await;
    // Of updates if the queue had let go of them, of events if the log did it anew: the kill decides.
    let gap = events.iter().position(|event| event["event"] == "gap").expect("not all is kept");
    let updates: Vec<u64> = events[gap..].iter().filter_map(|event| event["update"].as_u64()).collect();
    assert!(updates[0] > 1, "{updates:?}");
    assert!(updates.windows(2).all(|pair| pair[1] == pair[0] + 1), "{updates:?}");
    if let Some(last) = events[gap]["update_to"].as_u64() {
        assert_eq!((events[gap]["update_from"].as_u64(), updates[0]), (Some(1), last + 1));
    }
    assert!(text(&events).ends_with("\n20000\n"));
}

#[tokio::test]
async fn a_command_may_not_be_more_durable_than_the_node_can_make_it() {
    let fleet = Fleet::new();
    let with_store = fleet.start("ctl", Role::Controller, &format!("{STORE}[peers]\nw1 = []\n")).await;
    let without = fleet.start("other", Role::Controller, "[peers]\nw1 = []\n").await;
    let mut command = shell("w1", "true");
    command["delivery"] = json!("durable");
    with_store.api.submit(command.clone()).await;
    let (status, answer) = without.api.ask(hyper::Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("no-store")));
    command["has_body"] = json!(true);
    let (status, answer) = with_store.api.ask(hyper::Method::POST, "/v1/commands", command.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad-request")), "{answer}");
    assert_eq!(with_store.api.get("/v1/node").await["store"], "works");
    assert_eq!(without.api.get("/v1/node").await["store"], "none");
}

#[tokio::test]
async fn what_a_forgotten_controller_has_left_is_unknown_to_it() {
    let fleet = Fleet::new();
    let (ctl, worker) = pair(&fleet, "").await;
    // It goes on unheard, and ends with the folder of this test.
    let script = format!("echo on; while [ -e {} ]; do sleep 0.1; done", fleet.folder().display());
    let id = ctl.api.submit_script(&script).await;
    ctl.api.events(&id, "?follow=true").await.until("output").await;
    let forget = |node: &str| format!("/v1/nodes/{node}/forget");
    assert_eq!(worker.api.ask(hyper::Method::POST, &forget("ctl"), "").await.0, 204);
    assert_eq!(ctl.api.outcome(&id).await["kind"], "unknown");
    let (status, answer) = worker.api.ask(hyper::Method::POST, &forget("stranger"), "").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknown-node")));
}

const STORE: &str = "state_dir = \"state\"\n";
