//! The process of `tests/peer/server.py`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::environment::{Environment, peer_folder};

/// A server with Twisted, which ends with this.
pub(crate) struct Server {
    pub(crate) port: u16,
    _process: Child,
}

impl Server {
    /// Starts a server and waits until it listens, or says why there is none.
    pub(crate) async fn start() -> Option<Self> {
        let mut process = Command::new(TWISTED.python()?)
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

static TWISTED: Environment = Environment::new("twisted");
