//! A world: hosts with whole nodes on one network, and everything that can happen to them.

mod backup;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use runnel::certs::Role;
use runnel::codec::NodeId;
use runnel::{EndpointKeys, NodeHandle};
use runnel_queue::{DiskImage, FaultyDisk};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::crypto::seed_tls;
use super::identities::identity;
use super::machine::Machine;
use super::mark::Mark;
use super::network::Network;
use super::observer::Observer;
use super::options::Options;
use super::order::Order;
use super::path::PathConfig;
use super::process::{Disk, Plan, Process, seed_of};
use super::programs::Programs;
use super::trace::Trace;
use super::violation::Invariant;
use super::workload::{Numbers, Workload};
use crate::crashing::store_on;

/// Hosts with whole nodes. Controllers come first, then workers.
#[derive(Debug)]
pub struct World {
    options: Options,
    network: Arc<Network>,
    observer: Observer,
    names: Arc<[NodeId]>,
    hosts: Vec<Host>,
    numbers: Numbers,
    /// Disks that were replaced.
    disks: u32,
    is_busy: watch::Sender<bool>,
    _carrier: JoinSet<()>,
}

/// A machine, and what runs on it now.
#[derive(Debug)]
struct Host {
    name: String,
    role: Role,
    machine: Arc<Machine>,
    disk: Disk,
    process: Option<Process>,
    double: Option<(Arc<Machine>, Process)>,
    /// What was on its disk when it was backed up.
    backup: Option<DiskImage>,
}

/// What a process is to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The one that runs there.
    Process,
    /// One that has its identity and runs elsewhere.
    Double,
    /// One that runs on a restored disk as if nothing had happened, without anybody who submits commands.
    Restored,
}

impl What {
    /// Returns what its randomness is drawn from.
    fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Double => "double",
            Self::Restored => "restored",
        }
    }
}

