//! One side of an emulated link: a network namespace without a name, and what runs in it.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::{LinkError, MTU};

/// One of two machines, so to speak. Clones are the same one; it lives as long as they, and what runs in it.
#[derive(Clone, Debug)]
pub struct Side {
    namespace: Arc<OwnedFd>,
    name: &'static str,
    address: Ipv4Addr,
}

impl Side {
    /// Makes a namespace with a device of this address, whose packets for `peer` come out of the returned end.
    pub(super) fn create(
        name: &'static str,
        address: Ipv4Addr,
        peer: Ipv4Addr,
    ) -> Result<(Self, SyncDevice), LinkError> {
        let made = std::thread::scope(|scope| scope.spawn(|| make(address, peer)).join());
        let (namespace, device) = made.expect("making a namespace does not panic")?;
        Ok((Self { namespace: Arc::new(namespace), name, address }, device))
    }

    /// Returns the address at which the other side reaches it.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs `work` here, on a thread of its own, as are all threads that it starts.
    ///
    /// # Panics
    ///
    /// When the system has no room for a thread.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let side = self.clone();
        let thread = std::thread::Builder::new().name(self.name.to_owned());
        let spawned = thread.spawn(move || {
            side.enter().expect("a namespace that was made can be entered");
            work()
        });
        spawned.expect("the system has room for a thread")
    }

    /// Runs `work` here and waits for it.
    ///
    /// # Panics
    ///
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let done = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter().expect("a namespace that was made can be entered");
                work()
            });
            worker.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Starts a program here.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(&self, program: &mut Command) -> io::Result<Child> {
        self.run(|| program.spawn())
    }

    /// Moves the calling thread here, and all threads and processes that it starts afterwards.
    fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// Moves the calling thread into a new namespace and makes what is in it.
fn make(address: Ipv4Addr, peer: Ipv4Addr) -> Result<(OwnedFd, SyncDevice), LinkError> {
    let failed = |doing| move |source| LinkError::Unavailable { doing, source };
    #[expect(
        deprecated,
        reason = "what is not safe about it is sharing files no longer, which is not asked for"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNET)
        .map_err(io::Error::from)
        .map_err(failed("making a network namespace"))?;
    let namespace = File::open("/proc/thread-self/ns/net").map_err(failed("finding the namespace"))?;
    let device = DeviceBuilder::new().name(DEVICE).build_sync().map_err(failed("making a TUN device"))?;
    configure(address, peer).map_err(failed("setting up the device"))?;
    // Otherwise a TCP connection begins with what an earlier one has learned.
    std::fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1").map_err(failed("setting up TCP"))?;
    Ok((namespace.into(), device))
}

fn configure(address: Ipv4Addr, peer: Ipv4Addr) -> io::Result<()> {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let mut commands = ip.stdin.take().ok_or_else(|| io::Error::other("ip has no standard input"))?;
    writeln!(commands, "link set lo up")?;
    writeln!(commands, "link set {DEVICE} mtu {MTU} txqueuelen {QUEUE_PACKETS} up")?;
    writeln!(commands, "address add {address} peer {peer} dev {DEVICE}")?;
    drop(commands);
    let status = ip.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ip ended with {status}"))) }
}

const DEVICE: &str = "emulated";

/// Packets that wait for the relay: it takes them at once, and its own buffer is the one that counts.
const QUEUE_PACKETS: u32 = 2000;
