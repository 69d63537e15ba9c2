//! Endpoints with the settings of nodes.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use runnel_certs::{Identity, client_config, default_provider, server_config};
use runnel_queue::ReceiveQueueConfig;
use rustls::time_provider::DefaultTimeProvider;

/// An endpoint that takes connections.
pub(super) fn server(identity: &Identity, in_flight: usize) -> Endpoint {
    let tls = server_config(identity, identity.trust(), default_provider(), Arc::new(DefaultTimeProvider));
    let tls = QuicServerConfig::try_from(tls.expect("the identity is whole")).expect("TLS 1.3 with AES-128");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport(in_flight));
    endpoint(Some(config))
}

/// An endpoint that dials.
pub(super) fn client(identity: &Identity, in_flight: usize) -> Endpoint {
    let tls = client_config(identity, identity.trust(), default_provider(), Arc::new(DefaultTimeProvider));
    let tls = QuicClientConfig::try_from(tls.expect("the identity is whole")).expect("TLS 1.3 with AES-128");
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport(in_flight));
    let mut endpoint = endpoint(None);
    endpoint.set_default_client_config(config);
    endpoint
}

/// The name by which the client knows the server.
pub(super) fn server_name(client: &Identity) -> String {
    let worker = "worker".parse().expect("a valid name");
    runnel_certs::server_name(&worker, client.fleet()).to_str().into_owned()
}

/// A node's settings, with the stream limit that it has while so many commands run.
fn transport(in_flight: usize) -> Arc<TransportConfig> {
    let mut config = runnel_transport::TransportConfig::default().raw();
    let places = ReceiveQueueConfig::default().free_places.get() + in_flight;
    config.max_concurrent_bidi_streams(VarInt::try_from(places as u64).expect("a small number"));
    Arc::new(config)
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let buffers = socket2::SockRef::from(&socket);
    // As much as nodes ask for; the system may grant less.
    buffers.set_recv_buffer_size(BUFFER_BYTES).ok();
    buffers.set_send_buffer_size(BUFFER_BYTES).ok();
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime)).expect("a runtime runs")
}

const BUFFER_BYTES: usize = 4 << 20;
