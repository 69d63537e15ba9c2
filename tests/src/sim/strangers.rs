//! Who knocks and never comes in: the first packets of handshakes that nobody goes on with.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::rustls::version::TLS13;
use quinn::rustls::{ClientConfig, RootCertStore};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, TokioRuntime, UdpPoller};
use runnel::certs::ALPN;
use tokio::task::yield_now;

use super::crypto::seeded_provider;

/// Returns the first packets of so many handshakes, each of a connection of its own, with a node of this name.
///
/// # Panics
///
/// Outside a Tokio runtime, or when quinn refuses to dial.
///
/// # Cancel safety
///
/// Nothing is lost if the future is dropped.
pub async fn first_packets(count: usize, server_name: &str) -> Vec<Vec<u8>> {
    let socket = Arc::new(Collector::default());
    let runtime = Arc::new(TokioRuntime);
    let endpoint =
        Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket.clone(), runtime)
            .expect("an endpoint needs nothing of the system");
    let crypto = QuicClientConfig::try_from(tls()).expect("a suite for QUIC");
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    while socket.len() < count {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let before = socket.len();
        let attempt = endpoint.connect_with(config.clone(), nowhere, server_name).expect("it is dialled");
        while socket.len() == before {
            yield_now().await;
        }
        drop(attempt);
    }
    socket.packets()
}

/// A socket that sends nothing and keeps the first datagram of each connection.
#[derive(Debug, Default)]
struct Collector(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

#[derive(Debug)]
struct AlwaysWritable;

impl Collector {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl AsyncUdpSocket for Collector {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut packets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind the first byte and the version: the length of the id that it is for, and the id.
        if let Some(id) = transmit.contents.get(5..14) {
            packets.entry(id.to_vec()).or_insert_with(|| transmit.contents.to_vec());
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 2)))
    }
}

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn tls() -> ClientConfig {
    let mut tls = ClientConfig::builder_with_provider(seeded_provider())
        .with_protocol_versions(&[&TLS13])
        .expect("a provider with TLS 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls
}
