//! Daemons of the real program `runnel`, which is built as the program is that asks.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::patience::patient;

/// Has Cargo build the program as this one was built, and returns where it is.
///
/// # Panics
///
/// When that fails.
///
/// # Cancel safety
///
/// Cargo goes on if the future is dropped.
pub async fn build_program() -> PathBuf {
    let this = std::env::current_exe().expect("the system knows where this program is");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "--locked", "-p", "runnel-node", "--bin", "runnel"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What Cargo says of this package to this program: build scripts would take it for a change and be run again, and all
    // that depends on them be built again.
    for (name, _) in std::env::vars_os() {
        let is_of_package = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if is_of_package {
            build.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.status().await.expect("cargo can be started");
    assert!(built.success(), "the program runnel cannot be built");
    this.with_file_name("runnel")
}

/// Returns what starts a daemon with this configuration. It ends when its standard input does.
pub fn daemon(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["node", "--exit-with-parent", "--config"]).arg(config);
    command
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or("error".to_owned()))
        .env_remove("NOTIFY_SOCKET");
    command
}

/// Waits until a daemon says that it is ready, and returns what it says.
///
/// # Panics
///
/// When it does not start.
///
/// # Cancel safety
///
/// What it has said is lost if the future is dropped.
pub async fn ready(stdout: impl AsyncRead + Unpin) -> Value {
    let mut lines = BufReader::new(stdout).lines();
    let line = patient("a daemon to be ready", lines.next_line()).await.expect("it can be read");
    serde_json::from_str(&line.expect("the daemon starts")).expect("it says so in JSON")
}
