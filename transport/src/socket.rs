//! UDP sockets: how large their buffers are, and how several packets go in one system call.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

/// A UDP socket that an endpoint can use.
#[derive(Clone, Debug)]
pub struct Socket {
    quinn: Arc<dyn AsyncUdpSocket>,
    buffers: Option<Buffers>,
}

/// What the system grants a socket now: where it is less than was asked, links are slower, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// The address to which it is bound.
    pub address: SocketAddr,
    /// Bytes that were asked for its receive buffer and as many for its send buffer.
    pub buffer_bytes_asked: u32,
    /// Bytes of its receive buffer, in the unit of what was asked; `None` if it is not one of the system's.
    pub receive_buffer_bytes: Option<u32>,
    /// Bytes of its send buffer, in the same way.
    pub send_buffer_bytes: Option<u32>,
    /// Packets that may leave in one system call (GSO). 1: the system cannot, the settings forbid it, or it was refused
    /// once on this socket, by a network card say, and is not tried again.
    pub send_segments: usize,
    /// What that was when the socket was bound, whatever the settings say.
    pub send_segments_offered: usize,
    /// Packets that may come as one from the system (GRO). 1: it cannot.
    pub receive_segments: usize,
}

/// Sizes of a socket's buffers as the system says them, in the unit in which they are asked for.
#[derive(Clone, Copy, Debug)]
struct Buffers {
    receive: u32,
    send: u32,
}

/// A socket as quinn gets it, for packets of at most so many bytes.
#[derive(Debug)]
pub(crate) struct FittedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    payload_bytes_max: u16,
    buffers: Option<Buffers>,
    buffer_bytes_asked: u32,
    send_segments_offered: usize,
}

impl Socket {
    /// Binds a real socket, for IPv6 without IPv4, and asks for so many bytes for each of its two buffers. The system
    /// may grant less: no privilege is used to exceed its bounds (`net.core.rmem_max` and `wmem_max` on Linux), which are
    /// the administrator's to set.
    ///
    /// # Errors
    ///
    /// Those of the system, for example when the address is in use.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn bind(address: SocketAddr, buffer_bytes: u32) -> io::Result<Self> {
        let kind = socket2::Type::DGRAM;
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)?;
        if address.is_ipv6() {
            // quinn resets a path's state on every change of a mapped address.
            socket.set_only_v6(true)?;
        }
        // Some systems grant what they can, others refuse what is too much and keep what they have.
        let bytes = usize::try_from(buffer_bytes).unwrap_or(usize::MAX);
        socket.set_recv_buffer_size(bytes).ok();
        socket.set_send_buffer_size(bytes).ok();
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
        let buffers = Buffers::of(&socket).ok();
        Ok(Self { quinn: TokioRuntime.wrap_udp_socket(socket)?, buffers })
    }

    /// Takes any socket that quinn can use: that of a simulated network, say.
    #[cfg(feature = "sim")]
    pub fn from_abstract(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self { quinn: socket, buffers: None }
    }

    /// Makes it fit for packets of at most so many bytes.
    pub(crate) fn fit(self, payload_bytes_max: u16, buffer_bytes_asked: u32) -> FittedSocket {
        FittedSocket {
            send_segments_offered: self.quinn.max_transmit_segments(),
            inner: self.quinn,
            payload_bytes_max,
            buffers: self.buffers,
            buffer_bytes_asked,
        }
    }
}

impl Buffers {
    fn of(socket: &UdpSocket) -> io::Result<Self> {
        let socket = socket2::SockRef::from(socket);
        let asked = |bytes: usize| u32::try_from(bytes / REPORTED_PER_ASKED).unwrap_or(u32::MAX);
        Ok(Self { receive: asked(socket.recv_buffer_size()?), send: asked(socket.send_buffer_size()?) })
    }
}

impl FittedSocket {
    /// Says what the system grants now.
    pub(crate) fn stats(&self, segmentation_offload: bool) -> io::Result<SocketStats> {
        Ok(SocketStats {
            address: self.inner.local_addr()?,
            buffer_bytes_asked: self.buffer_bytes_asked,
            receive_buffer_bytes: self.buffers.map(|buffers| buffers.receive),
            send_buffer_bytes: self.buffers.map(|buffers| buffers.send),
            send_segments: if segmentation_offload { self.inner.max_transmit_segments() } else { 1 },
            send_segments_offered: self.send_segments_offered,
            receive_segments: self.inner.max_receive_segments(),
        })
    }

    /// Returns the smaller of its buffers, if that is less than was asked.
    pub(crate) fn buffer_shortage(&self) -> Option<u32> {
        let granted = self.buffers.map(|buffers| buffers.receive.min(buffers.send))?;
        (granted < self.buffer_bytes_asked).then_some(granted)
    }
}

