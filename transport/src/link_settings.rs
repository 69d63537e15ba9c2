//! The settings of one link: those of the node, with packets up to what the path's first interface carries.
//!
//! quinn probes whether larger packets arrive, up to a bound. A bound far above what the path carries costs a few lost
//! probes for each step down, in which everything else goes in small packets; so the bound is taken from the interface.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::{ClientConfig, ServerConfig};

use crate::config::TransportConfig;
use crate::env::Env;

/// The settings of links, by where they lead.
#[derive(Debug)]
pub(crate) struct LinkSettings {
    env: Arc<dyn Env>,
    config: TransportConfig,
    server: ServerConfig,
    client: ClientConfig,
    /// Those made last: nearly all links of a node lead through one kind of interface, and share them.
    newest: Mutex<Option<Made>>,
}

/// Settings with a bound.
#[derive(Clone, Debug)]
struct Made {
    payload_max: u16,
    server: Arc<ServerConfig>,
    client: ClientConfig,
}

impl LinkSettings {
    /// Takes what is the same for all links.
    pub(crate) fn new(
        env: Arc<dyn Env>,
        config: TransportConfig,
        server: ServerConfig,
        client: ClientConfig,
    ) -> Self {
        Self { env, config, server, client, newest: Mutex::default() }
    }

    /// Returns the settings of an endpoint that listens.
    pub(crate) fn listening(&self) -> ServerConfig {
        self.server.clone()
    }

    /// Returns the settings of a link that a peer at this address dials.
    pub(crate) fn accepted_from(&self, address: SocketAddr) -> Arc<ServerConfig> {
        self.made(address).server
    }

    /// Returns the settings of a link to this address.
    pub(crate) fn dialled_to(&self, address: SocketAddr) -> ClientConfig {
        self.made(address).client
    }

    fn made(&self, address: SocketAddr) -> Made {
        let payload_max = payload_max(self.config.mtu_max, self.env.interface_mtu(address));
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*newest {
            Some(made) if made.payload_max == payload_max => made.clone(),
            _ => newest.insert(self.make(payload_max)).clone(),
        }
    }

    fn make(&self, payload_max: u16) -> Made {
        let transport = Arc::new(self.config.to_quinn(payload_max));
        let (mut server, mut client) = (self.server.clone(), self.client.clone());
        server.transport_config(transport.clone());
        client.transport_config(transport);
        Made { payload_max, server: Arc::new(server), client }
    }
}

/// Returns the largest UDP payload that is tried on a path whose first interface carries packets of so many bytes.
fn payload_max(configured: u16, interface_mtu: Option<u16>) -> u16 {
    let carried = interface_mtu.unwrap_or(ETHERNET_MTU).saturating_sub(HEADER_BYTES);
    configured.min(carried).max(PAYLOAD_BYTES_MIN)
}

/// What QUIC asks of every path (RFC 9000, section 14).
pub(crate) const PAYLOAD_BYTES_MIN: u16 = 1200;

/// Headers of IPv6 and UDP. Those of IPv4 are 20 bytes shorter, which are left to tunnels on the way.
const HEADER_BYTES: u16 = 48;

const ETHERNET_MTU: u16 = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_tried_up_to_what_is_configured_and_what_the_interface_carries() {
        assert_eq!(payload_max(8952, Some(1500)), 1452);
        assert_eq!(payload_max(8952, Some(9000)), 8952);
        assert_eq!(payload_max(8952, Some(u16::MAX)), 8952);
        assert_eq!(payload_max(1300, Some(9000)), 1300);
    }

    #[test]
    fn an_unknown_interface_is_taken_for_ethernet() {
        assert_eq!(payload_max(8952, None), 1452);
    }

    #[test]
    fn no_path_is_taken_to_carry_less_than_quic_asks_for() {
        assert_eq!(payload_max(8952, Some(576)), 1200);
        assert_eq!(payload_max(0, None), 1200);
    }
}
