//! A TCP connection of the kernel that sends from left to right as fast as it can.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use socket2::SockRef;

use super::Link;

/// A connection at work, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct TcpFlow {
    received: Arc<AtomicU64>,
    ends: [TcpStream; 2],
    threads: Vec<JoinHandle<()>>,
}

impl TcpFlow {
    /// Connects, with a congestion control that the kernel knows by this name.
    ///
    /// # Errors
    ///
    /// The kernel does not know it, or the link loses too much for a connection.
    pub fn start(link: &Link, control: &str) -> io::Result<Self> {
        let right = link.right().clone();
        let listener = right.run(|| TcpListener::bind((right.address(), 0)))?;
        let address = listener.local_addr()?;
        let sender = link.left().run(|| TcpStream::connect(address))?;
        SockRef::from(&sender).set_tcp_congestion(control.as_bytes())?;
        let (receiver, _) = listener.accept()?;
        let received = Arc::new(AtomicU64::new(0));
        let (ends, counted) = ([sender.try_clone()?, receiver.try_clone()?], received.clone());
        // Sockets stay on the side that made them, whichever thread uses them.
        let threads =
            vec![std::thread::spawn(|| pour(sender)), std::thread::spawn(|| drain(receiver, counted))];
        Ok(Self { received, ends, threads })
    }

    /// Returns how many bytes have arrived.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        for end in &self.ends {
            // One that the other has closed is closed.
            let _ = end.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn pour(mut socket: TcpStream) {
    let piece = [0x5a; 64 << 10];
    while socket.write_all(&piece).is_ok() {}
}

fn drain(mut socket: TcpStream, received: Arc<AtomicU64>) {
    let mut buffer = [0; 64 << 10];
    while let Ok(len @ 1..) = socket.read(&mut buffer) {
        received.fetch_add(len as u64, Ordering::Relaxed);
    }
}
