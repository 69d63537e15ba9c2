//! The engine: the one task in which a node's links, queues, callers and handlers meet.
//!
//! It decides nothing itself. The send queue and the receive queue say what is to be done; the engine carries their
//! words to links, callers and handlers and brings back what those say. The order is always the same: take what has
//! happened, drain every `poll_*`, arm the timer. It never waits: not for a disk, not for a handler, not for a peer.
//!
//! Start at [`Engine::poll`]. `links` and `hello` have what happens to links, `outgoing` what this node sends, `incoming`
//! what it receives, `shutdown` how it ends.

mod batches;
mod bodies;
mod boots;
mod callers;
mod dispatch;
mod early;
#[cfg(test)]
mod fixtures;
mod hello;
mod incoming;
mod lateness;
mod link_set;
mod links;
mod outgoing;
mod paths;
mod peers;
mod questions;
mod recovered;
mod refusal;
mod shutdown;
mod status;
mod storing;
mod tokens;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runnel_certs::Identity;
use runnel_codec::{BodyEnd, CommandId, CommandKey, Epoch, FailureKind, Lineage, NodeId, Outcome};
use runnel_queue::{Prepared, ReceiveQueue, SendQueue, StoreError};
use runnel_transport::{Endpoint, EndpointKeys, Reconnect};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::{info, warn};

use self::callers::Callers;
pub(crate) use self::callers::{Caller, Wants};
use self::dispatch::Dispatch;
use self::lateness::Lateness;
use self::link_set::LinkSet;
use self::paths::Paths;
use self::peers::Peer;
pub(crate) use self::questions::Question;
use self::status::StatusTimes;
use self::storing::{Epochs, Storing};
use self::tokens::Tokens;
use crate::body::Whose;
use crate::config::Config;
use crate::env::Env;
use crate::link_changes::{LinkChangeListeners, LinkChangeTeller};
use crate::node::{NodeBuilder, NotFound, StartError};
use crate::policy::Policy;
use crate::recovered::Recovered;
use crate::room::Rooms;
use crate::status::Status;
use crate::wakes::{WakeNotes, Wakes};

/// What callers and handlers ask of the engine.
#[derive(Debug)]
pub(crate) enum Request {
    /// A caller submits a command.
    Submit { command: Prepared, caller: Caller },
    /// A caller wants a command cancelled.
    Cancel { id: CommandId, reply: oneshot::Sender<Result<(), NotFound>> },
    /// A caller gives a command up.
    Abandon { id: CommandId, reply: oneshot::Sender<Result<(), NotFound>> },
    /// A caller wants a command sent again that is held back.
    Release { id: CommandId, reply: oneshot::Sender<Result<(), NotFound>> },
    /// A caller follows a command that is here.
    Attach { id: CommandId, caller: Caller },
    /// Somebody asks for durable commands that nobody follows.
    Recovered { reply: oneshot::Sender<Vec<Recovered>> },
    /// The outcome of a durable command is wanted no more.
    ForgetOutcome { id: CommandId, reply: oneshot::Sender<Result<(), NotFound>> },
    /// The durable commands of a sender are to be forgotten.
    Forget { peer: NodeId, reply: oneshot::Sender<Result<(), NotFound>> },
    /// A caller has taken updates.
    Taken { id: CommandId, bytes: u64 },
    /// A handler sends an update.
    Update { from: NodeId, key: CommandKey, content: Bytes },
    /// Bytes of a body were produced that begin at `offset`.
    Body { whose: Whose, offset: u64, content: Bytes },
    /// A body was produced whole.
    BodyEnd { whose: Whose, end: BodyEnd },
    /// A body will not come whole.
    BodyFailed { whose: Whose, kind: FailureKind, message: String },
    /// A body that comes on demand is wanted.
    BodyWanted { whose: Whose },
    /// Bytes of a body were taken by whoever reads it.
    BodyTaken { whose: Whose, bytes: u64 },
    /// A caller asks about the node.
    Ask(Question),
    /// A handler leaves something to be found again by.
    Token { from: NodeId, key: CommandKey, token: Bytes, reply: oneshot::Sender<()> },
    /// A handler that was recovered says how much of its updates was acknowledged before.
    Resumed { from: NodeId, key: CommandKey, updates: u64, bytes: u64 },
    /// A handler may take so long to stop.
    StopGrace { from: NodeId, key: CommandKey, grace: Duration },
    /// A handler has ended.
    Finished { from: NodeId, key: CommandKey, outcome: Outcome },
    /// Somebody knows that the network has changed.
    NetworkChanged,
}

