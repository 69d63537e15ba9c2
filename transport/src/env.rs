//! What links take from the outside: tasks, time, randomness, sockets, names.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;

use crate::socket::Socket;

/// What the transport takes from the outside. Time is always Tokio's clock, so that a paused clock works.
pub trait Env: fmt::Debug + Send + Sync + 'static {
    /// Starts a task. The environment owns it and can end it.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Fills `bytes` with random numbers fit for keys.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Returns the date, for certificates and tokens.
    fn wall_clock(&self) -> SystemTime;

    /// Binds a UDP socket, with so many bytes for each of its two buffers if they are granted.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn bind(&self, address: SocketAddr, buffer_bytes: u32) -> io::Result<Socket>;

    /// Returns the largest IP packet, in bytes, that the interface towards an address carries. Sends nothing. Default:
    /// not known, and then no packets are tried that an Ethernet would not carry.
    fn interface_mtu(&self, _towards: SocketAddr) -> Option<u16> {
        None
    }

    /// Resolves `host:port`.
    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

    /// Returns the cryptography of TLS.
    fn crypto(&self) -> Arc<CryptoProvider>;
}

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

        fn bind(&self, _: SocketAddr, _: u32) -> io::Result<Socket> {
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
