//! The verbs that look at commands and nodes, and change what becomes of them.

use serde_json::Value;

use crate::house::{House, end, read_line};

#[test]
fn a_detached_command_is_found_followed_explained_and_cancelled() {
    let house = House::start();
    let id = house.start_script("echo started; echo oops >&2; exec sleep 600");
    let number = id.rsplit('.').next().expect("a number").to_owned();

    let listed = house.ok(&["ps"]);
    assert!(
        listed.lines().nth(1).is_some_and(|line| line.starts_with(&id) && line.contains("started")),
        "{listed}"
    );
    let why = house.ok(&["why", &format!("w1.{number}")]);
    assert!(why.starts_with(&format!("{id}: started (running)\n")), "{why}");
    assert!(house.ok(&["logs", &id]).starts_with("started\n"));

    house.ok(&["cancel", &id]);
    let ended = house.check(&["attach", &id], 85, "cancelled while it ran");
    assert_eq!(ended.stdout, "started\n");
    assert!(ended.stderr.starts_with("oops\n"), "{ended:?}");
    assert!(!house.ok(&["ps"]).contains(&id));
    assert!(house.ok(&["ps", "--all"]).contains(&id));
    house.check(&["cancel", &id], 1, "");
}

#[test]
fn what_cannot_start_says_why_and_can_be_given_up() {
    let house = House::start();
    let id = house.ok(&["run", "gone", "--detach", "--", "true"]).trim().to_owned();
    let why: Value = serde_json::from_str(&house.ok(&["why", &id, "--json"])).expect("JSON");
    assert_eq!((&why["reason"], &why["stage"]), (&"unreachable".into(), &"stored".into()));
    assert!(house.ok(&["why", &id]).contains("next: "));
    house.check(&["release", &id], 1, "held");
    house.ok(&["cancel", &id]);
    house.check(&["attach", &id], 85, "cancelled before it started");

    let id = house.start_script("echo started; exec sleep 600");
    house.ok(&["abandon", &id]);
    house.check(&["attach", &id], 86, "abandoned");
}

#[test]
fn nodes_are_listed_with_the_age_of_their_last_packet() {
    let house = House::start();
    let listed = house.ok(&["nodes"]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).expect("it is listed");
    assert!(
        line("w1 ").contains("worker") && line("w1 ").contains("up") && line("w1 ").contains(" ago"),
        "{listed}"
    );
    assert!(line("gone").contains("down"), "{listed}");
    assert!(!listed.contains('\x1b'), "no colours where nobody sees them");
    let listed: Value = serde_json::from_str(&house.ok(&["nodes", "--json"])).expect("JSON");
    assert_eq!(listed["nodes"].as_array().map(Vec::len), Some(2));
}

#[test]
fn an_abbreviation_must_name_one_command() {
    let house = House::start();
    let (first, second) = (
        house.ok(&["run", "gone", "--detach", "--", "true"]).trim().to_owned(),
        house.ok(&["run", "gone", "--detach", "--", "true"]).trim().to_owned(),
    );
    house.check(&["why", "ctl.gone"], 2, "write more of it");
    house.check(&["why", "no-such"], 1, "runnel ps --all");
    house.check(&["why", "ctl.gone.0000000000000000.1"], 1, "");
    assert!(house.ok(&["why", "gone.2"]).starts_with(&second));
    assert!(house.ok(&["why", "gone.1"]).starts_with(&first));
}

#[test]
fn completions_name_the_verbs() {
    let house = House::start();
    for shell in ["bash", "zsh", "fish"] {
        let script = house.ok(&["completions", shell]);
        assert!(script.contains("attach") && script.contains("propagate-exit"), "{shell}");
    }
}

#[test]
fn nodes_are_followed_as_they_come_and_go() {
    let mut house = House::start();
    let mut followed = house.spawn(&["nodes", "--follow"]);
    assert_eq!((read_line(&mut followed), read_line(&mut followed)), ("gone down".into(), "w1 up".into()));
    house.stop_worker();
    assert_eq!(read_line(&mut followed), "w1 down");
    house.start_worker();
    assert_eq!(read_line(&mut followed), "w1 up");
    house.stop_controller();
    let ended = end(followed);
    assert_eq!(ended.code, Some(88), "{ended:?}");
    assert!(ended.stderr.contains("the local node has stopped"), "{ended:?}");
}
