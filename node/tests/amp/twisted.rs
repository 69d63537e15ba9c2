//! The Twisted program, in an environment with the Twisted of `node/buildbot`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Its Python, made once for all tests of this process, or why there is none.
static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Returns the program, without its arguments, or says on standard error that the test is skipped, and why.
pub(crate) fn program() -> Option<Command> {
    python("tests/amp/program.py")
}

/// Returns the module of the examples, in the same way.
pub(crate) fn module() -> Option<Command> {
    python("../examples/runnel_amp.py")
}

#[allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]
fn python(script: &str) -> Option<Command> {
    match PYTHON.get_or_init(make) {
        Ok(python) => {
            let mut program = Command::new(python);
            program.arg(package().join(script));
            Some(program)
        }
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

fn make() -> Result<PathBuf, String> {
    let peer = package().join("buildbot/tests/peer");
    let made = Command::new("python3")
        .arg(peer.join("venv.py"))
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("twisted"))
        .arg(peer.join("twisted.txt"))
        .output();
    let made = made.map_err(|error| format!("there is no python3: {error}"))?;
    let complaint = String::from_utf8_lossy(&made.stderr).into_owned();
    match made.status.code() {
        Some(0) => Ok(PathBuf::from(String::from_utf8(made.stdout).expect("a path in UTF-8").trim_end())),
        Some(3) => Err(complaint),
        _ => panic!("venv.py failed: {complaint}"),
    }
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