/// What was dropped, said where nobody can wait.
#[derive(Debug)]
pub(crate) enum Release {
    /// Nobody follows the updates of a command of this node.
    Updates(CommandId),
    /// Nobody reads a body.
    BodyReader(Whose),
    /// Whoever wrote a body has given it up.
    BodyWriter(Whose),
}

/// The way of what was dropped into the engine.
pub(crate) type Releases = mpsc::UnboundedSender<Release>;

/// The ways of callers into the engine, and how they wait for what it tells them.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) inbox: mpsc::Sender<Request>,
    pub(crate) releases: Releases,
    pub(crate) wakes: Wakes,
}

/// The engine takes no requests any more.
#[derive(Debug)]
pub(crate) struct EngineGone;

/// The engine's end of these ways.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) released: mpsc::UnboundedReceiver<Release>,
    pub(crate) to_self: mpsc::Sender<Request>,
    pub(crate) releases: Releases,
}

impl Ways {
    /// Hands a request to the engine, waiting while its inbox is full.
    pub(crate) async fn send(&self, request: Request) -> Result<(), EngineGone> {
        match self.inbox.try_send(request) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(request)) => self.inbox.send(request).await.map_err(|_| EngineGone),
            Err(TrySendError::Closed(_)) => Err(EngineGone),
        }
    }
}

/// A node at work.
pub(crate) struct Engine {
    env: Arc<dyn Env>,
    identity: Identity,
    config: Config,
    boot: Epoch,
    /// The processes that have had the store, this one the newest; none without one.
    lineage: Lineage,
    policy: Policy,
    started_at: Instant,
    endpoint: Endpoint,
    links: LinkSet,
    links_total: u64,
    body_bytes_written: u64,
    messages_batched: u64,
    peers: BTreeMap<NodeId, Peer>,
    reconnect: Reconnect,
    paths: Paths,
    send: SendQueue,
    receive: ReceiveQueue,
    /// The store, if there is one and it works.
    storing: Option<Storing>,
    /// Why nothing can be made durable any more.
    store_failure: Option<StoreError>,
    callers: Callers,
    dispatch: Dispatch,
    body_rooms: Rooms,
    tokens: Tokens,
    inbox: Inbox,
    status: watch::Sender<Arc<Status>>,
    link_changes: LinkChangeTeller,
    status_times: StatusTimes,
    wakes: WakeNotes,
    timer: Pin<Box<Sleep>>,
    lateness: Lateness,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Nothing new begins any more.
    is_draining: bool,
}

