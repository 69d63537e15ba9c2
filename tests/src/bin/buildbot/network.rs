//! What lies between a master's machine and its worker's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

use runnel::relay::{PathConfig, RelayConfig};
use runnel_benches::emulated::{Link, LinkConfig, LinkError, Side};
use runnel_tests::route::Route;
use tokio::process::{Child, Command};

/// A network, by what it does to what crosses it.
#[derive(Clone, Debug)]
pub(crate) enum Network {
    /// Loopback.
    Direct,
    /// Loopback, and a relay for what nodes say to each other.
    Relayed(RelayConfig),
    /// Two machines, so to speak, and a link of real packets, which TCP crosses too.
    Emulated(LinkConfig),
}

/// A network at work. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Ways {
    network: Network,
    link: Option<Link>,
    route: Option<Route>,
}

/// Whose machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Master,
    Worker,
}

impl Network {
    /// 2 % loss, 60 ms for a round trip, and new ports for the worker every five seconds.
    pub(crate) fn bad() -> Self {
        let path = PathConfig { loss: 0.02, delay: RTT / 2, ..PathConfig::default() };
        let rebind_every = Some(Duration::from_secs(5));
        Self::Relayed(RelayConfig { up: path.clone(), down: path, rebind_every, ..RelayConfig::default() })
    }

    /// The same loss and time for what speaks TCP. A connection that loses its ports would end.
    pub(crate) fn bad_for_tcp() -> Self {
        Self::emulated(0.02)
    }

    /// 60 ms for a round trip, 100 Mbit/s each way, and loss from 0 to 1, for what nodes say to each other.
    pub(crate) fn relayed(loss: f64) -> Self {
        let path = PathConfig {
            loss,
            delay: RTT / 2,
            rate_bits_per_second: Some(RATE),
            queue_bytes_max: 1 << 20,
            ..PathConfig::default()
        };
        Self::Relayed(RelayConfig { up: path.clone(), down: path, ..RelayConfig::default() })
    }

    /// 60 ms for a round trip, 100 Mbit/s each way, and loss from 0 to 1.
    pub(crate) fn emulated(loss: f64) -> Self {
        Self::Emulated(LinkConfig::symmetric(RATE, RTT, RTT).with(|path| path.loss = loss).seeded(SEED))
    }

    /// Begins to carry.
    ///
    /// # Errors
    ///
    /// The system does not let us make an emulated link.
    pub(crate) fn start(&self) -> Result<Ways, LinkError> {
        let link = match self {
            Self::Emulated(config) => {
                let link = Link::start(config)?;
                for side in [link.left(), link.right()] {
                    side.run(choose_tcp).expect("everybody may choose one of them");
                }
                Some(link)
            }
            Self::Direct | Self::Relayed(_) => None,
        };
        Ok(Ways { network: self.clone(), link, route: None })
    }
}

impl Ways {
    /// Returns the address of the master's machine.
    pub(crate) fn master_address(&self) -> IpAddr {
        let address = self.link.as_ref().map(|link| link.left().address());
        address.unwrap_or(Ipv4Addr::LOCALHOST).into()
    }

    /// Starts a program on one of the machines.
    pub(crate) fn start(&self, place: Place, command: &mut Command) -> io::Result<Child> {
        let Some(side) = self.side(place) else { return command.spawn() };
        let runtime = tokio::runtime::Handle::current();
        side.run(|| {
            let _entered = runtime.enter();
            command.spawn()
        })
    }

    /// Returns where the worker's node reaches the master's, which listens at this address.
    pub(crate) fn route_to(&mut self, address: SocketAddr) -> SocketAddr {
        let Network::Relayed(config) = &self.network else { return address };
        let route = Route::with(address, config.clone(), SEED);
        self.route.insert(route).address()
    }

    /// Carries nothing from now on.
    pub(crate) async fn go_dark(&self) {
        if let Some(link) = &self.link {
            link.set_dark(true);
        }
        if let Some(route) = &self.route {
            route.go_dark().await;
        }
    }

    /// Carries again.
    pub(crate) async fn lighten(&self) {
        if let Some(link) = &self.link {
            link.set_dark(false);
        }
        if let Some(route) = &self.route {
            route.lighten().await;
        }
    }

    /// Gives the worker's node a new port, as a NAT does that was restarted, and tells nobody.
    pub(crate) fn rebind(&self) {
        if let Some(route) = &self.route {
            route.handle().rebind();
        }
    }

    fn side(&self, place: Place) -> Option<&Side> {
        let link = self.link.as_ref()?;
        Some(match place {
            Place::Master => link.left(),
            Place::Worker => link.right(),
        })
    }
}

const RTT: Duration = Duration::from_millis(60);

const RATE: NonZeroU64 = NonZeroU64::new(100_000_000).expect("100,000,000 is not 0");

/// Chooses a congestion control for TCP in the namespace of the calling thread: what this machine prefers must not decide.
fn choose_tcp() -> io::Result<()> {
    let choose = |name: &str| std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", name);
    // Linux's default, unless the system allows only what every system has. At these rates and losses they are alike.
    choose("cubic").or_else(|_| choose("reno"))
}

/// What faults are drawn from.
const SEED: u64 = 1;
