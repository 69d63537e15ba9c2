//! One process of a simulated host: a whole node, and the application around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::certs::Identity;
use runnel::codec::{CloseCode, NodeId};
use runnel::{
    CloseReason, Config, EndpointKeys, LinkChange, NodeBuilder, NodeHandle, StoreStatus, Task, WaitsFor,
};
use runnel_queue::FaultyDisk;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::callers::{Caller, take_up};
use super::env::SimEnv;
use super::handlers::handlers;
use super::machine::Machine;
use super::mark::Mark;
use super::network::Network;
use super::observer::{Observer, Seat};
use super::order::Order;
use super::programs::Programs;
use super::tasks::TaskSet;
use super::workload::Workload;
use crate::crashing::store_on;

/// What a process is made of.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) identity: Identity,
    pub(super) config: Config,
    pub(super) disk: Disk,
    pub(super) listen: Option<SocketAddr>,
    pub(super) dials: Vec<(NodeId, SocketAddr)>,
    pub(super) seed: u64,
    /// Callers take up what older processes have submitted.
    pub(super) has_callers: bool,
}

/// What a crash leaves behind.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) endpoint_keys: EndpointKeys,
    /// Where the store is, if there is one.
    pub(super) store: Option<FaultyDisk>,
    /// What goes on running.
    pub(super) programs: Programs,
}

/// A node at work, with its callers.
#[derive(Debug)]
pub(super) struct Process {
    env: Arc<SimEnv>,
    engine: TaskSet,
    callers: Arc<TaskSet>,
    caller: Caller,
    stop: CancellationToken,
}

impl Process {
    /// Starts a node on a machine.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub(super) fn start(
        plan: Plan,
        network: &Arc<Network>,
        machine: &Arc<Machine>,
        (observer, seat, names): (&Observer, Seat, &Arc<[NodeId]>),
    ) -> Self {
        let mut builder = NodeBuilder::new(plan.identity)
            .config(plan.config)
            .endpoint_keys(plan.disk.endpoint_keys)
            .handlers(handlers(observer, seat, &plan.disk.programs));
        if let Some(disk) = &plan.disk.store {
            builder = builder.store(store_on(disk));
        }
        if let Some(listen) = plan.listen {
            builder = builder.listen(listen);
        }
        for (peer, address) in plan.dials {
            builder = builder.peer(peer, [address.to_string()]);
        }
        let env = SimEnv::on(network.clone(), machine.clone(), plan.seed);
        let stop = CancellationToken::new();
        let (node, work) =
            builder.start_in(env.clone(), stop.clone()).expect("a free address and a sound store");
        let engine = TaskSet::new(machine.clone());
        engine.start(Box::pin(work));
        let caller = Caller { node, seat, observer: observer.clone(), names: names.clone() };
        let callers = Arc::new(TaskSet::new(machine.clone()));
        callers.start(Box::pin(watch_links(caller.clone())));
        callers.start(Box::pin(look_after(caller.clone())));
        if let Some(disk) = plan.disk.store.filter(|_| plan.has_callers) {
            callers.start(Box::pin(watch_store(caller.clone(), disk)));
            callers.start(Box::pin(take_up(caller.clone(), callers.clone())));
        }
        Self { env, engine, callers, caller, stop }
    }

    /// Returns the node.
    pub(super) fn node(&self) -> &NodeHandle {
        &self.caller.node
    }

    /// Returns how many tasks the node has, its engine aside.
    pub(super) fn tasks(&self) -> usize {
        self.env.tasks().len()
    }

    /// Has callers submit what a workload asks for.
    pub(super) fn start_workload(&self, workload: Workload, is_on: watch::Receiver<bool>, seed: u64) {
        let random = ChaCha8Rng::seed_from_u64(seed);
        // Of its own, so that what other orders are does not depend on messages.
        let random_of_messages = ChaCha8Rng::seed_from_u64(seed ^ MESSAGES);
        let (caller, callers) = (&self.caller, &self.callers);
        let messages = submit_messages(
            caller.clone(),
            callers.clone(),
            workload.clone(),
            is_on.clone(),
            random_of_messages,
        );
        let work = submit_orders(caller.clone(), callers.clone(), workload, is_on, random);
        callers.start(Box::pin(work));
        callers.start(Box::pin(messages));
    }

    /// Has a caller submit one order and tell how it went.
    pub(super) fn call(&self, order: Order) -> tokio::sync::oneshot::Receiver<bool> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let caller = self.caller.clone();
        let call: Task = Box::pin(async move {
            // Nobody may wait for it any more.
            tell.send(Box::pin(caller.call(order)).await).ok();
        });
        self.callers.start(call);
        told
    }

    /// Tells the node to stop, and waits until it has. Its connections then have so long to drain; what is left after that
    /// is killed.
    pub(super) async fn stop(self, network: &Network, machine: &Machine, drain_max: Duration) -> Remains {
        self.stop.cancel();
        let has_stopped = timeout(STOP_MAX, self.engine.ended()).await.is_ok();
        timeout(drain_max, self.env.tasks().ended()).await.ok();
        let remains = Remains { has_stopped, tasks: self.env.tasks().len(), panics: Vec::new() };
        Remains { panics: self.kill(network, machine).await, ..remains }
    }

    /// Ends the process as a crash does. Returns which of its tasks had panicked.
    pub(super) async fn kill(self, network: &Network, machine: &Machine) -> Vec<String> {
        network.close_sockets(machine.address());
        // Callers go first: they would be told that their node has stopped.
        self.callers.kill().await;
        self.engine.kill().await;
        self.env.tasks().kill().await;
        [&self.callers, &self.engine, self.env.tasks()].into_iter().flat_map(TaskSet::panics).collect()
    }
}