impl Engine {
    /// Makes the engine and binds the node's sockets. Returns it with the addresses that it listens on.
    pub(crate) fn new(
        builder: NodeBuilder,
        env: Arc<dyn Env>,
        inbox: Inbox,
        status: watch::Sender<Arc<Status>>,
        stop: CancellationToken,
    ) -> Result<(Self, Vec<SocketAddr>), StartError> {
        let NodeBuilder {
            identity,
            config,
            handlers,
            policy,
            endpoint_keys,
            store,
            spill_folder,
            listen,
            peers: addresses,
        } = builder;
        let mut seed = [0; 32];
        env.fill_random(&mut seed);
        let mut random = StdRng::from_seed(seed);
        let keys = endpoint_keys.unwrap_or_else(|| EndpointKeys::random(&mut random));
        let transport_env: Arc<dyn runnel_transport::Env> = env.clone();
        let names = handlers.names().cloned().collect();
        let mut endpoint = Endpoint::new(transport_env, &identity, config.transport.clone(), keys, names)?;
        let mut listening = Vec::new();
        for address in listen {
            listening
                .push(endpoint.listen(address).map_err(|source| StartError::Listen { address, source })?);
        }
        let boot = Epoch::from_random(random.random());
        endpoint.announce(boot);
        let mut reconnect = Reconnect::new(config.reconnect.clone(), random.random());
        let now = tokio::time::Instant::now().into_std();
        let mut peers = BTreeMap::new();
        for (peer, addresses) in addresses {
            if !addresses.is_empty() {
                reconnect.handle_wanted(now, &peer);
            }
            peers.insert(peer, Peer::dialled(addresses));
        }
        let mut send =
            SendQueue::new(config.send_queue.clone(), identity.node().clone(), boot, random.random());
        let mut receive = ReceiveQueue::new(config.receive_queue.clone(), random.random());
        let new_epoch = Epoch::from_random(random.random());
        let (storing, lineage) = match store {
            Some(store) => {
                let epochs = Epochs { boot, new_store: new_epoch };
                let (storing, lineage) =
                    Storing::start(store, &*env, epochs, now, (&mut send, &mut receive))?;
                (Some(storing), lineage)
            }
            None => (None, Lineage::default()),
        };
        let body_rooms = Rooms::new(config.node.body_room());
        let spill = spill_folder.and_then(|folder| config.node.spill(folder));
        let wakes = Wakes::default();
        env.spawn_handler(Box::pin(wakes.clone().deliver()));
        let engine = Self {
            wakes: wakes.notes(),
            send,
            receive,
            storing,
            store_failure: None,
            dispatch: Dispatch::new(env.clone(), handlers, &inbox, &config.node, body_rooms.clone(), spill),
            body_rooms,
            tokens: Tokens::default(),
            timer: Box::pin(sleep_until(now.into())),
            lateness: Lateness::default(),
            stop: Box::pin(stop.cancelled_owned()),
            is_draining: false,
            paths: Paths::new(&*env, config.path.clone(), now),
            links: LinkSet::default(),
            links_total: 0,
            body_bytes_written: 0,
            messages_batched: 0,
            callers: Callers::default(),
            link_changes: LinkChangeTeller::new(config.node.link_changes_kept.get()),
            status_times: StatusTimes::new(now),
            started_at: now,
            policy,
            env,
            identity,
            config,
            boot,
            lineage,
            endpoint,
            peers,
            reconnect,
            inbox,
            status,
        };
        Ok((engine, listening))
    }

    /// Returns the epoch under which the node numbers its commands.
    pub(crate) fn boot(&self) -> Epoch {
        self.boot
    }

    /// Returns where listeners to changes of links are made.
    pub(crate) fn link_changes(&self) -> LinkChangeListeners {
        self.link_changes.listeners()
    }

    /// Runs until `stop` fires, then shuts down in order. In a box, since the future would hold the engine twice.
    pub(crate) async fn run(mut self: Box<Self>) {
        info!(node = %self.identity.node(), boot = %self.boot, "the node runs");
        self.begin_handlers();
        poll_fn(|cx| self.poll(cx)).await;
        self.shut_down().await;
    }

    /// Does all that can be done now; ready when the node is to stop.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        self.work(cx);
        if self.store_failure.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes a turn: a lot of what has happened, and all that follows from it. Has itself woken when there may be more.
    ///
    /// Between turns other tasks of the thread run, the link's own among them: what was written leaves, and the peer works
    /// on it while this node goes on.
    fn work(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        if let Some(late) = self.lateness.handle_turn(now) {
            warn!(?late, "something blocks this node's thread (see start_here): peers may take it for dead");
        }
        self.look_at_sleep(now);
        let mut is_busy = self.poll_links(cx, now);
        is_busy |= self.poll_incoming(cx, now);
        is_busy |= self.poll_requests(cx, now);
        is_busy |= self.poll_stored(cx, now);
        is_busy |= self.poll_network(cx, now);
        is_busy |= self.poll_timer(cx, now);
        self.drain(now);
        self.wakes.flush();
        if is_busy {
            cx.waker().wake_by_ref();
        }
    }

    /// Returns through which callers wait for what the engine tells them.
    pub(crate) fn wakes(&self) -> Wakes {
        self.wakes.wakes()
    }

