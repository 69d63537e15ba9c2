//! The two ends in processes of their own, to look at each alone: all of a process runs on its one thread.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use runnel_certs::Identity;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{LOOPBACK, ends, settings};
use crate::commands::WireSizes;

/// An end that answers the requests of one connection, until it is dropped.
#[derive(Debug)]
#[must_use = "it stops when it is dropped"]
pub struct RawServer {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
    _task: JoinSet<()>,
}

/// An end that asks.
#[derive(Debug)]
pub struct RawClient {
    connection: Connection,
    request: Bytes,
    reply_bytes: usize,
    /// Ends with it.
    _endpoint: Endpoint,
}

impl RawServer {
    /// Listens on loopback.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn start(identity: &Identity, sizes: WireSizes, in_flight: usize) -> Self {
        let endpoint = settings::server(identity, LOOPBACK, settings::transport(LOOPBACK.ip(), in_flight));
        let address = endpoint.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(ends::serve(endpoint, sizes, stopped));
        Self { address, _stop: stop, _task: task }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl RawClient {
    /// Connects to a server.
    ///
    /// # Panics
    ///
    /// When there is none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind if the future is dropped.
    pub async fn connect(
        identity: &Identity,
        server: SocketAddr,
        sizes: WireSizes,
        in_flight: usize,
    ) -> Self {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = settings::client(identity, local, settings::transport(server.ip(), in_flight));
        let name = settings::server_name(identity);
        let connection = endpoint.connect(server, &name).expect("the settings are right").await;
        Self {
            connection: connection.expect("the server answers"),
            request: Bytes::from(vec![7; sizes.request]),
            reply_bytes: sizes.reply,
            _endpoint: endpoint,
        }
    }

    /// Sends a request and checks its answer.
    ///
    /// # Panics
    ///
    /// When the server is gone or answers wrongly.
    ///
    /// # Cancel safety
    ///
    /// The request is aborted if the future is dropped.
    pub async fn echo(&self) {
        let (mut send, mut recv) = self.connection.open_bi().await.expect("the server lives");
        send.write_chunk(self.request.clone()).await.expect("the server reads");
        send.finish().expect("it is open");
        let bytes = ends::read_to_end(&mut recv, self.reply_bytes).await;
        assert_eq!(bytes, self.reply_bytes, "the answer has the wrong length");
    }
}
