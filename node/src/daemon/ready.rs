//! Saying that the node is ready, or stops: to whoever reads its standard output, and to systemd.

use std::io::{self, Write};
use std::net::SocketAddr as IpAddress;
use std::path::Path;

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use self::systemd::notify;

/// Says that everything listens.
pub(super) fn say_ready(node: &str, listening: &[IpAddress], socket: Option<&Path>) {
    announce(&ready_line(node, listening, socket));
}

/// Says in one line that a process that goes on is ready.
pub(crate) fn announce(line: &Value) {
    // Whoever started it may have closed its output: it runs all the same.
    writeln!(io::stdout().lock(), "{line}").and_then(|()| io::stdout().flush()).ok();
    notify("READY=1");
}

/// Says that it stops.
pub(crate) fn say_stopping() {
    notify("STOPPING=1");
}

fn ready_line(node: &str, listening: &[IpAddress], socket: Option<&Path>) -> Value {
    let listening: Vec<_> = listening.iter().map(ToString::to_string).collect();
    json!({ "ready": true, "node": node, "listening": listening, "socket": socket })
}

#[cfg(not(target_os = "linux"))]
fn notify(_state: &str) {}

/// The protocol of sd_notify: a datagram to the socket that the environment names.
#[cfg(target_os = "linux")]
mod systemd {
    use std::ffi::OsStr;
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use tracing::warn;

    /// Tells systemd, if it started the node as `Type=notify`.
    pub(super) fn notify(state: &str) {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
        if let Err(error) = send(address.as_bytes(), state) {
            warn!(%error, state, "systemd cannot be told");
        }
    }

    pub(super) fn send(address: &[u8], state: &str) -> io::Result<()> {
        let address = match address.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(OsStr::from_bytes(address))?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn systemd_is_told_at_a_path_and_at_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("notify");
        let name = format!("runnel-test-{}", std::process::id());
        let at_name = SocketAddr::from_abstract_name(&name).expect("a valid name");
        for (socket, address) in [
            (UnixDatagram::bind(&path).expect("free"), path.as_os_str().as_bytes().to_vec()),
            (UnixDatagram::bind_addr(&at_name).expect("free"), format!("@{name}").into_bytes()),
        ] {
            systemd::send(&address, "READY=1").expect("somebody listens");
            let mut buffer = [0; 16];
            let length = socket.recv(&mut buffer).expect("it came");
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }

    #[test]
    fn the_line_names_where_the_node_listens() {
        let listening = ["127.0.0.1:4433".parse().expect("an address")];
        assert_eq!(
            ready_line("ctl", &listening, Some(Path::new("/run/api.sock"))).to_string(),
            r#"{"listening":["127.0.0.1:4433"],"node":"ctl","ready":true,"socket":"/run/api.sock"}"#
        );
    }
}
