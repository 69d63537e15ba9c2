//! Moving to new sockets: what the environment says of the machine's network, and what becomes of the links.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use runnel_transport::{Look, MoveCause, PathConfig, PathEvent, PathWatch, Side};
use tracing::{info, warn};

use super::Engine;
use super::link_set::LinkEntry;
use crate::env::{Env, NetworkChanges};

/// What the engine knows of the machine's network.
pub(super) struct Paths {
    watch: PathWatch,
    /// `None` once the environment has nothing more to say.
    changes: Option<NetworkChanges>,
    moves: u64,
    slept: Duration,
}

impl Paths {
    pub(super) fn new(env: &dyn Env, config: PathConfig, now: Instant) -> Self {
        Self {
            watch: PathWatch::new(config, now, env.suspended()),
            changes: Some(env.network_changes()),
            moves: 0,
            slept: Duration::ZERO,
        }
    }

    /// A link has come up.
    pub(super) fn handle_link_up(&mut self, now: Instant) {
        self.watch.handle_link_up(now);
    }

    /// Returns when [`Engine::look_at_paths`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.watch.poll_timeout()
    }

    /// Returns how often the dialling sockets moved.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// Returns how long the machine has slept since the node started.
    pub(super) fn slept(&self) -> Duration {
        self.slept
    }
}

impl Engine {
    /// Takes what the environment reports of addresses and routes.
    pub(super) fn poll_network(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(changes) = &mut self.paths.changes else { return false };
        match changes.poll_next_unpin(cx) {
            Poll::Ready(Some(())) => self.paths.watch.handle_change(now),
            Poll::Ready(None) => {
                warn!("changes of routes are reported no more; they are found by looking");
                self.paths.changes = None;
            }
            Poll::Pending => return false,
        }
        true
    }

    /// Somebody knows that the network has changed.
    pub(super) fn handle_network_changed(&mut self, now: Instant) {
        self.paths.watch.handle_asked();
        self.drain_paths(now);
    }

    /// Takes note of sleep before anything that came after it: deadlines of what arrives now have not been slept through.
    pub(super) fn look_at_sleep(&mut self, now: Instant) {
        self.paths.watch.handle_suspended(self.env.suspended());
        self.drain_paths(now);
    }

    /// Looks at routes and at the time slept, if it is time.
    pub(super) fn look_at_paths(&mut self, now: Instant) {
        while let Some(look) = self.paths.watch.poll_look(now) {
            match look {
                Look::Suspended => self.paths.watch.handle_suspended(self.env.suspended()),
                Look::Routes => {
                    let routes = self.routes();
                    self.paths.watch.handle_routes(routes);
                }
            }
        }
        self.drain_paths(now);
    }

    fn drain_paths(&mut self, now: Instant) {
        while let Some(event) = self.paths.watch.poll_event() {
            match event {
                PathEvent::Slept(slept) => {
                    info!(?slept, "the machine slept");
                    self.paths.slept += slept;
                    self.send.handle_slept(slept);
                    self.receive.handle_slept(slept);
                }
                PathEvent::Move(cause) => self.move_sockets(now, &cause),
                _ => {}
            }
        }
    }

    /// Moves the dialling sockets. Every link is to show soon that it still works.
    fn move_sockets(&mut self, now: Instant, cause: &MoveCause) {
        info!(%cause, "moving to new sockets");
        self.paths.moves += 1;
        self.endpoint.network_changed();
        for (_, entry) in self.links.iter_mut().filter(|(_, entry)| entry.is_up()) {
            let stats = entry.link.stats();
            entry.liveness.handle_frames_received(now, stats.frames_received);
            entry.liveness.handle_moved(now, self.paths.watch.proof_timeout(stats.rtt));
        }
        self.publish_status(now);
    }

    /// Returns where packets leave for each peer whose link is up and was dialled from here.
    fn routes(&self) -> BTreeMap<IpAddr, Option<IpAddr>> {
        let mut routes = BTreeMap::new();
        let dialled = |entry: &LinkEntry| entry.is_up() && entry.link.side() == Side::Dialler;
        for (_, entry) in self.links.iter().filter(|(_, entry)| dialled(entry)) {
            let Some(peer) = entry.link.remote_address() else { continue };
            routes.entry(peer.ip()).or_insert_with(|| self.env.source_address(peer));
        }
        routes
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paths").field("watch", &self.watch).finish_non_exhaustive()
    }
}
