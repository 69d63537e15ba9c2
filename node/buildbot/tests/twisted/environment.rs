//! Virtual environments of Python below the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// An environment with what a file of requirements says, made once for all tests of this process.
pub(crate) struct Environment {
    name: &'static str,
    /// Its Python, or why there is none.
    python: OnceLock<Result<PathBuf, String>>,
}

impl Environment {
    /// Names an environment after its file of requirements in `tests/peer`.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, python: OnceLock::new() }
    }

    /// Returns its Python, or says on standard error that the test is skipped, and why.
    #[allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]
    pub(crate) fn python(&self) -> Option<&Path> {
        match self.python.get_or_init(|| make(self.name)) {
            Ok(python) => Some(python),
            Err(why) => {
                eprintln!("skipped: {why}");
                None
            }
        }
    }
}

pub(crate) fn peer_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peer")
}

fn make(name: &str) -> Result<PathBuf, String> {
    let made = Command::new("python3")
        .arg(peer_folder().join("venv.py"))
        .arg(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
        .arg(peer_folder().join(name).with_extension("txt"))
        .output();
    let made = made.map_err(|error| format!("there is no python3: {error}"))?;
    let complaint = String::from_utf8_lossy(&made.stderr).into_owned();
    match made.status.code() {
        Some(0) => Ok(PathBuf::from(String::from_utf8(made.stdout).expect("a path in UTF-8").trim_end())),
        Some(3) => Err(complaint),
        _ => panic!("venv.py failed: {complaint}"),
    }
}