impl World {
    /// Makes a world without a running process.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(options: Options, trace: Trace) -> Self {
        seed_tls(options.seed);
        let network = Network::traced(options.seed, options.path, trace.clone());
        let mut carrier = JoinSet::new();
        carrier.spawn(network.clone().run());
        let hosts: Vec<Host> =
            (0..options.controllers + options.workers).map(|host| Host::new(&options, host)).collect();
        for worker in 0..options.workers {
            if let Some(nat) = options.nat(worker) {
                network.set_nat(hosts[options.controllers + worker].machine.address(), nat);
            }
        }
        let names = hosts.iter().map(|host| host.name.parse().expect("a valid name")).collect();
        let observer = Observer::new(trace, hosts.len(), options.urgent_max());
        Self {
            network,
            observer,
            names,
            hosts,
            numbers: Numbers::default(),
            disks: 0,
            is_busy: watch::Sender::new(false),
            options,
            _carrier: carrier,
        }
    }

    /// Returns what it is made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the network.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Returns who sees everything.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Returns how many hosts there are.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Returns the hosts of workers.
    pub fn workers(&self) -> std::ops::Range<usize> {
        self.options.controllers..self.hosts.len()
    }

    /// Returns each controller with each worker.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let workers = self.workers();
        (0..self.options.controllers)
            .flat_map(move |controller| workers.clone().map(move |worker| (controller, worker)))
    }

    /// Returns the name of a host's node.
    pub fn name(&self, host: usize) -> &NodeId {
        &self.names[host]
    }

    /// Returns the address of a host.
    pub fn address(&self, host: usize) -> IpAddr {
        self.hosts[host].machine.address()
    }

    /// Returns a host's machine.
    pub fn machine(&self, host: usize) -> &Arc<Machine> {
        &self.hosts[host].machine
    }

    /// Returns the node that runs on a host, if one does.
    pub fn node(&self, host: usize) -> Option<&NodeHandle> {
        self.hosts[host].process.as_ref().map(Process::node)
    }

    /// Returns how many tasks the node on a host has, its engine aside; none if it has no process.
    pub fn tasks(&self, host: usize) -> usize {
        self.hosts[host].process.as_ref().map_or(0, Process::tasks)
    }

    /// Returns how many commands callers have submitted, or tried to.
    pub fn orders(&self) -> u64 {
        self.numbers.count()
    }

    /// Starts a process on a host that has none.
    pub fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        let machine = self.hosts[host].machine.clone();
        // Whoever starts a machine again makes room first.
        self.set_disk_full(host, false);
        let disk = self.hosts[host].disk.clone();
        if let Some(disk) = &disk.store {
            let rows = store_on(disk).load().expect("a sound store");
            self.observer.disk_read(host, &rows);
        }
        let process = self.start_on(host, &machine, disk, What::Process);
        if self.hosts[host].role == Role::Controller {
            let workload = Workload {
                per_second: self.options.orders_per_second / self.options.controllers as f64,
                first_worker: self.options.controllers,
                workers: self.options.workers,
                bytes_max: self.options.bytes_max,
                is_durable: self.options.is_durable,
                is_tight: self.options.is_tight,
                numbers: self.numbers.clone(),
            };
            let seed = seed_of(
                self.options.seed,
                "workload",
                host,
                u32::try_from(self.orders()).unwrap_or(u32::MAX),
            );
            process.start_workload(workload, self.is_busy.subscribe(), seed);
        }
        self.hosts[host].process = Some(process);
    }

    /// Starts all hosts that have no process.
    pub fn start_all(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.start(host));
    }

    /// Has callers submit orders from now on, or stop doing so.
    pub fn set_busy(&self, is_busy: bool) {
        self.is_busy.send_replace(is_busy);
    }

    /// Has a caller of a controller submit an order; `make` is given its number. Returns where it is told whether it was
    /// done; nothing if there is no process.
    pub fn call(
        &self,
        controller: usize,
        make: impl FnOnce(u64) -> Order,
    ) -> Option<oneshot::Receiver<bool>> {
        let process = self.hosts[controller].process.as_ref()?;
        Some(process.call(make(self.numbers.next())))
    }

    /// Ends the process of a host without a word: what it had in memory is gone.
    ///
    /// # Cancel safety
    ///
    /// The process is gone all the same if the future is dropped.
    pub async fn crash(&mut self, host: usize) {
        if let Some(disk) = &self.hosts[host].disk.store {
            disk.kill();
        }
        self.end_process(host, "crashes").await;
    }

    /// Cuts the power of a host: its process is gone, and what its disk had not synced is lost, kept or torn.
    ///
    /// # Cancel safety
    ///
    /// The process is gone all the same if the future is dropped.
    pub async fn cut_power(&mut self, host: usize) {
        if let Some(disk) = &self.hosts[host].disk.store {
            disk.cut_power();
        }
        self.hosts[host].disk.programs.retain(&BTreeSet::new());
        self.hosts[host].machine.restart();
        self.end_process(host, "has no power").await;
    }

    /// Takes the disk of a host: its process is gone, and the next one finds an empty disk.
    ///
    /// # Cancel safety
    ///
    /// The process is gone all the same if the future is dropped.
    pub async fn lose_disk(&mut self, host: usize) {
        self.disks += 1;
        let seed = seed_of(self.options.seed, "another disk", host, self.disks);
        if let Some(disk) = self.hosts[host].disk.store.replace(FaultyDisk::new(seed)) {
            disk.kill();
        }
        self.hosts[host].disk.programs.retain(&BTreeSet::new());
        self.observer.disk_lost(host);
        self.end_process(host, "loses its disk").await;
    }

    /// Fills what is free on a host's disk, or makes room.
    pub fn set_disk_full(&self, host: usize, is_full: bool) {
        if let Some(disk) = &self.hosts[host].disk.store {
            disk.set_capacity(is_full.then(|| disk.used_bytes()));
        }
    }

    /// Lets the next syncs of a host's disk fail.
    pub fn fail_syncs(&self, host: usize, count: u64) {
        if let Some(disk) = &self.hosts[host].disk.store {
            disk.fail_syncs(count);
        }
    }

    async fn end_process(&mut self, host: usize, how: &str) {
        let Some(process) = self.hosts[host].process.take() else { return };
        self.observer.lost(host, how);
        let panics = process.kill(&self.network, &self.hosts[host].machine).await;
        self.judge_panics(host, &panics);
    }

    /// Stops the process of a host in order. What it leaves behind is a violation.
    ///
    /// # Cancel safety
    ///
    /// The process is gone all the same if the future is dropped.
    pub async fn stop(&mut self, host: usize) {
        let Some(process) = self.hosts[host].process.take() else { return };
        self.observer.told_to_stop(host);
        let remains = process.stop(&self.network, &self.hosts[host].machine, Duration::ZERO).await;
        self.observer.lost(host, "has stopped");
        self.observer.mark(Mark::Stopped);
        if !remains.has_stopped {
            self.observer.violation(Invariant::NoLeaks, format!("host {host} does not stop"));
        }
        self.judge_panics(host, &remains.panics);
    }

    /// Stops all hosts, when nothing runs any more. Tasks and sockets that are left are a violation.
    ///
    /// # Cancel safety
    ///
    /// Some of them may go on if the future is dropped.
    pub async fn stop_all(&mut self) {
        for group in [self.workers(), 0..self.options.controllers] {
            let mut stops = Vec::new();
            for host in group {
                let Some(process) = self.hosts[host].process.take() else { continue };
                self.observer.told_to_stop(host);
                let (network, machine) = (self.network.clone(), self.hosts[host].machine.clone());
                stops.push(async move { (host, process.stop(&network, &machine, DRAIN_MAX).await) });
            }
            for (host, remains) in join_all(stops).await {
                self.observer.lost(host, "has stopped");
                if !remains.has_stopped || remains.tasks > 0 {
                    let text = format!("host {host} leaves {} tasks behind: {remains:?}", remains.tasks);
                    self.observer.violation(Invariant::NoLeaks, text);
                }
                self.judge_panics(host, &remains.panics);
            }
        }
        for host in 0..self.hosts.len() {
            let sockets = self.network.sockets(self.address(host));
            if sockets > 0 {
                let text = format!("host {host} leaves {sockets} sockets behind");
                self.observer.violation(Invariant::NoLeaks, text);
            }
        }
    }

    /// Has a second process with a host's identity run on another machine.
    pub fn start_double(&mut self, host: usize) {
        if self.hosts[host].double.is_some() {
            return;
        }
        self.observer.double(host, true);
        let machine = Machine::new(address_of(DOUBLES, host));
        let disk = Disk { store: None, programs: Programs::default(), ..self.hosts[host].disk.clone() };
        let process = self.start_on(host, &machine, disk, What::Double);
        self.hosts[host].double = Some((machine, process));
    }

    /// Ends that second process.
    ///
    /// # Cancel safety
    ///
    /// It is gone all the same if the future is dropped.
    pub async fn end_double(&mut self, host: usize) {
        let Some((machine, process)) = self.hosts[host].double.take() else { return };
        let panics = process.kill(&self.network, &machine).await;
        self.observer.double(host, false);
        self.judge_panics(host, &panics);
    }

    /// Has the network be as it is without faults, or as it is with them.
    pub fn set_path(&self, path: PathConfig) {
        self.network.set_path(path);
    }

    fn start_on(&self, host: usize, machine: &Arc<Machine>, disk: Disk, what: What) -> Process {
        let Host { name, role, .. } = &self.hosts[host];
        let seat = self.observer.started(host);
        let listening = |controller: usize| SocketAddr::new(self.address(controller), PORT);
        let (listen, dials) = match role {
            Role::Controller => (Some(listening(host)), Vec::new()),
            Role::Worker => {
                let controllers = 0..self.options.controllers;
                (
                    None,
                    controllers
                        .map(|controller| (self.names[controller].clone(), listening(controller)))
                        .collect(),
                )
            }
        };
        let plan = Plan {
            identity: identity(name, *role),
            config: self.options.config(),
            disk,
            listen,
            dials,
            seed: seed_of(self.options.seed, what.word(), host, seat.boot),
            has_callers: what != What::Restored,
        };
        Process::start(plan, &self.network, machine, (&self.observer, seat, &self.names))
    }

    fn judge_panics(&self, host: usize, panics: &[String]) {
        for panic in panics {
            self.observer.violation(Invariant::NoPanic, format!("host {host}: {panic}"));
        }
    }
}

