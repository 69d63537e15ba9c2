//! The sockets of an endpoint: how they are bound, and those that dial, one for each address family.
//!
//! A dialling socket is made when an address of its family is first dialled: most nodes reach their peers over one family, and
//! a socket with quinn's endpoint around it takes some 10 KiB.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use quinn::{Connecting, EndpointConfig, ServerConfig};
use tracing::{info, warn};

use crate::close::CloseReason;
use crate::config::TransportConfig;
use crate::env::Env;
use crate::keys::EndpointKeys;
use crate::link_settings::LinkSettings;
use crate::runtime::EnvRuntime;
use crate::socket::{FittedSocket, SocketStats};

/// Makes sockets with an endpoint around each.
#[derive(Clone, Debug)]
pub(crate) struct Binder {
    env: Arc<dyn Env>,
    config: Arc<TransportConfig>,
    keys: EndpointKeys,
}

/// An endpoint and its socket.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) endpoint: quinn::Endpoint,
    /// Another one once it was moved.
    socket: Mutex<Arc<FittedSocket>>,
}

/// The sockets that dial.
#[derive(Debug)]
pub(crate) struct Dialling {
    binder: Binder,
    settings: LinkSettings,
    v4: OnceLock<Bound>,
    v6: OnceLock<Bound>,
}

impl Binder {
    pub(crate) fn new(env: Arc<dyn Env>, config: TransportConfig, keys: EndpointKeys) -> Self {
        Self { env, config: Arc::new(config), keys }
    }

    /// Binds a socket, which takes links if there is a `server`.
    pub(crate) fn bind(&self, address: SocketAddr, server: Option<ServerConfig>) -> io::Result<Bound> {
        let mut config = EndpointConfig::new(self.keys.reset_key());
        let ids = self.keys.connection_ids(self.env.clone());
        let mut seed = [0; 32];
        self.env.fill_random(&mut seed);
        config
            .cid_generator(move || Box::new(ids.clone()))
            .rng_seed(Some(seed))
            .min_reset_interval(RESET_INTERVAL_MIN)
            .max_udp_payload_size(payload_bytes_max(&self.config))
            .map_err(io::Error::other)?;
        let socket = self.fitted_socket(address)?;
        let runtime = Arc::new(EnvRuntime(self.env.clone()));
        let endpoint = quinn::Endpoint::new_with_abstract_socket(config, server, socket.clone(), runtime)?;
        Ok(Bound { endpoint, socket: Mutex::new(socket) })
    }

    /// Binds a socket as the configuration wants it, and says where the system grants less.
    fn fitted_socket(&self, address: SocketAddr) -> io::Result<Arc<FittedSocket>> {
        let asked = self.config.socket_buffer_bytes;
        let socket = self.env.bind(address, asked)?.fit(payload_bytes_max(&self.config), asked);
        if let Some(granted) = socket.buffer_shortage() {
            info!(
                asked,
                granted, "the system grants smaller socket buffers (net.core.rmem_max and wmem_max on Linux)"
            );
        }
        Ok(Arc::new(socket))
    }
}

impl Bound {
    /// Returns what the system grants its socket now.
    pub(crate) fn stats(&self, offload: bool) -> io::Result<SocketStats> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.stats(offload)
    }

    /// Moves to a fresh socket.
    fn rebind(&self, binder: &Binder, address: SocketAddr) -> io::Result<()> {
        let fresh = binder.fitted_socket(address)?;
        self.endpoint.rebind_abstract(fresh.clone())?;
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl Dialling {
    pub(crate) fn new(binder: Binder, settings: LinkSettings) -> Self {
        Self { binder, settings, v4: OnceLock::new(), v6: OnceLock::new() }
    }

    /// Returns the settings of links, those that are accepted too.
    pub(crate) fn settings(&self) -> &LinkSettings {
        &self.settings
    }

    /// Begins an attempt at an address.
    pub(crate) fn connect(&self, address: SocketAddr, server_name: &str) -> Result<Connecting, CloseReason> {
        let bound = self
            .bound_for(address)
            .map_err(|error| CloseReason::unreachable(&format!("no socket for {address}: {error}")))?;
        let settings = self.settings.dialled_to(address);
        let connecting = bound.endpoint.connect_with(settings, address, server_name);
        connecting.map_err(|error| CloseReason::unreachable(&error.to_string()))
    }

    /// Moves to fresh sockets.
    pub(crate) fn rebind(&self) {
        for (bound, address) in [(&self.v4, ANY_V4), (&self.v6, ANY_V6)] {
            let Some(bound) = bound.get() else { continue };
            if let Err(error) = bound.rebind(&self.binder, address) {
                warn!(%error, "cannot move to a new socket; links go on over the old one");
            }
        }
    }

    /// Returns those that there are.
    pub(crate) fn bound(&self) -> impl Iterator<Item = &Bound> {
        self.v4.get().into_iter().chain(self.v6.get())
    }

    fn bound_for(&self, address: SocketAddr) -> io::Result<&Bound> {
        let (bound, any) = if address.is_ipv4() { (&self.v4, ANY_V4) } else { (&self.v6, ANY_V6) };
        if let Some(bound) = bound.get() {
            return Ok(bound);
        }
        let made = self.binder.bind(any, None)?;
        Ok(bound.get_or_init(|| made))
    }
}

/// Returns the largest UDP payload that is taken, and told to peers: no less than quinn takes by itself.
fn payload_bytes_max(config: &TransportConfig) -> u16 {
    config.mtu_max.clamp(ETHERNET_PAYLOAD_BYTES, UDP_PAYLOAD_BYTES_MAX)
}

/// What an Ethernet carries over IPv4.
const ETHERNET_PAYLOAD_BYTES: u16 = 1472;

/// What a UDP packet can have over IPv6.
const UDP_PAYLOAD_BYTES_MAX: u16 = 65_527;

const ANY_V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const ANY_V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Pause between stateless resets. With quinn's default of 20 ms a thousand peers would learn of a restart within 20 s.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);
