//! `runnel run`: a program on another node, as if it ran here.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::house::{House, command, end};

#[test]
fn outputs_come_apart_and_exit_codes_tell_endings_apart() {
    let house = House::start();
    let script = ["run", "w1", "--", "sh", "-c", "echo out; echo err >&2; exit 3"];
    let ended = house.check(&script, 1, "the program exited with 3");
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().next()), ("out\n", Some("err")));
    let ended = house.check(&["run", "w1", "--propagate-exit", "--", "sh", "-c", "exit 3"], 3, "");
    assert_eq!(ended.stderr, "", "the code says it all");
    house.check(&["run", "w1", "--propagate-exit", "--", "sh", "-c", "kill -9 $$"], 137, "");
    house.check(&["run", "w1", "--", "no-such-program"], 1, "no-such-program");
    house.check(&["run", "w1", "--timeout", "100ms", "--", "sleep", "60"], 84, "timed out");
    house.check(&["run", "w1", "--deadline", "100ms", "--", "sleep", "60"], 84, "deadline");
    house.check(&["run", "gone", "--deadline", "100ms", "--", "true"], 83, "expired");
    house.check(&["run", "gone", "--no-wait", "--", "true"], 80, "no link");
    house.check(&["run", "stranger", "--", "true"], 80, "runnel nodes");
    house.check(&["run", "w1", "true"], 2, "Usage");
}

#[test]
fn the_programs_surroundings_are_as_ordered() {
    let house = House::start();
    std::fs::create_dir(house.path("work/sub")).expect("it is new");
    let script = "echo \"$GREETING $RUNNEL_ID\"; pwd";
    let printed = house.ok(&[
        "run",
        "w1",
        "-e",
        "GREETING=hello=you",
        "--cwd",
        "sub",
        "--class",
        "urgent",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("hello=you ctl.w1."), "{printed}");
    assert!(lines[1].ends_with("/sub"), "{printed}");
}

#[test]
fn a_program_in_a_terminal_has_one_output_and_takes_input() {
    let house = House::start();
    let script = "test -t 0 && test -t 1 && test -t 2 && cat; echo err >&2";
    let ended = house.run_with_input(&["run", "w1", "--terminal", "--", "sh", "-c", script], b"one\ntwo\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "one\r\ntwo\r\nerr\r\n"), "{}", ended.stderr);
}

#[test]
fn redirected_input_is_passed_on_to_its_end() {
    let house = House::start();
    let input = "0123456789abcdef\n".repeat(20_000);
    let ended = house.run_with_input(&["run", "w1", "--", "cat"], input.as_bytes());
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), input.len()), "{}", ended.stderr);
    assert_eq!(ended.stdout, input);
    let ended = house.run_with_input(&["run", "w1", "--no-stdin", "--", "cat"], b"not for you");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
}

#[test]
fn a_program_that_reads_nothing_ends_although_input_is_left() {
    let house = House::start();
    let mut run = house.command(&["run", "w1", "--", "echo", "done"]);
    let mut run =
        run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let open_input = run.stdin.take();
    let ended = end(run);
    drop(open_input);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "done\n", ""));
}

#[test]
fn json_is_one_object_a_line() {
    let house = House::start();
    let printed = house.ok(&["run", "w1", "--json", "--", "echo", "hi"]);
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines[0]["id"].as_str().is_some_and(|id| id.starts_with("ctl.w1.")), "{printed}");
    assert!(lines.iter().any(|line| line["event"] == "output" && line["text"] == "hi\n"), "{printed}");
    assert_eq!(lines.last().map(|line| &line["outcome"]["exit_code"]), Some(&Value::from(0)));
    let ended = house.run(&["run", "stranger", "--json", "--", "true"]);
    let said: Value = serde_json::from_str(&ended.stderr).expect("errors are JSON too");
    assert_eq!((&said["error"]["code"], &said["error"]["exit"]), (&"unknown-node".into(), &80.into()));
}

#[test]
fn a_key_stores_a_command_once() {
    let house = House::start();
    let order = ["run", "w1", "--detach", "--key", "nightly", "--", "true"];
    assert_eq!(house.ok(&order), house.ok(&order));
}

#[test]
fn without_a_node_it_says_how_to_start_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut run: Command = command(folder.path(), &["run", "w1", "--", "true"]);
    let output = run.stdin(Stdio::null()).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(88));
    assert!(String::from_utf8_lossy(&output.stderr).contains("runnel node --config"));
}
