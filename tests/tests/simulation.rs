//! The simulation itself: that it repeats itself, and what it says of worlds of many hosts.

use std::process::Command;

/// Runs one seed in a process of its own. Returns what it says of it.
fn simulate(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seeds", "1", "--minutes", "1", "--seed", &seed.to_string()])
        .output()
        .expect("the program is there");
    let text = String::from_utf8(output.stdout).expect("it writes text");
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.starts_with(&format!("seed {seed}: digest")));
    line.expect("it says what came of the seed").to_owned()
}

#[test]
fn a_seed_has_the_same_digest_in_two_processes() {
    let (first, second) = (simulate(SEED), simulate(SEED));
    assert_eq!(first, second);
    assert_ne!(first, simulate(SEED + 1));
}

/// Any would do; this one has crashes, a double and NATs.
const SEED: u64 = 3;
