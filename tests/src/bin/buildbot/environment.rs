//! The virtual environment with Buildbot's master and worker, below the target folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Where Python finds what.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The Python of the environment.
    pub(crate) python: PathBuf,
}

impl Environment {
    /// Makes it if it is not there. Says why if it cannot be made here.
    pub(crate) async fn make() -> Result<Self, String> {
        let folder = target_folder().join("tmp").join("buildbot");
        let mut command = Command::new("python3");
        command.arg(shared("venv.py")).arg(folder).arg(shared("buildbot.txt")).stdin(Stdio::null());
        let made = command.output().await.map_err(|error| format!("there is no python3: {error}"))?;
        let complaint = String::from_utf8_lossy(&made.stderr).into_owned();
        match made.status.code() {
            Some(0) => Ok(Self { python: String::from_utf8_lossy(&made.stdout).trim_end().into() }),
            Some(3) => Err(complaint.trim_end().to_owned()),
            _ => panic!("venv.py failed: {complaint}"),
        }
    }
}

/// Returns a file that is shared with the tests of the gateway's package.
pub(crate) fn shared(name: &str) -> PathBuf {
    here().join("../node/buildbot/tests/peer").join(name)
}

/// Returns the folder of the Python files that only this program runs.
pub(crate) fn peer_folder() -> PathBuf {
    here().join("src/bin/buildbot/peer")
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the folder that Cargo builds in: this program is two folders below it.
fn target_folder() -> PathBuf {
    let this = std::env::current_exe().expect("the system knows where this program is");
    this.ancestors().nth(2).expect("Cargo builds in folders").to_owned()
}