/// What is left of a process that was told to stop.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) has_stopped: bool,
    pub(super) tasks: usize,
    pub(super) panics: Vec<String>,
}

/// Submits orders at random times while there is work.
async fn submit_orders(
    caller: Caller,
    callers: Arc<TaskSet>,
    workload: Workload,
    mut is_on: watch::Receiver<bool>,
    mut random: ChaCha8Rng,
) {
    loop {
        sleep(workload.draw_pause(&mut random)).await;
        if is_on.wait_for(|is_on| *is_on).await.is_err() {
            return;
        }
        let order = workload.draw_order(&mut random);
        let call = caller.clone().call(order);
        callers.start(Box::pin(async move {
            Box::pin(call).await;
        }));
    }
}

/// Submits messages at random times while there is work.
async fn submit_messages(
    caller: Caller,
    callers: Arc<TaskSet>,
    workload: Workload,
    mut is_on: watch::Receiver<bool>,
    mut random: ChaCha8Rng,
) {
    loop {
        sleep(workload.draw_pause(&mut random) * MESSAGES_PAUSE).await;
        if is_on.wait_for(|is_on| *is_on).await.is_err() {
            return;
        }
        for order in workload.draw_messages(&mut random) {
            let call = caller.clone().call(order);
            callers.start(Box::pin(async move {
                Box::pin(call).await;
            }));
        }
    }
}

/// Tells the observer what happens to links.
async fn watch_links(caller: Caller) {
    let Some(mut changes) = caller.node.link_changes() else { return };
    let (observer, host) = (&caller.observer, caller.seat.host);
    while let Ok(change) = changes.next().await {
        observer.trace().event(&format!("host {host}: {change:?}"));
        match change {
            LinkChange::Up { peer, .. } => {
                let peer = caller.names.iter().position(|name| *name == peer);
                // Both ends tell; the one that was there first counts.
                if let Some(peer) = peer.filter(|peer| *peer > host) {
                    observer.linked(host, peer);
                }
            }
            LinkChange::Trusted { .. } => observer.mark(Mark::TrustedAgain),
            LinkChange::Down { reason, .. } | LinkChange::Failed { reason, .. } => {
                observer.mark_all(mark_of(&reason));
            }
            _ => {}
        }
    }
}

fn mark_of(reason: &CloseReason) -> Option<Mark> {
    match reason {
        CloseReason::Reset => Some(Mark::ResetReceived),
        CloseReason::TimedOut => Some(Mark::TimedOut),
        CloseReason::Local { code, .. } | CloseReason::Remote { code: Some(code), .. } => match code {
            CloseCode::DuplicateNode => Some(Mark::DuplicateRefused),
            CloseCode::Replaced => Some(Mark::Replaced),
            CloseCode::StoreRegressed => Some(Mark::StoreRegressed),
            _ => None,
        },
        _ => None,
    }
}

/// Looks at what commands wait for, as an operator does, and releases those that are held back.
async fn look_after(caller: Caller) {
    loop {
        sleep(LOOK_PAUSE).await;
        let has_batched = caller.node.status().borrow().messages_batched > 0;
        caller.observer.mark_all(has_batched.then_some(Mark::Batched));
        for (_, id) in caller.observer.owed_by(caller.seat).into_iter().take(LOOKS_MAX) {
            let Ok(explanation) = caller.node.explain(&id).await else { continue };
            let waiting = explanation.waiting;
            if waiting.busy_until.is_some() {
                caller.observer.mark(Mark::Busy);
            }
            match waiting.waits_for {
                WaitsFor::Caller => caller.observer.mark(Mark::HeldUp),
                WaitsFor::Release if caller.node.release(&id).await.is_ok() => {
                    caller.observer.mark(Mark::HeldBack);
                }
                _ => {}
            }
        }
    }
}

/// Looks at the store, as an operator does.
async fn watch_store(caller: Caller, disk: FaultyDisk) {
    let mut status = caller.node.status();
    let (before, mut seen) = (disk.failed_syncs(), disk.failed_syncs());
    loop {
        sleep(LOOK_PAUSE).await;
        let store = status.borrow_and_update().store.clone();
        let failed = disk.failed_syncs();
        match store {
            StoreStatus::Full => caller.observer.mark(Mark::StoreFull),
            // A store that could not be loaded again would have been given up by now.
            StoreStatus::Works if failed > before && failed == seen => {
                caller.observer.mark(Mark::StoreReloaded);
            }
            _ => {}
        }
        seen = failed;
    }
}

/// So many pauses between orders are between the lots of messages, which are about half as many as all others then.
const MESSAGES_PAUSE: u32 = 30;

/// What the seed of messages differs in from that of other orders.
const MESSAGES: u64 = 0x6d65_7373;

/// Longer than all waits of a shutdown together.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Pause between two looks at what commands wait for.
const LOOK_PAUSE: Duration = Duration::from_secs(3);

/// Commands that are looked at each time.
const LOOKS_MAX: usize = 20;

/// Returns a number for the randomness of one process, or of something else that happens once.
pub(super) fn seed_of(seed: u64, what: &str, host: usize, boot: u32) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(what.as_bytes());
    hasher.update(&(host as u64).to_le_bytes()).update(&boot.to_le_bytes());
    ChaCha8Rng::from_seed(hasher.finalize().into()).random()
}
