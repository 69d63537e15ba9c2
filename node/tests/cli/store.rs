//! What the command line gets from a node that is killed and started again.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use serde_json::Value;

use crate::house::{House, end, read_line};

/// Numbered lines, a stop in the middle until `go` is there, and an exit code of its own.
const SCRIPT: &str = "seq 1 3000; while [ ! -e go ]; do sleep 0.05; done; seq 3001 6000; exit 7";

fn expected() -> String {
    (1..=6000).map(|number| format!("{number}\n")).collect()
}

#[test]
fn a_build_is_that_of_an_undisturbed_run_whichever_daemons_are_killed_in_the_middle() {
    let mut house = House::start_durable();
    check_build(&mut house, &[Daemon::Worker], House::kill_worker, House::kill_controller);
    let said = check_build(&mut house, &[Daemon::Controller], House::kill_worker, House::kill_controller);
    assert!(said.contains("the node went away"), "{said}");
    assert!(said.contains("the node is back"), "{said}");
    check_build(
        &mut house,
        &[Daemon::Controller, Daemon::Worker],
        House::kill_worker,
        House::kill_controller,
    );
}

#[test]
fn the_same_goes_for_daemons_that_are_restarted_in_order() {
    let mut house = House::start_durable();
    check_build(&mut house, &[Daemon::Worker], House::stop_worker, House::stop_controller);
    check_build(&mut house, &[Daemon::Controller], House::stop_worker, House::stop_controller);
    check_build(
        &mut house,
        &[Daemon::Controller, Daemon::Worker],
        House::stop_worker,
        House::stop_controller,
    );
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Daemon {
    Controller,
    Worker,
}

/// Ends daemons in the middle of `runnel run w1 -- ./long-build.sh` and starts them again once the build has gone on
/// without them: its exit code and the hash of its log are those of an undisturbed run. Returns what it said beside.
#[track_caller]
fn check_build(
    house: &mut House,
    restarted: &[Daemon],
    end_worker: fn(&mut House),
    end_controller: fn(&mut House),
) -> String {
    let (go, ran) = (house.path("work/go"), house.path("work/ran"));
    for path in [&go, &ran] {
        fs::remove_file(path).or_else(ignore_missing).expect("it can be removed");
    }
    let script = house.path("work/long-build.sh");
    fs::write(&script, format!("#!/bin/sh\necho x >> ran\n{SCRIPT}\n")).expect("the folder can be written");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("it is ours");

    let mut run = house.spawn(&["run", "w1", "--propagate-exit", "--cwd", ".", "--", "./long-build.sh"]);
    assert_eq!(read_line(&mut run), "1");
    for daemon in restarted {
        match daemon {
            Daemon::Controller => end_controller(house),
            Daemon::Worker => end_worker(house),
        }
    }
    fs::write(&go, "").expect("the folder can be written");
    for daemon in restarted {
        match daemon {
            Daemon::Controller => house.start_controller(),
            Daemon::Worker => house.start_worker(),
        }
    }
    let ended = end(run);
    assert_eq!(ended.code, Some(7), "{restarted:?}: {}", ended.stderr);
    let log = blake3::hash(format!("1\n{}", ended.stdout).as_bytes());
    assert_eq!(log, blake3::hash(expected().as_bytes()), "{restarted:?}: {} bytes came", ended.stdout.len());
    assert_eq!(fs::read_to_string(&ran).expect("it ran"), "x\n", "{restarted:?}");
    ended.stderr
}

#[test]
fn who_comes_later_finds_what_a_controller_that_was_stopped_in_order_has_missed() {
    let mut house = House::start_durable();
    let id = house.ok(&["run", "w1", "--detach", "--cwd", ".", "--", "sh", "-c", SCRIPT]).trim().to_owned();
    let mut logs = house.spawn(&["logs", "-f", &id]);
    assert_eq!(read_line(&mut logs), "1");
    house.stop_controller();
    house.start_controller();
    fs::write(house.path("work/go"), "").expect("the folder can be written");
    let logs = end(logs);
    assert!(format!("1\n{}", logs.stdout) == expected(), "{} bytes came", logs.stdout.len());
    let attached = house.run(&["attach", "--propagate-exit", &id]);
    assert_eq!(attached.code, Some(7), "{}", attached.stderr);
    assert!(attached.stdout == expected(), "{} bytes came", attached.stdout.len());

    house.restart_controller();
    let attached = house.run(&["attach", "--propagate-exit", &id]);
    assert_eq!(attached.code, Some(7), "it has ended long since: {}", attached.stderr);
    assert!(attached.stdout == expected(), "{} bytes came", attached.stdout.len());
    assert!(house.ok(&["ps", "--all"]).contains(&id));
}

#[test]
fn an_upload_goes_on_after_its_controller_was_killed() {
    let mut house = House::start_durable();
    let content: Vec<u8> = (0..64_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(house.path("big"), &content).expect("the folder can be written");
    let mut put = house.spawn(&["put", "big", "w1:copy", "--json"]);
    while !read_line(&mut put).contains("\"started\"") {}
    house.freeze_worker();
    assert!(!house.path("work/copy").exists(), "it is under way");
    house.kill_controller();
    house.start_controller();
    house.thaw_worker();
    let ended = end(put);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(fs::read(house.path("work/copy")).expect("it is there") == content, "octet by octet");
    let left = fs::read_dir(house.path("ctl/state/bodies")).expect("it is a folder").count();
    assert_eq!(left, 0, "the copy is gone with the command");
}

#[test]
fn commands_of_an_older_process_can_be_explained_and_cancelled() {
    let mut house = House::start_durable();
    let waiting = house.ok(&["run", "gone", "--detach", "--", "true"]).trim().to_owned();
    let running = house.start_script("echo started; exec sleep 600");
    house.restart_controller();
    assert!(house.ok(&["ps"]).contains(&waiting));
    assert!(house.ok(&["why", &waiting]).contains("no link"));
    house.ok(&["cancel", &waiting, &running]);
    house.check(&["attach", &waiting], 85, "cancelled");
    house.check(&["attach", &running], 85, "cancelled");
}

#[test]
fn a_key_runs_a_command_once_over_a_kill() {
    let mut house = House::start_durable();
    let order = ["run", "w1", "--key", "k", "--cwd", ".", "--", "sh", "-c", "echo x >> ran; cat ran"];
    assert_eq!(house.ok(&order), "x\n");
    house.restart_controller();
    assert_eq!(house.ok(&order), "x\n");
    assert_eq!(fs::read_to_string(house.path("work/ran")).expect("it ran"), "x\n");
}

#[test]
fn what_is_in_memory_alone_is_forgotten_and_it_says_so() {
    let mut house = House::start_durable();
    let script = ["run", "w1", "--memory", "--", "sh", "-c", "echo started; exec sleep 600"];
    let mut run = house.spawn(&script);
    assert_eq!(read_line(&mut run), "started");
    house.restart_controller();
    let ended = end(run);
    assert_eq!(ended.code, Some(86), "{ended:?}");
    assert!(ended.stderr.contains("forgotten"), "{ended:?}");
}

#[test]
fn a_node_does_not_start_with_a_store_that_it_cannot_have() {
    let house = House::start_durable();
    house.ok(&["fleet", "issue", "twin", "--role", "controller"]);
    let config = format!("state_dir = {:?}\n[api]\nenabled = false\n", house.path("ctl/state"));
    let said = |config: &str| {
        let node = house.node_command("twin", config).stderr(Stdio::piped()).spawn();
        end(node.expect("the program starts"))
    };
    let ended = said(&config);
    assert_eq!(ended.code, Some(74), "{ended:?}");
    assert!(ended.stderr.contains("in use by another process"), "{ended:?}");
    assert!(ended.stderr.contains("ctl/state/store"), "{ended:?}");

    fs::create_dir_all(house.path("twin/state/store")).expect("it is new");
    fs::write(house.path("twin/state/store/store.redb"), "this is no store").expect("it can be written");
    let ended = said("state_dir = \"state\"\n[api]\nenabled = false\n");
    assert_eq!(ended.code, Some(74), "{ended:?}");
    assert!(ended.stderr.contains("damaged"), "{ended:?}");

    let ended = said("state_dri = \"state\"\n");
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("state_dri"), "{ended:?}");
}

#[test]
fn an_older_backup_is_refused_and_goes_on_with_a_new_epoch() {
    let mut house = House::start_durable();
    let (state, backup) = (house.path("ctl/state"), house.path("backup"));
    let copy = |from: &Path, to: &Path| {
        fs::remove_dir_all(to).or_else(ignore_missing).expect("it can be removed");
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.expect("cp is there").success());
    };
    let waiting = house.ok(&["run", "gone", "--detach", "--", "true"]).trim().to_owned();
    house.stop_controller();
    copy(&state, &backup);
    copy(&backup, &state);
    house.start_controller();
    house.ok(&["run", "w1", "--", "true"]);

    house.stop_controller();
    copy(&backup, &state);
    house.start_controller();
    // The link is up on this side for as long as the worker takes to read how far this store is.
    let refused = (0..ASKED_MAX).find_map(|_| {
        let nodes: Value = serde_json::from_str(&house.ok(&["nodes", "--json"])).expect("JSON");
        let nodes = nodes["nodes"].as_array().expect("a list");
        let w1 = nodes.iter().find(|node| node["node"] == "w1").expect("it is a peer");
        let reason = w1["last_end"]["reason"].as_str()?;
        reason.contains("store-regressed").then(|| reason.to_owned())
    });
    let reason = refused.expect("the worker knows more of this store than it says");
    assert!(reason.contains("restore a newer backup"), "{reason}");
    assert!(reason.contains("runnel new-epoch"), "{reason}");

    let new_epoch = ["new-epoch", "--json", "--config", "ctl/node.toml"];
    house.check(&new_epoch, 74, "stop the node first");
    house.stop_controller();
    house.check(&new_epoch, 1, "say --yes");
    house.check(&new_epoch, 1, "1 commands without an outcome");
    let said = house.ok(&[&new_epoch[..], &["--yes"]].concat());
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["unknown"][0]["id"], *waiting, "{said}");
    assert_eq!(said["unknown"][0]["was_bound"], false, "{said}");

    house.start_controller();
    house.ok(&["run", "w1", "--", "true"]);
    house.check(&["attach", &waiting], 86, "unknown");
    house.stop_controller();
    assert!(house.ok(&new_epoch).contains("\"unknown\":[]"), "nothing is left without an outcome");
}

#[test]
fn a_folder_without_a_store_gets_none_by_a_new_epoch() {
    let house = House::start();
    let config = "state_dir = \"state\"\n";
    drop(house.node_command("ctl", config));
    house.check(&["new-epoch", "--config", "ctl/node.toml"], 74, "there is no store");
    assert!(!house.path("ctl/state").exists());
    drop(house.node_command("ctl", ""));
    house.check(&["new-epoch", "--config", "ctl/node.toml"], 78, "names no store");
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// How often the controller is asked before it is too late.
const ASKED_MAX: usize = 2000;
