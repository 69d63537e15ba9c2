//! `runnel gateway amp`: Twisted programs call commands on nodes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use runnel_amp::gateway::{GatewayConfig, Listener, serve};
use runnel_client::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::exit::{Exit, Failure};
use super::super::signals::Signals;
use crate::daemon::{SocketFile, announce, bind_private, default_socket, say_stopping};

/// Arguments of `runnel gateway amp`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AmpArgs {
    /// Where programs connect: unix:PATH, a socket for this user alone, or ADDRESS:PORT on loopback.
    #[arg(long, value_name = "unix:PATH|ADDRESS:PORT")]
    listen: Place,
    /// The local node's socket [default: $RUNNEL_SOCKET, else where a node of this user makes it].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Listen on an address that others can reach: each of them then commands the fleet as this node.
    #[arg(long)]
    allow_remote: bool,
    /// Most programs at once; further ones wait.
    #[arg(long, value_name = "NUMBER", default_value_t = GatewayConfig::default().connections_max)]
    connections_max: usize,
    /// How long the node may be away before programs are told that their commands are followed no more.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    node_patience: Duration,
}

/// Where a gateway listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("a path is missing behind unix:".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                "it is neither unix:PATH nor ADDRESS:PORT, such as unix:/run/runnel/amp.sock or 127.0.0.1:4434"
                    .to_owned()
            }),
        }
    }
}

pub(super) fn run(args: AmpArgs) -> Result<Exit, Failure> {
    if let Some(refusal) = refuse_remote(&args.listen, args.allow_remote) {
        return Err(Failure::new(Exit::Usage, refusal));
    }
    let socket = match args.socket {
        Some(socket) => socket,
        None => default_socket().map_err(|error| {
            Failure::new(Exit::NoDaemon, format!("cannot tell where the node listens: {error:#}"))
        })?,
    };
    let config = GatewayConfig {
        connections_max: args.connections_max,
        node_patience: args.node_patience,
        ..GatewayConfig::default()
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(listen(&args.listen, Client::new(socket), config))
}

/// Serves until a signal comes. A node that is not there is none of its faults: programs are told when they ask.
async fn listen(place: &Place, client: Client, config: GatewayConfig) -> Result<Exit, Failure> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let (listener, listening, _file) = bind(place).await?;
    announce(&json!({ "ready": true, "gateway": "amp", "listening": listening }));
    let stop = CancellationToken::new();
    tokio::join!(serve(listener, client, config, stop.clone()), async {
        signals.next().await;
        say_stopping();
        stop.cancel();
    });
    Ok(Exit::Success)
}

async fn bind(place: &Place) -> Result<(Listener, Value, Option<SocketFile>), Failure> {
    match place {
        Place::Unix(path) => {
            let (listener, file) = bind_private(path, "gateway", "--listen")?;
            Ok((Listener::Unix(listener), json!(format!("unix:{}", path.display())), Some(file)))
        }
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen at {address}: choose another place with --listen"))?;
            let address = listener.local_addr().context("the system does not say where it listens")?;
            Ok((Listener::Tcp(listener), json!(address.to_string()), None))
        }
    }
}

/// Says why a place is not to be listened at.
fn refuse_remote(place: &Place, allow_remote: bool) -> Option<String> {
    match place {
        Place::Tcp(address) if !address.ip().is_loopback() && !allow_remote => Some(format!(
            "{address} can be reached by others, and AMP knows no passwords: whoever connects commands the fleet as this node; \
             listen at unix:PATH or on loopback, or say --allow-remote"
        )),
        _ => None,
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel gateway amp --listen unix:/run/runnel/amp.sock
  runnel gateway amp --listen 127.0.0.1:4434 --socket /run/runnel/api.sock
  python3 examples/runnel_amp.py unix:/run/runnel/amp.sock w1 uname -a   # a Twisted program

node/amp/AMP.md has the commands, examples/runnel_amp.py has them as classes of Twisted. Whoever can
connect commands the fleet as this node: a socket is for this user alone, a port for everybody on this
machine. One line of JSON on standard output says that the gateway is ready. SIGTERM and Ctrl-C stop it;
what was submitted goes on, and can be followed again by its id.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_socket_or_an_address() {
        assert_eq!("unix:/run/a.sock".parse(), Ok(Place::Unix("/run/a.sock".into())));
        assert_eq!("[::1]:7".parse(), Ok(Place::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], 7).into())));
        for wrong in ["unix:", "/run/a.sock", "localhost:7", "7"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn others_are_let_in_only_if_somebody_says_so() {
        let refused = |text: &str, allow| refuse_remote(&text.parse().expect("a place"), allow).is_some();
        assert!(refused("0.0.0.0:7", false) && refused("192.0.2.1:7", false) && refused("[::]:7", false));
        assert!(!refused("0.0.0.0:7", true) && !refused("127.0.0.1:7", false) && !refused("[::1]:7", false));
        assert!(!refused("unix:/run/a.sock", false));
    }
}
