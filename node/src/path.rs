//! What the system says of addresses, routes and sleep. It decides nothing: [`PathWatch`](runnel_transport::PathWatch)
//! does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::env::NetworkChanges;

/// Returns the address from which packets to `to` would leave now; `None` if there is no route. Sends nothing.
pub(crate) fn source_address(to: SocketAddr) -> Option<IpAddr> {
    let source = routed(to)?.local_addr().ok()?.ip();
    (!source.is_unspecified()).then_some(source)
}

/// Returns the largest IP packet that the way to `to` carries as far as the system knows: its interface's, or less if a
/// router has said so. Sends nothing.
#[cfg(target_os = "linux")]
pub(crate) fn interface_mtu(to: SocketAddr) -> Option<u16> {
    use rustix::net::sockopt::{ip_mtu, ipv6_mtu};

    let socket = routed(to)?;
    let mtu = if to.is_ipv4() { ip_mtu(&socket) } else { ipv6_mtu(&socket) };
    mtu.ok().map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// Other systems do not say it in a way that is known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn interface_mtu(_: SocketAddr) -> Option<u16> {
    None
}

/// Returns a socket with a route to `to`; `None` if there is none.
fn routed(to: SocketAddr) -> Option<UdpSocket> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).ok()?;
    // For UDP this only looks the route up.
    socket.connect(to).ok()?;
    Some(socket)
}

/// Returns how long the machine has been suspended since it was started.
#[cfg(target_os = "linux")]
pub(crate) fn suspended() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // Read first, the clock that stands still in suspension makes the difference too large at most, by nanoseconds.
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

/// Other systems do not say it in a way that is known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn suspended() -> Duration {
    Duration::ZERO
}

/// Watches the machine's addresses and routes.
///
/// # Panics
///
/// Outside a Tokio runtime.
#[cfg(target_os = "linux")]
pub(crate) fn changes() -> NetworkChanges {
    match netlink::Watch::new() {
        Ok(watch) => watch.into_changes(),
        Err(error) => {
            tracing::warn!(%error, "changes of routes are not reported here; they are found by looking");
            Box::pin(futures_util::stream::pending())
        }
    }
}

/// On other systems changes are found by looking.
#[cfg(not(target_os = "linux"))]
pub(crate) fn changes() -> NetworkChanges {
    Box::pin(futures_util::stream::pending())
}

/// Linux tells of addresses and routes on a socket. What it says is not read: that it says something is enough.
#[cfg(target_os = "linux")]
mod netlink {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
    use tokio::io::unix::AsyncFd;

    use super::NetworkChanges;

    /// A socket on which the kernel reports changes.
    #[derive(Debug)]
    pub(super) struct Watch(AsyncFd<OwnedFd>);

    impl Watch {
        pub(super) fn new() -> io::Result<Self> {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            Self::register(socket)
        }

        #[expect(
            deprecated,
            reason = "the other way is unsafe; an OwnedFd is open for as long as it is registered"
        )]
        fn register(socket: OwnedFd) -> io::Result<Self> {
            AsyncFd::new(socket).map(Self)
        }

        pub(super) fn into_changes(self) -> NetworkChanges {
            Box::pin(futures_util::stream::unfold(self, |watch| async move {
                watch.changed().await.ok().map(|()| ((), watch))
            }))
        }

        /// Waits for a report, and takes all that are there.
        async fn changed(&self) -> io::Result<()> {
            loop {
                let mut guard = self.0.readable().await?;
                if let Ok(taken) = guard.try_io(|socket| take_all(socket.get_ref())) {
                    return taken;
                }
            }
        }
    }

    /// Reads until nothing is left. Having found nothing at all is [`io::ErrorKind::WouldBlock`].
    fn take_all(socket: &OwnedFd) -> io::Result<()> {
        // A report that is longer is cut off, which does no harm.
        let mut report = [0; 256];
        let mut is_any = false;
        loop {
            match recv(socket, &mut report, RecvFlags::empty()) {
                // The kernel had more to say than the socket could hold.
                Ok(_) | Err(Errno::NOBUFS) => is_any = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if is_any => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Addresses and routes of both families: RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR,
    /// RTMGRP_IPV6_ROUTE of linux/rtnetlink.h.
    const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_to_this_machine_leave_from_this_machine() {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(source_address(SocketAddr::new(loopback, 9)), Some(loopback));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_way_to_this_machine_carries_large_packets() {
        for loopback in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let to = SocketAddr::new(loopback, 9);
            // Where IPv6 is switched off there is no route.
            let Some(source) = source_address(to) else { continue };
            assert_eq!(source, loopback);
            assert!(interface_mtu(to).is_some_and(|mtu| mtu >= 1280), "{:?}", interface_mtu(to));
        }
    }

    #[test]
    fn the_time_suspended_does_not_run() {
        let before = suspended();
        assert!(suspended().saturating_sub(before) < Duration::from_millis(500));
    }
}
