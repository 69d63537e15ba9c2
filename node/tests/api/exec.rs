//! What `exec` can be asked for, with and without a supervisor.

use serde_json::{Value, json};

use crate::client::{Daemon, Fleet};

/// Runs a shell script on `w1` with more arguments, and returns its events.
async fn run(ctl: &Daemon, script: &str, more: Value) -> Vec<Value> {
    let mut args = json!({ "program": "/bin/sh", "args": ["-c", script] });
    let fields = args.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let id = ctl.api.submit(json!({ "to": "w1", "command": "exec/1", "args": args })).await;
    ctl.api.events(&id, "?follow=true").await.rest().await
}

/// Returns the text of what one source brought.
fn text(events: &[Value], event: &str, source: &str) -> String {
    let of_it = events
        .iter()
        .filter(|line| line["event"] == event && (line["stream"] == source || line["name"] == source));
    of_it.map(|line| line["text"].as_str().expect("text")).collect()
}

fn outcome(events: &[Value]) -> &Value {
    &events.last().expect("it has ended")["outcome"]
}

/// The worker's configuration in both ways that it runs programs.
const WORKERS: [&str; 2] = ["", "state_dir = \"state\""];

#[tokio::test]
async fn log_files_and_the_environment_are_told_with_numbers_of_their_own() {
    for worker in WORKERS {
        let fleet = Fleet::new();
        let (ctl, _worker) = fleet.start_pair("", worker).await;
        let cwd = fleet.folder().join("made/here");
        let more = json!({
            "cwd": cwd, "make_cwd": true, "report_env": true, "expand_env": true,
            "env": { "A": ["one", "${NOT_THERE}", "${PATH}"], "B": "two", "HOME": null },
            "log_files": [{ "name": "test", "path": "test.log" }, { "name": "none", "path": "none.log" }],
        });
        let events =
            run(&ctl, "echo ok >> test.log; printf '\\377' >> test.log; echo $A $B; pwd", more).await;
        let updates: Vec<&Value> = events.iter().filter(|event| event.get("update").is_some()).collect();
        assert!(updates.iter().map(|event| event["update"].clone()).eq((1..=updates.len()).map(Value::from)));
        assert_eq!(updates[0]["event"], "environment");
        let environment = &updates[0]["environment"];
        let path = std::env::var("PATH").expect("tests have one");
        assert_eq!(environment["A"], format!("one:{path}"));
        assert_eq!(environment["PWD"], json!(cwd));
        assert_eq!(environment.get("HOME"), None);
        assert_eq!(text(&events, "output", "stdout"), format!("one:{path} two\n{}\n", cwd.display()));
        let logs: Vec<&Value> = events.iter().filter(|event| event["event"] == "log").collect();
        assert!(!logs.is_empty() && logs.iter().all(|log| log["name"] == "test"), "{logs:?}");
        // The two writes may come as one or as two.
        let last = logs.last().expect("there is one");
        assert!(last["base64"] == "b2sK/w==" || last["base64"] == "/w==", "{logs:?}");
        assert_eq!(outcome(&events)["exit_code"], 0);
    }
}

#[tokio::test]
async fn a_terminal_has_one_output() {
    for worker in WORKERS {
        let fleet = Fleet::new();
        let (ctl, _worker) = fleet.start_pair("", worker).await;
        let script = "test -t 0 && test -t 1 && test -t 2 && echo out && echo err >&2";
        let events = run(&ctl, script, json!({ "terminal": true })).await;
        assert_eq!(text(&events, "output", "stdout"), "out\r\nerr\r\n");
        assert_eq!(text(&events, "output", "stderr"), "");
        assert_eq!(outcome(&events)["exit_code"], 0);
    }
}

#[tokio::test]
async fn too_many_lines_end_a_program_by_the_signal_that_was_named() {
    for worker in WORKERS {
        let fleet = Fleet::new();
        let (ctl, _worker) = fleet.start_pair("", worker).await;
        let more =
            json!({ "lines_max": 100, "kill_grace_ms": 0, "kill_signal": "INT", "stop_signal": "USR1" });
        let events = run(&ctl, "exec yes", more).await;
        let outcome = outcome(&events);
        assert_eq!((&outcome["signal"], &outcome["result"]["cause"]), (&json!(2), &json!("too-many-lines")));
        let lines = outcome["result"]["lines"].as_u64().expect("a number");
        assert!(lines > 100 && text(&events, "output", "stdout").len() as u64 >= 2 * lines, "{lines}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    for worker in ["[exec]\nlog_files_max = 1", "state_dir = \"state\"\n[exec]\nlog_files_max = 1"] {
        let fleet = Fleet::new();
        let (ctl, _worker) = fleet.start_pair("", worker).await;
        let files = json!([{ "name": "a", "path": "a" }, { "name": "b", "path": "b" }]);
        for (more, message) in [
            (json!({ "log_files": files }), "2 log files are more than the 1 that this worker follows"),
            (json!({ "stop_signal": "NONE" }), "signal NONE is not known"),
            (json!({ "program": "/etc/passwd" }), "no permission to run /etc/passwd"),
            (json!({ "program": "nobody-has-this" }), "program nobody-has-this not found"),
            (
                json!({ "cwd": "/etc/passwd/below", "make_cwd": true }),
                "working directory /etc/passwd/below cannot be made: Not a directory (os error 20)",
            ),
        ] {
            let events = run(&ctl, "true", more).await;
            assert_eq!(
                outcome(&events),
                &json!({ "kind": "failed", "reason": "handler", "message": message })
            );
        }
    }
}
