//! The process of `tests/peer/server.py`, and the environment that it runs in.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

/// A server with Twisted, which ends with this.
pub(crate) struct Server {
    pub(crate) port: u16,
    _process: Child,
}

impl Server {
    /// Starts a server and waits until it listens, or says why there is none.
    #[allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]
    pub(crate) async fn start() -> Option<Self> {
        let python = match &*PYTHON {
            Ok(python) => python,
            Err(why) => {
                eprintln!("skipped: {why}");
                return None;
            }
        };
        let mut process = tokio::process::Command::new(python)
            .arg(peer_folder().join("server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the environment's Python runs");
        let stdout = process.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next_line().await.expect("readable output");
        let line = line.expect("the server says where it listens");
        let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
        Some(Self { port: port.expect("a port"), _process: process })
    }
}

/// A Python that has Twisted, made once for all tests of this process, or why there is none.
static PYTHON: LazyLock<Result<PathBuf, String>> = LazyLock::new(python_with_twisted);

fn python_with_twisted() -> Result<PathBuf, String> {
    let made = Command::new("python3")
        .arg(peer_folder().join("venv.py"))
        .arg(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("twisted"))
        .output();
    let made = made.map_err(|error| format!("there is no python3: {error}"))?;
    let complaint = String::from_utf8_lossy(&made.stderr).into_owned();
    match made.status.code() {
        Some(0) => Ok(PathBuf::from(String::from_utf8(made.stdout).expect("a path in UTF-8").trim_end())),
        Some(3) => Err(complaint),
        _ => panic!("venv.py failed: {complaint}"),
    }
}

fn peer_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peer")
}
