//! Endpoints with the settings of nodes.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use runnel_certs::{Identity, client_config, default_provider, server_config};
use runnel_queue::ReceiveQueueConfig;
use rustls::time_provider::DefaultTimeProvider;

/// An endpoint that takes connections at `address`.
pub(crate) fn server(identity: &Identity, address: SocketAddr, transport: Arc<TransportConfig>) -> Endpoint {
    let tls = server_config(identity, identity.trust(), default_provider(), Arc::new(DefaultTimeProvider));
    let tls = QuicServerConfig::try_from(tls.expect("the identity is whole")).expect("TLS 1.3 with AES-128");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport);
    endpoint(address, Some(config))
}

/// An endpoint that dials from `address`.
pub(crate) fn client(identity: &Identity, address: SocketAddr, transport: Arc<TransportConfig>) -> Endpoint {
    let tls = client_config(identity, identity.trust(), default_provider(), Arc::new(DefaultTimeProvider));
    let tls = QuicClientConfig::try_from(tls.expect("the identity is whole")).expect("TLS 1.3 with AES-128");
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport);
    let mut endpoint = endpoint(address, None);
    endpoint.set_default_client_config(config);
    endpoint
}

/// The name by which the client knows the server.
pub(crate) fn server_name(client: &Identity) -> String {
    let worker = "worker".parse().expect("a valid name");
    runnel_certs::server_name(&worker, client.fleet()).to_str().into_owned()
}

/// A node's settings, with the stream limit that it has while so many commands run.
pub(crate) fn transport(in_flight: usize) -> Arc<TransportConfig> {
    Arc::new(transport_as(&runnel_transport::TransportConfig::default(), in_flight))
}

/// The same with other settings than a node's own.
pub(crate) fn transport_as(
    settings: &runnel_transport::TransportConfig,
    in_flight: usize,
) -> TransportConfig {
    let mut config = settings.raw();
    let places = ReceiveQueueConfig::default().free_places.get() + in_flight;
    config.max_concurrent_bidi_streams(VarInt::try_from(places as u64).expect("a small number"));
    config
}

fn endpoint(address: SocketAddr, server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind(address).expect("a free port");
    let buffers = socket2::SockRef::from(&socket);
    // As much as nodes ask for; the system may grant less.
    buffers.set_recv_buffer_size(BUFFER_BYTES).ok();
    buffers.set_send_buffer_size(BUFFER_BYTES).ok();
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime)).expect("a runtime runs")
}

const BUFFER_BYTES: usize = 4 << 20;
