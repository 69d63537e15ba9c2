//! Where the local node listens for the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use super::exit::{Exit, Failure};

/// Finds the socket: the option, else the first place where a node would have made it (node/API.md).
pub(super) fn find(option: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(path) = option {
        return Ok(path);
    }
    let is_root = rustix::process::geteuid().is_root();
    default_path(|name| std::env::var_os(name).filter(|value| !value.is_empty()), is_root).ok_or_else(|| {
        Failure::new(
            Exit::NoDaemon,
            "cannot guess where the node listens: neither $RUNNEL_SOCKET nor $XDG_RUNTIME_DIR nor $HOME is set; \
             name the socket with --socket",
        )
    })
}

fn default_path(variable: impl Fn(&str) -> Option<OsString>, is_root: bool) -> Option<PathBuf> {
    if let Some(path) = variable("RUNNEL_SOCKET") {
        return Some(path.into());
    }
    if is_root {
        return Some(PathBuf::from("/run/runnel/api.sock"));
    }
    let in_home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = variable("XDG_RUNTIME_DIR")
        .or_else(|| variable("XDG_STATE_HOME"))
        .map(PathBuf::from)
        .or_else(in_home)?;
    Some(folder.join("runnel/api.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], is_root: bool, expected: Option<&str>) {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        assert_eq!(default_path(variable, is_root), expected.map(PathBuf::from));
    }

    #[test]
    fn the_socket_is_looked_for_where_the_node_makes_it() {
        let home = ("HOME", "/home/ada");
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/1000");
        check(&[("RUNNEL_SOCKET", "/tmp/a.sock"), runtime], true, Some("/tmp/a.sock"));
        check(&[runtime, home], true, Some("/run/runnel/api.sock"));
        check(&[runtime, home], false, Some("/run/user/1000/runnel/api.sock"));
        check(&[("XDG_STATE_HOME", "/state"), home], false, Some("/state/runnel/api.sock"));
        check(&[home], false, Some("/home/ada/.local/state/runnel/api.sock"));
        check(&[], false, None);
    }
}
