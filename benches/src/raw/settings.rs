//! Endpoints with the settings of nodes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
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

/// A node's settings on the way to `peer`, with the stream limit that it has while so many commands run.
pub(crate) fn transport(peer: IpAddr, in_flight: usize) -> Arc<TransportConfig> {
    Arc::new(transport_as(&runnel_transport::TransportConfig::default(), peer, in_flight))
}

/// The same with other settings than a node's own.
pub(crate) fn transport_as(
    settings: &runnel_transport::TransportConfig,
    peer: IpAddr,
    in_flight: usize,
) -> TransportConfig {
    // As nodes do: up to what the interface carries.
    let payload_max = if peer.is_loopback() { settings.mtu_max } else { ETHERNET_PAYLOAD_BYTES };
    let mut config = settings.raw(payload_max);
    let places = ReceiveQueueConfig::default().free_places.get() + in_flight;
    config.max_concurrent_bidi_streams(VarInt::try_from(places as u64).expect("a small number"));
    config
}

fn endpoint(address: SocketAddr, server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind(address).expect("a free port");
    let buffers = socket2::SockRef::from(&socket);
    // As much as nodes ask for; the system may grant less.
    let settings = runnel_transport::TransportConfig::default();
    let buffer_bytes = settings.socket_buffer_bytes as usize;
    buffers.set_recv_buffer_size(buffer_bytes).ok();
    buffers.set_send_buffer_size(buffer_bytes).ok();
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(settings.mtu_max.max(TAKEN_BYTES_MIN)).expect("a node's default is allowed");
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).expect("a runtime runs")
}

const ETHERNET_PAYLOAD_BYTES: u16 = 1452;

/// What a node takes at least.
const TAKEN_BYTES_MIN: u16 = 1472;