impl Host {
    fn new(options: &Options, host: usize) -> Self {
        let (name, role, net) = if host < options.controllers {
            (format!("c{host:03}"), Role::Controller, CONTROLLERS)
        } else {
            (format!("w{:04}", host - options.controllers), Role::Worker, WORKERS)
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed_of(options.seed, "disk", host, 0));
        let store = options.is_durable.then(|| FaultyDisk::new(seed_of(options.seed, "store", host, 0)));
        let endpoint_keys = EndpointKeys::random(&mut random);
        let disk = Disk { endpoint_keys, store, programs: Programs::default() };
        let machine = Machine::new(address_of(net, host));
        machine.set_sync_delay(options.sync_delay);
        Self { name, role, machine, disk, process: None, double: None, backup: None }
    }
}

fn address_of(net: u8, host: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(host).unwrap_or(u32::MAX).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, net, high, low))
}

/// How long commands may take in a world without faults, beyond what their handlers and the path need.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// How long the connections of a node that has stopped may drain: three probe timeouts (RFC 9000, section 10.2), which are
/// long where a machine that stood still has spoiled the measured round trip.
const DRAIN_MAX: Duration = Duration::from_secs(1200);

const PORT: u16 = 4433;
const CONTROLLERS: u8 = 0;
const WORKERS: u8 = 1;
const DOUBLES: u8 = 2;
