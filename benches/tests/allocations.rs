//! Heap blocks of a small command: a count, not a time, so a test can hold it.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_small_command_takes_no_more_heap_blocks_than_it_did() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_allocations"));
    let output = command.args(["--json", "--commands", "6400"]).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let costs: Value = serde_json::from_str(&said).expect("it speaks JSON");
    for (end, most) in [("controller", CONTROLLER_BLOCKS_MAX), ("worker", WORKER_BLOCKS_MAX)] {
        let ours = costs[end]["ours"]["blocks"].as_f64().expect("a number");
        assert!(ours <= most, "{end}: {ours} blocks of ours, where {most} are allowed: {costs}");
    }
}

/// One for each command, and what commands share; half a block above what is counted, since sharing differs.
const CONTROLLER_BLOCKS_MAX: f64 = 1.6;

const WORKER_BLOCKS_MAX: f64 = 0.7;
