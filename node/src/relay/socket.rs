//! A UDP socket that waits for packets to read and never waits to write.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use rustix::net::sockopt;

/// One bound port, through two handles of the same socket.
#[derive(Debug)]
pub(super) struct Socket {
    /// Registered with the runtime, which says when there is something to read.
    reader: tokio::net::UdpSocket,
    /// Bypasses the runtime: a router forwards a packet or drops it, and a runtime's socket would refuse the
    /// first packets after each bind, because it has not yet been told that it may write.
    writer: std::net::UdpSocket,
}

impl Socket {
    /// Binds a port. Panics outside a Tokio runtime.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let writer = std::net::UdpSocket::bind(address)?;
        enlarge_buffers(&writer);
        writer.set_nonblocking(true)?;
        let reader = tokio::net::UdpSocket::from_std(writer.try_clone()?)?;
        Ok(Self { reader, writer })
    }

    /// Binds a free port that can reach `peer`.
    pub(super) fn bind_towards(peer: SocketAddr) -> io::Result<Self> {
        Self::bind(match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        })
    }

    /// Sends a packet now or not at all; returns whether the system took it.
    pub(super) fn send(&self, payload: &[u8], to: SocketAddr) -> bool {
        self.writer.send_to(payload, to).is_ok_and(|len| len == payload.len())
    }

    /// Hands up to `BATCH` waiting packets to `take`, with their senders; returns whether more may wait.
    pub(super) fn receive(
        &self,
        buffer: &mut [u8],
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<bool> {
        for _ in 0..BATCH {
            match self.reader.try_recv_from(buffer) {
                Ok((len, from)) => take(from, &buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if is_about_an_earlier_send(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Is ready when [`receive`](Self::receive) has something to do.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_recv_ready(context).map(|_| ())
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.writer.local_addr()
    }
}

/// Gives the socket buffers for a burst, as far as the system allows: a packet that overflows them is a loss that nobody
/// asked for and no count shows.
fn enlarge_buffers(socket: &std::net::UdpSocket) {
    // The limit of the system (net.core.rmem_max) binds all but its administrator.
    #[cfg(target_os = "linux")]
    if sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_BYTES).is_ok()
        && sockopt::set_socket_send_buffer_size_force(socket, BUFFER_BYTES).is_ok()
    {
        return;
    }
    sockopt::set_socket_recv_buffer_size(socket, BUFFER_BYTES).ok();
    sockopt::set_socket_send_buffer_size(socket, BUFFER_BYTES).ok();
}

/// Some systems report on the next read that a packet sent earlier found nobody at its port.
fn is_about_an_earlier_send(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::Interrupted
    )
}

/// Packets read from one socket before the others have their turn.
const BATCH: usize = 64;

/// Kernel buffers of each direction: 20 Mbit/s for a second and a half.
const BUFFER_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn buffers_are_larger_than_the_systems_default() {
        let [plain, unlimited] =
            [0, 0].map(|port| std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let ours = Socket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let sizes = |socket: &std::net::UdpSocket| {
            let received = sockopt::socket_recv_buffer_size(socket).unwrap();
            (received, sockopt::socket_send_buffer_size(socket).unwrap())
        };
        let (plain, ours) = (sizes(&plain), sizes(&ours.writer));
        // Systems limit what they grant; none grants less than was there before.
        assert!(ours.0 >= plain.0 && ours.1 >= plain.1, "{plain:?} became {ours:?}");
        #[cfg(target_os = "linux")]
        if sockopt::set_socket_recv_buffer_size_force(&unlimited, BUFFER_BYTES).is_ok() {
            assert!(ours.0 >= BUFFER_BYTES && ours.1 >= BUFFER_BYTES, "{ours:?}");
        }
    }
}
