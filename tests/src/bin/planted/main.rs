//! Plants bugs in the nodes, one at a time, and sees whether the simulation finds them: a check that nothing can fail
//! proves nothing.
//!
//! The bugs are lines in `queue/src`, behind `--cfg planted`; the hunt itself is in `planted/hunt.rs`. An ordinary build
//! of this program has neither: it builds itself again with that flag, into a folder of its own, and runs that.

#[cfg(planted)]
mod hunt;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        say(HELP);
        return ExitCode::SUCCESS;
    }
    hunt(arguments)
}

#[cfg(planted)]
fn hunt(arguments: Vec<OsString>) -> ExitCode {
    hunt::hunt(arguments)
}

/// Builds this program with the bugs in it, and runs that.
#[cfg(not(planted))]
fn hunt(arguments: Vec<OsString>) -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| format!("{root}/target").into());
    let mut flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
    flags.push(" --cfg planted");
    let status = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "run",
            "--release",
            "--locked",
            "--package",
            "runnel-tests",
            "--bin",
            "planted",
            "--target-dir",
        ])
        .arg(std::path::Path::new(&target).join("planted"))
        .arg("--")
        .args(arguments)
        .current_dir(root)
        .env("RUSTFLAGS", flags)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            say(&format!("cargo, which builds this program with the bugs in it, does not start: {error}"));
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    // Nobody may read it any more.
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

const HELP: &str = "\
Plants bugs in the nodes, one at a time, and sees whether the simulation finds them.

    cargo run --release -p runnel-tests --bin planted -- [--bug NAME] [--seeds N] [--seed FIRST] [--minutes M] [--json]

Each bug is one line in queue/src, behind `--cfg planted`, and named in queue/src/planted.rs. This program builds itself
again with that flag, into target/planted, and leaves your other builds alone.

For each bug and seed there are three runs: without faults, which must be green, for what shows there any test finds;
with the faults of the seed, which is to name an invariant that the bug breaks; and, once it does, the same without the
bug, which must be green. A bug is found if that happens within N seeds. The program exits with 1 if one is not.

    --bug NAME     only this bug, by the name in the table
    --seeds N      seeds in which a bug is to be found; 20 unless told
    --seed FIRST   the first of them; 1 unless told
    --minutes M    virtual minutes with faults in a run; 10 unless told
    --json         a line of JSON for each bug instead of the table

To look at one run of a bug: --bug NAME --seed S --seeds 1.";
