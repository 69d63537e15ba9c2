//! A store whose disk is full: it waits, says so, and goes on when there is room.

use hyper::Method;
use runnel::certs::Role;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::client::{Daemon, Fleet, shell};

/// Bounds the length of the files that a daemon writes.
fn limit_files(daemon: &Daemon, bytes: Option<u64>) {
    let pid = daemon.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(pid, Resource::Fsize, limit).expect("it is ours");
}

#[tokio::test]
async fn what_finds_no_room_waits_until_there_is_some_and_the_node_says_so() {
    let fleet = Fleet::new();
    let config = "state_dir = \"state\"\n[peers]\ngone = []\n";
    let ctl = fleet.start_with_long_files_refused("ctl", Role::Controller, config).await;
    let stored = ctl.api.submit(shell("gone", "true")).await;
    assert_eq!(ctl.api.get("/v1/node").await["store"], "works");
    limit_files(&ctl, Some(1));
    let api = ctl.api.clone();
    let waiting = tokio::spawn(async move {
        api.ask(Method::POST, "/v1/commands", shell("gone", "false").to_string()).await
    });
    while ctl.api.get("/v1/node").await["store"] != "full" {
        assert!(!waiting.is_finished(), "nothing is stored without room");
    }
    assert_eq!(
        ctl.api.get(&format!("/v1/commands/{stored}")).await["stage"],
        "stored",
        "it answers meanwhile"
    );
    limit_files(&ctl, None);
    let (status, answer) = waiting.await.expect("no panic");
    assert_eq!(status, 201, "{answer}");
    assert_eq!(ctl.api.get("/v1/node").await["store"], "works");
    let list = ctl.api.get("/v1/commands").await["commands"].clone();
    let ids: Vec<_> = list.as_array().expect("a list").iter().map(|command| &command["id"]).collect();
    assert_eq!(ids, [&json!(stored), &answer["id"]]);
}
