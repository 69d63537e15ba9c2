//! Builds `benches/peers`, which is a workspace of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::options::Options;
use super::systems::System;

/// Returns the program of the peers, built if any of them takes part.
pub(crate) fn peers(options: &Options) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let target = folder.join("target");
    let takes_part = |system: &System| options.only.is_empty() || options.only.contains(system);
    if System::EMULATED.iter().any(|system| system.is_peer() && takes_part(system)) {
        build(&folder, &target)?;
    }
    Ok(target.join("release").join("runnel-peers"))
}

/// Its own profile and lock file count, not those of the cargo that runs us.
fn build(folder: &Path, target: &Path) -> io::Result<()> {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            (name.starts_with("CARGO_") && name != "CARGO_HOME")
                || name.starts_with("RUSTC")
                || name == "CARGO"
        });
        if is_ours {
            cargo.env_remove(&name);
        }
    }
    cargo.args(["build", "--release", "--locked", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target).current_dir(folder).stdin(Stdio::null());
    let status = cargo.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("building benches/peers: {status}"))) }
}
