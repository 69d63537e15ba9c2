//! A peer that speaks raw QUIC: it can be anybody and say anything.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::rustls::version::TLS13;
use quinn::rustls::{ClientConfig, RootCertStore};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use runnel::certs::{ALPN, default_provider};
use runnel::codec::{
    CommandName, ControlFrame, Epoch, FleetId, Hello, Lineage, LinkNumber, StreamKind, encode_control,
    encode_stream_kind,
};

use crate::fleet::Papers;
use crate::patience::patient;
use crate::route::local;

/// A peer that speaks raw QUIC.
#[derive(Debug)]
pub struct Stranger {
    endpoint: Endpoint,
    features: u64,
}

/// A stranger's link that has been welcomed.
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub connection: Connection,
    /// Both halves of the control stream.
    pub control: (SendStream, RecvStream),
}

impl Stranger {
    /// A peer with these papers that speaks Runnel's protocol.
    ///
    /// # Panics
    ///
    /// When the papers do not make a TLS configuration, or outside a Tokio runtime.
    pub fn new(papers: &Papers) -> Self {
        Self::speaking(papers, ALPN)
    }

    /// A peer with these papers that speaks another protocol.
    ///
    /// # Panics
    ///
    /// When the papers do not make a TLS configuration, or outside a Tokio runtime.
    pub fn speaking(papers: &Papers, protocol: &[u8]) -> Self {
        let mut endpoint = Endpoint::client(local()).expect("a free port");
        let crypto = QuicClientConfig::try_from(tls(papers, protocol)).expect("a suite for QUIC");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        Self { endpoint, features: 0 }
    }

    /// The same with these optional features, which its hellos name.
    #[must_use]
    pub fn with_features(self, features: u64) -> Self {
        Self { features, ..self }
    }

    /// Returns where its packets come from: what the other side logs.
    ///
    /// # Panics
    ///
    /// When the socket has failed.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("a bound socket has an address")
    }

    /// Dials a node of this fleet.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    ///
    /// # Panics
    ///
    /// When the names form no server name.
    ///
    /// # Cancel safety
    ///
    /// The attempt is given up if the future is dropped.
    pub async fn dial(&self, to: SocketAddr, node: &str, fleet: &str) -> Result<Connection, ConnectionError> {
        let connecting = self.endpoint.connect(to, &format!("{node}.{fleet}.runnel")).expect("a server name");
        patient("the handshake", connecting).await
    }

    /// Dials a node and is refused: at the handshake, or after it. Returns with what.
    ///
    /// # Panics
    ///
    /// When it is not refused.
    ///
    /// # Cancel safety
    ///
    /// The attempt is given up if the future is dropped.
    pub async fn refused(&self, to: SocketAddr, node: &str, fleet: &str) -> ConnectionError {
        match self.dial(to, node, fleet).await {
            Ok(connection) => patient("the refusal", connection.closed()).await,
            Err(error) => error,
        }
    }

    /// Dials a node, says hello as one that understands these commands, and waits for the answer.
    ///
    /// # Panics
    ///
    /// When it is not let in.
    ///
    /// # Cancel safety
    ///
    /// The link is closed if the future is dropped.
    pub async fn enter(&self, to: SocketAddr, node: &str, fleet: &str, commands: &[CommandName]) -> Guest {
        let connection = self.dial(to, node, fleet).await.expect("papers that are in order");
        let (mut send, mut receive) = connection.open_bi().await.expect("a place for the control stream");
        let mut bytes = BytesMut::new();
        encode_stream_kind(StreamKind::Control, &mut bytes);
        let features = self.features;
        let hello = Hello { features, ..hello(fleet.parse().expect("a valid name"), commands) };
        encode_control(&ControlFrame::Hello(Box::new(hello)), &mut bytes);
        send.write_all(&bytes).await.expect("the connection is open");
        let mut answer = [0];
        // The first byte of the answer says only that there is one: a refusal closes the connection.
        patient("the welcome", receive.read_exact(&mut answer)).await.expect("a welcome");
        Guest { connection, control: (send, receive) }
    }
}

impl Guest {
    /// Writes raw bytes to a stream of its own.
    ///
    /// # Panics
    ///
    /// When there is no place for it. That the link ends meanwhile is no fault.
    ///
    /// # Cancel safety
    ///
    /// Some of the bytes may have been written.
    pub async fn write(&self, bytes: &[u8]) {
        let (mut send, receive) = self.connection.open_bi().await.expect("a place");
        send.write_all(bytes).await.ok();
        // The stream stays open, so that the bytes are judged and not their end.
        let connection = self.connection.clone();
        tokio::spawn(async move {
            connection.closed().await;
            drop((send, receive));
        });
    }
}

fn hello(fleet: FleetId, commands: &[CommandName]) -> Hello {
    Hello {
        fleet,
        link: LinkNumber::FIRST,
        boot: Epoch::from_random(1),
        store: None,
        receiver: None,
        expected_boot: None,
        expected_receiver: None,
        lineage: Lineage::default(),
        sent: vec![],
        journaled: vec![],
        settled: vec![],
        commands: commands.to_vec(),
        features: 0,
        receive_window: 16 << 20,
        args_bytes_max: 64 << 10,
        payload_bytes_max: 1 << 20,
    }
}

fn tls(papers: &Papers, protocol: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in &papers.roots {
        roots.add(CertificateDer::from(root.clone())).expect("a root certificate");
    }
    let key = PrivateKeyDer::try_from(papers.key.clone()).expect("a private key");
    let mut tls = ClientConfig::builder_with_provider(default_provider())
        .with_protocol_versions(&[&TLS13])
        .expect("a provider with TLS 1.3")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![CertificateDer::from(papers.leaf.clone())], key)
        .expect("a key that fits the leaf");
    tls.alpn_protocols = vec![protocol.to_vec()];
    tls
}