impl AsyncUdpSocket for FittedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    /// Sends packets, in several goes if they are too many bytes for one. If the system has no room half way, all of them
    /// are sent again later; QUIC drops the copies.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(segment) = transmit.segment_size.filter(|_| transmit.contents.len() > SEND_BYTES_MAX) else {
            return self.inner.try_send(transmit);
        };
        for contents in transmit.contents.chunks(whole_segments(segment)) {
            let segment_size = (contents.len() > segment).then_some(segment);
            self.inner.try_send(&Transmit { contents, segment_size, ..transmit.clone() })?;
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    /// quinn takes this many times the largest packet for a buffer; what the system hands over as one is never longer
    /// than a UDP packet can be.
    fn max_receive_segments(&self) -> usize {
        let needed = RECEIVED_BYTES_MAX.div_ceil(usize::from(self.payload_bytes_max.max(1)));
        self.inner.max_receive_segments().min(needed)
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Returns how many bytes of whole segments go in one system call, at least one segment.
fn whole_segments(segment: usize) -> usize {
    let segment = segment.max(1);
    (SEND_BYTES_MAX / segment).max(1) * segment
}

/// Payload of the largest UDP packet over IPv4, which is what all segments of one call together may have.
const SEND_BYTES_MAX: usize = 65_507;

/// No UDP packet is longer.
const RECEIVED_BYTES_MAX: usize = 65_535;

/// Linux says twice what was granted, with its own bookkeeping in the other half (socket(7)).
const REPORTED_PER_ASKED: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 2 } else { 1 };

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A socket that notes what it is to send: bytes, and bytes of a segment.
    #[derive(Debug)]
    struct Noting {
        sent: Mutex<Vec<(usize, Option<usize>)>>,
        send_segments: AtomicUsize,
    }

    #[derive(Debug)]
    struct AlwaysWritable;

    impl UdpPoller for AlwaysWritable {
        fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncUdpSocket for Noting {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Box::pin(AlwaysWritable)
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            self.sent.lock().expect("no panic").push((transmit.contents.len(), transmit.segment_size));
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
            Ok((Ipv4Addr::LOCALHOST, 1).into())
        }

        fn max_transmit_segments(&self) -> usize {
            self.send_segments.load(Ordering::Relaxed)
        }

        fn max_receive_segments(&self) -> usize {
            64
        }
    }

    fn fitted(payload_bytes_max: u16) -> (FittedSocket, Arc<Noting>) {
        let noting = Arc::new(Noting { sent: Mutex::default(), send_segments: AtomicUsize::new(64) });
        let socket = Socket { quinn: noting.clone(), buffers: Some(Buffers { receive: 100, send: 50 }) };
        (socket.fit(payload_bytes_max, 100), noting)
    }

    #[track_caller]
    fn check_sent(bytes: usize, segment_size: Option<usize>, expected: &[(usize, Option<usize>)]) {
        let (socket, noting) = fitted(8952);
        let (destination, contents) = ((Ipv4Addr::LOCALHOST, 2).into(), &vec![0; bytes][..]);
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        socket.try_send(&transmit).expect("it takes everything");
        assert_eq!(*noting.sent.lock().expect("no panic"), expected);
    }

    #[test]
    fn packets_go_together_as_far_as_one_call_can_take_them() {
        check_sent(65_000, Some(6500), &[(65_000, Some(6500))]);
        check_sent(89_520, Some(8952), &[(62_664, Some(8952)), (26_856, Some(8952))]);
        check_sent(66_000, Some(8952), &[(62_664, Some(8952)), (3336, None)]);
        check_sent(1200, None, &[(1200, None)]);
    }

    #[test]
    fn a_buffer_holds_what_the_system_can_hand_over_as_one() {
        assert_eq!(fitted(1472).0.max_receive_segments(), 45);
        assert_eq!(fitted(8952).0.max_receive_segments(), 8);
        assert_eq!(fitted(65_527).0.max_receive_segments(), 2);
        assert_eq!(fitted(1000).0.max_receive_segments(), 64);
    }

    #[test]
    fn what_the_system_refuses_later_shows() {
        let (socket, noting) = fitted(1472);
        assert_eq!(socket.stats(true).expect("it has an address").send_segments, 64);
        noting.send_segments.store(1, Ordering::Relaxed);
        let stats = socket.stats(true).expect("it has an address");
        assert_eq!((stats.send_segments, stats.send_segments_offered), (1, 64));
    }

    #[test]
    fn the_smaller_buffer_says_whether_the_system_granted_less() {
        let (socket, _) = fitted(1472);
        assert_eq!(socket.buffer_shortage(), Some(50));
        let (granted, _) = fitted(1472);
        assert_eq!(FittedSocket { buffer_bytes_asked: 50, ..granted }.buffer_shortage(), None);
    }
}
