//! A store whose disk is full: it refuses what is new, says so, and goes on when there is room.

use std::path::Path;
use std::process::Command;

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
    let (status, refused) =
        ctl.api.ask(Method::POST, "/v1/commands", shell("gone", "echo").to_string()).await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("store-full")), "{refused}");
    limit_files(&ctl, None);
    let (status, answer) = waiting.await.expect("no panic");
    assert_eq!(status, 201, "{answer}");
    while ctl.api.get("/v1/node").await["store"] != "works" {
        assert!(!answer["id"].is_null(), "{answer}");
    }
    let list = ctl.api.get("/v1/commands").await["commands"].clone();
    let ids: Vec<_> = list.as_array().expect("a list").iter().map(|command| &command["id"]).collect();
    assert_eq!(ids, [&json!(stored), &answer["id"]]);
}

/// A file system in memory, for as long as this lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts one of 4 MiB; `None` where that is not allowed.
    fn mount(folder: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("the folder is ours");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "runnel-test"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Detached at once: the daemon that uses it ends with the test.
        Command::new("umount").arg("--lazy").arg(self.0).status().ok();
    }
}

#[tokio::test]
async fn a_real_disk_that_is_full_refuses_and_goes_on_once_something_has_ended() {
    let fleet = Fleet::new();
    let folder = fleet.folder().join("small");
    let Some(_disk) = SmallDisk::mount(&folder) else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let config =
        format!("state_dir = {folder:?}\n[peers]\ngone = []\n[store.database]\nreserve_bytes = 1048576\n");
    let ctl = fleet.start("ctl", Role::Controller, &config).await;
    let script = format!("echo {}", "x".repeat(40_000));
    let mut stored = Vec::new();
    let refused = loop {
        let command = shell("gone", &script).to_string();
        let (status, answer) = ctl.api.ask(Method::POST, "/v1/commands", command).await;
        match status {
            201 => stored.push(answer["id"].as_str().expect("an id").to_owned()),
            _ => break (status, answer["error"]["code"].clone()),
        }
    };
    assert_eq!(refused, (503, json!("store-full")));
    assert!(stored.len() > 10, "{} commands", stored.len());
    assert_eq!(ctl.api.get("/v1/node").await["store"], "full");
    for id in &stored {
        let (status, answer) = ctl.api.ask(Method::POST, &format!("/v1/commands/{id}/abandon"), "").await;
        assert_eq!(status, 204, "{answer}");
    }
    for id in &stored {
        assert_eq!(ctl.api.outcome(id).await["kind"], "cancelled");
    }
    while ctl.api.get("/v1/node").await["store"] != "works" {}
    ctl.api.submit(shell("gone", &script)).await;
}