    /// Takes what callers and handlers ask for.
    fn poll_requests(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_busy = false;
        for _ in 0..REQUESTS_MAX {
            let Poll::Ready(Some(request)) = self.inbox.requests.poll_recv(cx) else { break };
            is_busy = true;
            self.handle_request(now, request);
        }
        while let Poll::Ready(Some(release)) = self.inbox.released.poll_recv(cx) {
            is_busy = true;
            self.handle_release(release);
        }
        is_busy
    }

    fn handle_request(&mut self, now: Instant, request: Request) {
        match request {
            // What is dropped says that the node has stopped.
            Request::Submit { .. } if self.is_draining => {}
            Request::Submit { command, caller } => self.handle_submit(now, command, caller),
            Request::Cancel { id, reply } => {
                let done = self.send.cancel(&id).map_err(|_| NotFound);
                reply.send(done).ok();
            }
            Request::Abandon { id, reply } => {
                reply.send(self.send.abandon(&id).map_err(|_| NotFound)).ok();
            }
            Request::Release { id, reply } => {
                reply.send(self.send.release(&id).map_err(|_| NotFound)).ok();
            }
            Request::Attach { id, caller } => self.handle_attach(id, caller),
            Request::Recovered { reply } => drop(reply.send(self.recovered())),
            Request::ForgetOutcome { id, reply } => drop(reply.send(self.forget_outcome(now, &id))),
            Request::Forget { peer, reply } => drop(reply.send(self.forget(now, &peer))),
            Request::Taken { id, bytes } => self.send.handle_updates_taken(&id, bytes),
            Request::Update { from, key, content } => self.receive.handle_update(&from, key, content),
            Request::Token { from, key, token, reply } => self.handle_token(from, key, token, reply),
            Request::Resumed { from, key, updates, bytes } => {
                self.receive.handle_resumed(&from, key, updates, bytes);
            }
            Request::StopGrace { from, key, grace } => {
                self.receive.handle_stop_grace(now, &from, key, grace);
            }
            Request::Finished { from, key, outcome } => self.handle_finished(&from, key, outcome),
            Request::Ask(question) => self.answer(now, question),
            Request::Body { whose, offset, content } => self.handle_body(&whose, offset, content),
            Request::BodyEnd { whose, end } => self.handle_body_end(&whose, end),
            Request::BodyFailed { whose, kind, message } => self.handle_body_failed(&whose, kind, message),
            Request::BodyWanted { whose } => self.handle_body_wanted(&whose),
            Request::BodyTaken { whose, bytes } => self.handle_body_taken(&whose, bytes),
            Request::NetworkChanged => self.handle_network_changed(now),
        }
    }

    /// Drains the queues until they have nothing more to say, and then lets peers see how many places they have.
    ///
    /// The store gets its next batch last, with all that has followed from the one before: whatever misses a batch waits for
    /// the whole of it.
    fn drain(&mut self, now: Instant) {
        loop {
            self.tell_rooms();
            let mut is_busy = self.drain_send_queue(now);
            is_busy |= self.drain_receive_queue();
            if !is_busy && !self.drain_stores(now) {
                break;
            }
        }
        self.say_answers();
        self.give_places();
    }

    /// Lets everything that waits for a time know it, and arms the timer anew.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_busy = false;
        if self.next_timeout().is_some_and(|at| at <= now) {
            is_busy = true;
            self.send.handle_timeout(now);
            self.receive.handle_timeout(now);
            self.look_at_paths(now);
            self.handle_link_timeouts(now);
            self.dial_due(now);
            self.refresh_status(now);
        }
        let at = self.next_timeout();
        self.lateness.handle_armed(now, at);
        if let Some(at) = at {
            self.timer.as_mut().reset(at.into());
            is_busy |= self.timer.as_mut().poll(cx).is_ready();
        }
        is_busy
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        [
            self.send.poll_timeout(),
            self.receive.poll_timeout(),
            self.links.poll_timeout(),
            self.reconnect.poll_timeout().filter(|_| !self.is_draining),
            self.paths.poll_timeout(),
            self.storing.as_ref().and_then(Storing::poll_timeout),
            self.status_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// Requests taken in one turn, so that links get their turn too.
const REQUESTS_MAX: usize = 256;
