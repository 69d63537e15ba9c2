//! A controller and a worker that dials it, on a network of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use runnel::certs::Role;
use runnel::codec::{Command, NodeId};
use runnel::{Config, Handlers, NodeBuilder, NodeHandle, Submission, SubmitOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::crypto::seed_tls;
use super::env::SimEnv;
use super::identities::identity;
use super::nat::NatConfig;
use super::network::Network;
use super::path::PathConfig;

/// A controller and a worker that dials it.
#[derive(Debug)]
pub struct Pair {
    /// The network between them.
    pub network: Arc<Network>,
    /// The controller.
    pub controller: NodeHandle,
    /// The worker's name.
    pub worker: NodeId,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Pair {
    /// Starts both and waits for their link.
    ///
    /// # Panics
    ///
    /// When a node does not start, like all of the harness.
    ///
    /// # Cancel safety
    ///
    /// Both are gone if the future is dropped.
    pub async fn start(seed: u64, path: PathConfig, handlers: Handlers) -> Self {
        Self::start_configured(seed, path, handlers, &Config::default()).await
    }

    /// Starts both with these settings and waits for their link.
    ///
    /// # Panics
    ///
    /// When a node does not start, like all of the harness.
    ///
    /// # Cancel safety
    ///
    /// Both are gone if the future is dropped.
    pub async fn start_configured(seed: u64, path: PathConfig, handlers: Handlers, config: &Config) -> Self {
        Self::start_on(Network::new(seed, path), seed, handlers, config).await
    }

    /// Starts both with these settings, the worker behind a NAT, and waits for their link.
    ///
    /// # Panics
    ///
    /// When a node does not start, like all of the harness.
    ///
    /// # Cancel safety
    ///
    /// Both are gone if the future is dropped.
    pub async fn start_behind(
        seed: u64,
        path: PathConfig,
        nat: NatConfig,
        handlers: Handlers,
        config: &Config,
    ) -> Self {
        let network = Network::new(seed, path);
        network.set_nat(WORKER_HOST, nat);
        Self::start_on(network, seed, handlers, config).await
    }

    async fn start_on(network: Arc<Network>, seed: u64, handlers: Handlers, config: &Config) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(network.clone().run());
        seed_tls(seed);

        let listen = SocketAddr::new(CONTROLLER_HOST, 4433);
        let builder =
            NodeBuilder::new(identity("controller", Role::Controller)).config(config.clone()).listen(listen);
        let env = SimEnv::new(network.clone(), CONTROLLER_HOST, seed);
        let (controller, engine) = builder.start_in(env, stop.clone()).expect("the controller starts");
        tasks.spawn(engine);

        let builder = NodeBuilder::new(identity("worker", Role::Worker))
            .config(config.clone())
            .handlers(handlers)
            .peer("controller".parse().expect("a valid name"), [listen.to_string()]);
        let env = SimEnv::new(network.clone(), WORKER_HOST, seed + 1);
        let (worker, engine) = builder.start_in(env, stop.clone()).expect("the worker starts");
        tasks.spawn(engine);

        let worker = worker.node().clone();
        controller.wait_for_link(&worker).await.expect("the controller runs");
        Self { network, controller, worker, stop, tasks }
    }

    /// Submits a command to the worker.
    ///
    /// # Panics
    ///
    /// When the queue refuses it.
    pub async fn submit<C: Command>(&self, args: C::Args, options: SubmitOptions) -> Submission<C> {
        self.controller.submit::<C>(&self.worker, &args, options).await.expect("the queue has room")
    }

    /// Lets both nodes stop in order.
    ///
    /// # Panics
    ///
    /// When one of them panicked.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for _ in 0..2 {
            self.tasks.join_next().await.expect("two engines run").expect("they do not panic");
        }
    }
}

/// Where the controller is.
pub const CONTROLLER_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Where the worker is.
pub const WORKER_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
