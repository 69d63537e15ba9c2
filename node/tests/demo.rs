//! The demo, as a user runs it: real processes, real sockets, and a checker that must notice broken promises.

use std::process::{Command, Output};

use serde_json::{Value, json};

#[track_caller]
fn demo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_runnel")).arg("demo").args(args).output().expect("the program starts")
}

#[track_caller]
fn check(args: &[&str], code: i32, last_line: &str) -> String {
    let output = demo(args);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
    assert_eq!(stdout.lines().last(), Some(last_line), "{args:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Small and quick, with nothing bad but what is added.
const QUICK: &[&str] =
    &["--over", "1s", "--upload", "1", "--rebind", "0s", "--blackout", "0s+0s", "--failover", "0s"];

fn quick(more: &[&'static str]) -> Vec<&'static str> {
    [QUICK, more].concat()
}

#[test]
fn every_command_runs_once_over_a_lossy_path() {
    check(&quick(&["--commands", "60", "--loss", "5"]), 0, "lost 0, doubled 0, wrong 0");
}

#[test]
fn every_command_runs_once_through_rebinds_a_blackout_and_the_loss_of_a_way() {
    let args = [
        "--commands",
        "100",
        "--over",
        "4s",
        "--upload",
        "2",
        "--rebind",
        "300ms",
        "--blackout",
        "400ms+7s",
        "--failover",
        "2s",
    ];
    let stdout = check(&args, 0, "lost 0, doubled 0, wrong 0");
    let links = stdout.lines().find(|line| line.starts_with("links: ")).expect("a line about links");
    assert!(!links.contains(" 0 reconnects"), "{links}");
    assert!(!links.starts_with("links: 0 migrations"), "{links}");
}

#[test]
fn for_programs_it_says_how_it_goes_and_then_sums_up() {
    let output = demo(&quick(&["--commands", "40", "--json", "--sabotage", "lose"]));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (summary, progress) = lines.split_last().expect("a summary at least");
    assert_eq!((&summary["event"], &summary["passed"]), (&"summary".into(), &false.into()), "{summary}");
    assert_eq!(summary["commands"], 40);
    assert_eq!(summary["lost"].as_array().map(Vec::len), Some(1), "{summary}");
    assert_eq!((&summary["doubled"], &summary["wrong"]), (&json!([]), &json!([])), "{summary}");
    assert_eq!(summary["upload"]["bytes"], 1 << 20);
    let outcomes = summary["outcomes"].as_object().expect("a count for each");
    assert_eq!(outcomes.values().filter_map(Value::as_u64).sum::<u64>(), 40, "{summary}");

    assert!(!progress.is_empty(), "it takes more than a moment");
    assert!(progress.iter().all(|line| line["event"] == "progress" && line["planned"] == 40), "{stdout}");
    let at: Vec<u64> = progress.iter().filter_map(|line| line["elapsed_ms"].as_u64()).collect();
    assert_eq!(at.len(), progress.len());
    assert!(at.is_sorted_by(|earlier, later| later - earlier >= 999), "at most one a second: {at:?}");
    let last = progress.last().expect("it is not empty");
    assert_eq!(
        (last["classes"].as_array().map(Vec::len), last["links"].as_array().map(Vec::len)),
        (Some(5), Some(3))
    );
}

#[test]
fn a_command_that_did_not_run_is_noticed() {
    check(&quick(&["--commands", "20", "--sabotage", "lose"]), 1, "lost 1, doubled 0, wrong 0");
}

#[test]
fn a_command_that_ran_twice_is_noticed() {
    check(&quick(&["--commands", "20", "--sabotage", "double"]), 1, "lost 0, doubled 1, wrong 0");
}
