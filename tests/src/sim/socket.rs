//! A UDP socket on the network in memory, as quinn wants it.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::network::Network;

/// A socket that sends into, and is fed by, a [`Network`].
#[derive(Debug)]
pub(super) struct SimSocket {
    network: Arc<Network>,
    address: SocketAddr,
    inbox: Mutex<Inbox>,
    /// Its process is dead: what it still sends goes nowhere.
    is_silent: AtomicBool,
}

#[derive(Debug, Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct AlwaysWritable;

impl SimSocket {
    pub(super) fn new(network: Arc<Network>, address: SocketAddr) -> Self {
        Self { network, address, inbox: Mutex::default(), is_silent: AtomicBool::new(false) }
    }

    /// Takes a packet from the network. Returns whether there was room for it.
    pub(super) fn deliver(&self, from: SocketAddr, content: Vec<u8>) -> bool {
        let mut inbox = self.lock();
        if inbox.packets.len() >= PACKETS_MAX {
            return false;
        }
        inbox.packets.push_back((from, content));
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
        true
    }

    /// Has it send and receive nothing any more.
    pub(super) fn silence(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.is_silent.load(Ordering::Relaxed) {
            return Ok(());
        }
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for content in transmit.contents.chunks(segment) {
            self.network.send(self.address, transmit.destination, content);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.lock();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, content)) = inbox.packets.pop_front() else { break };
            let len = content.len().min(buf.len());
            buf[..len].copy_from_slice(&content[..len]);
            *meta = RecvMeta::default();
            meta.addr = from;
            meta.len = len;
            meta.stride = len;
            meta.dst_ip = Some(self.address.ip());
            count += 1;
        }
        if count == 0 {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Packets that a socket holds unread, as a system's buffer would.
const PACKETS_MAX: usize = 2048;
