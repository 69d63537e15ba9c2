//! What links take from the outside: tasks, time, randomness, sockets, names.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use rustls::crypto::CryptoProvider;

/// What the transport takes from the outside. Time is always Tokio's clock, so that a paused clock works.
pub trait Env: fmt::Debug + Send + Sync + 'static {
    /// Starts a task. The environment owns it and can end it.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Fills `bytes` with random numbers fit for keys.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Returns the date, for certificates and tokens.
    fn wall_clock(&self) -> SystemTime;

    /// Binds a UDP socket.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn bind(&self, address: SocketAddr) -> io::Result<Socket>;

    /// Resolves `host:port`.
    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

    /// Returns the cryptography of TLS.
    fn crypto(&self) -> Arc<CryptoProvider>;
}

/// A UDP socket that an endpoint can use.
#[derive(Clone, Debug)]
pub struct Socket(pub(crate) Arc<dyn AsyncUdpSocket>);

impl Socket {
    /// Binds a real socket, with large buffers and, for IPv6, without IPv4.
    ///
    /// # Errors
    ///
    /// Those of the system, for example when the address is in use.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let kind = socket2::Type::DGRAM;
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)?;
        if address.is_ipv6() {
            // quinn resets a path's state on every change of a mapped address.
            socket.set_only_v6(true)?;
        }
        // The system may grant less; the default of some 200 KiB drops packets in bursts.
        socket.set_recv_buffer_size(BUFFER_BYTES).ok();
        socket.set_send_buffer_size(BUFFER_BYTES).ok();
        socket.bind(&address.into())?;
        Self::from_std(socket.into())
    }

    /// Takes a UDP socket that is bound already: one handed over by a supervisor, say.
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn from_std(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        TokioRuntime.wrap_udp_socket(socket).map(Self)
    }

    /// Takes any socket that quinn can use: that of a simulated network, say.
    #[cfg(feature = "sim")]
    pub fn from_abstract(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self(socket)
    }
}

const BUFFER_BYTES: usize = 4 << 20;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An environment without tasks, sockets and names, in which every random number is 7.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct NoEnv;

    impl Env for NoEnv {
        fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

        fn fill_random(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }

        fn wall_clock(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn bind(&self, _: SocketAddr) -> io::Result<Socket> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn resolve(&self, _: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }

        fn crypto(&self) -> Arc<CryptoProvider> {
            runnel_certs::default_provider()
        }
    }
}
