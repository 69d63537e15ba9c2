//! A controller and a worker that dials it through a relay: whole nodes over real sockets.

use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::{Command, NodeId};
use runnel::relay::{PathConfig, RelayConfig};
use runnel::{Config, Node, NodeBuilder, NodeHandle, Submission, SubmitOptions};

use crate::commands::{Gate, handlers};
use crate::fleet::TestFleet;
use crate::patience::patient;
use crate::route::{Route, local};
use crate::tally::Tally;

/// What a pair is made of.
#[derive(Clone, Debug, Default)]
pub struct PairConfig {
    /// The faults of the path, each way.
    pub path: PathConfig,
    /// How often the worker's NAT forgets its port.
    pub rebind_every: Option<Duration>,
    /// The controller's settings.
    pub controller: Config,
    /// The worker's settings.
    pub worker: Config,
}

/// A controller, a worker and the relay between them.
#[derive(Debug)]
pub struct Pair {
    /// The authority of both.
    pub fleet: TestFleet,
    /// The relay between them.
    pub route: Route,
    /// What the worker's handlers say of their calls.
    pub tally: Tally,
    /// What the worker's [`Hold`](crate::commands::Hold)s wait for.
    pub gate: Gate,
    controller: Node,
    worker: Node,
}

impl Pair {
    /// Starts both nodes and waits until their link is up at both ends.
    ///
    /// # Panics
    ///
    /// When they cannot be started or find no link.
    ///
    /// # Cancel safety
    ///
    /// Both nodes stop if the future is dropped.
    pub async fn start(config: PairConfig, seed: u64) -> Self {
        let pair = Self::start_apart(config, seed, false).await;
        patient("the link", pair.controller().wait_for_link(pair.worker()))
            .await
            .expect("the controller runs");
        let controller = pair.controller().node();
        patient("the link", pair.worker.handle().wait_for_link(controller)).await.expect("the worker runs");
        pair
    }

    /// Starts both nodes with the path between them dark: no link comes up until it is lightened.
    ///
    /// # Panics
    ///
    /// When they cannot be started.
    ///
    /// # Cancel safety
    ///
    /// Both nodes stop if the future is dropped.
    pub async fn start_in_the_dark(config: PairConfig, seed: u64) -> Self {
        Self::start_apart(config, seed, true).await
    }

    async fn start_apart(config: PairConfig, seed: u64, is_dark: bool) -> Self {
        let fleet = TestFleet::today();
        let (tally, gate) = (Tally::default(), Gate::closed());
        let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller))
            .config(config.controller)
            .listen(local());
        let controller = controller.start().await.expect("the controller starts");
        let relay = RelayConfig {
            up: config.path.clone(),
            down: config.path,
            rebind_every: config.rebind_every,
            ..RelayConfig::default()
        };
        let route = Route::with(controller.handle().listening()[0], relay, seed);
        if is_dark {
            route.handle().set_blackout(true);
        }
        let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker))
            .config(config.worker)
            .handlers(handlers(&tally, &gate))
            .peer(controller.handle().node().clone(), [route.address().to_string()]);
        let worker = worker.start().await.expect("the worker starts");
        Self { fleet, route, tally, gate, controller, worker }
    }

    /// Returns the controller.
    pub fn controller(&self) -> &NodeHandle {
        self.controller.handle()
    }

    /// Returns the worker's name.
    pub fn worker(&self) -> &NodeId {
        self.worker.handle().node()
    }

    /// Returns the worker.
    pub fn worker_handle(&self) -> &NodeHandle {
        self.worker.handle()
    }

    /// Sends the worker a command.
    ///
    /// # Panics
    ///
    /// When the queue is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the command may have been stored.
    pub async fn submit<C: Command>(&self, args: C::Args, options: SubmitOptions) -> Submission<C> {
        let submitted = self.controller().submit::<C>(self.worker(), &args, options);
        patient("the command to be stored", submitted).await.expect("the queue has room")
    }

    /// Stops both nodes in order, then the relay.
    ///
    /// # Panics
    ///
    /// When the relay has failed.
    ///
    /// # Cancel safety
    ///
    /// All of them stop if the future is dropped.
    pub async fn stop(self) {
        let stopped = async {
            self.worker.shutdown().await;
            self.controller.shutdown().await;
            self.route.close().await;
        };
        patient("the pair to stop", stopped).await;
    }
}
