//! Building, starting and driving a node.

mod call;
mod durable;
mod questions;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use runnel_certs::Identity;
use runnel_codec::{Class, Command, CommandId, CommandName, EncodeError, Epoch, NodeId, UpdatePolicy};
use runnel_queue::{DeliveryPart, Durability, NewCommand, Store, SubmitError as QueueError};
use runnel_transport::EndpointKeys;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::call::CallError;
pub use self::start::{Node, StartError};
use crate::body::{Body, BodyReader, Source, Whose};
use crate::caller_events::{CallerEvents, caller_events};
use crate::config::Config;
use crate::engine::{Caller, Request, Wants, Ways};
use crate::handler::Handlers;
use crate::link_changes::{LinkChangeListeners, LinkChanges};
use crate::policy::Policy;
use crate::raw::{Raw, RawCommand};
use crate::status::Status;
use crate::submission::Submission;

/// What a node is made of, before it runs.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    pub(crate) handlers: Handlers,
    pub(crate) endpoint_keys: Option<EndpointKeys>,
    pub(crate) store: Option<Box<dyn Store>>,
    pub(crate) spill_folder: Option<PathBuf>,
    pub(crate) policy: Policy,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) peers: BTreeMap<NodeId, Vec<String>>,
}

/// Speaks to a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    node: NodeId,
    boot: Epoch,
    has_store: bool,
    ways: Arc<Ways>,
    status: watch::Receiver<Arc<Status>>,
    /// Only to make receivers; the engine's end of it decides when it is over.
    link_changes: LinkChangeListeners,
    listening: Arc<[SocketAddr]>,
}

/// How a command is to be sent.
#[derive(Debug, Default)]
pub struct SubmitOptions {
    /// Its priority. Default: Normal.
    pub class: Class,
    /// When it is no longer wanted, from now. Default: never.
    pub deadline: Option<Duration>,
    /// Bytes that go with the arguments, up to 1 MiB. Default: none.
    pub payload: Bytes,
    /// Bytes of any length that go with it. Default: none.
    pub body: Option<Body>,
    /// Whether to ask for a body of the result: see [`Submission::result_body`]. Default: no.
    pub result_body: bool,
    /// What becomes of its updates. Default: followed.
    pub updates: UpdatePolicy,
    /// Whether [`Progress::Sent`] and [`Progress::Accepted`] are told, each once. Default: no; they wake the caller twice
    /// more.
    ///
    /// [`Progress::Sent`]: crate::Progress::Sent
    /// [`Progress::Accepted`]: crate::Progress::Accepted
    pub steps: bool,
    /// How long it is remembered. Default: `None`, which is as a durable one if the node has a store and the body, if any,
    /// can be produced again.
    pub delivery: Option<Delivery>,
    /// A name for it among those of its receiver: if it was submitted under this name before, it is not stored again. For
    /// durable commands. Default: none.
    pub key: Option<String>,
    /// What is kept with a durable command for whoever finds it after a restart: see [`NodeHandle::recovered`]. At most
    /// 4 KiB. Default: empty.
    pub label: Bytes,
    /// Keeps the outcome of a durable command until [`NodeHandle::forget_outcome`], for 7 days at most. Default: it is
    /// forgotten once it is with the submission.
    pub keep_outcome: bool,
}

/// How long a command is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As long as this process and its receiver's live; the loss of links is nothing to it.
    Memory,
    /// It survives crashes of both ends, as far as they have stores.
    Durable,
}

/// What is sent of a command, whatever its type.
struct Encoded {
    name: CommandName,
    idempotent: bool,
    is_message: bool,
    args: Bytes,
}

/// Why a command was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The arguments do not encode within their limit.
    #[error("the arguments cannot be encoded")]
    Encode(#[from] EncodeError),
    /// The send queue refused it: a bound is reached, or the command is too large.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The file that is to be the body cannot be looked at.
    #[error("the body's file cannot be used")]
    Body(#[source] io::Error),
    /// A durable command cannot have a body that only this process can produce: use a file, or [`Delivery::Memory`].
    #[error("a durable command needs a body that can be produced again: a file, or bytes up to 1 MiB")]
    LiveBody,
    /// An idempotency key is remembered in the store: the command must be durable.
    #[error("an idempotency key needs a durable command, and so a store")]
    KeyNeedsStore,
    /// The label is longer than 4 KiB.
    #[error("the label is longer than 4 KiB")]
    LabelTooLong,
    /// The node has shut down.
    #[error("this node has shut down")]
    NodeStopped,
}

/// The command is not, or no longer, in the send queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such command is waiting or running")]
pub struct NotFound;

impl Encoded {
    fn of<C: Command>(args: &C::Args) -> Result<Self, EncodeError> {
        let args = C::encode_args(args)?;
        Ok(Self { name: C::name(), idempotent: C::IDEMPOTENT, is_message: C::IS_MESSAGE, args })
    }
}

impl NodeBuilder {
    /// Begins a node with this identity and default settings.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            config: Config::default(),
            handlers: Handlers::new(),
            endpoint_keys: None,
            store: None,
            spill_folder: None,
            policy: Policy::default(),
            listen: Vec::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Replaces the settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the handlers of commands that others send to this node.
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.handlers = handlers;
        self
    }

    /// Sets the endpoint's keys, which are the same after each restart: see
    /// [`load_or_create_endpoint_keys`](crate::load_or_create_endpoint_keys). Without it they are new at each start, and
    /// peers learn of a restart by silence.
    pub fn endpoint_keys(mut self, keys: EndpointKeys) -> Self {
        self.endpoint_keys = Some(keys);
        self
    }

    /// Sets the store: what is submitted as durable, and what others' durable commands come to here, outlives the process.
    /// It is loaded at the start, and no other process may have it meanwhile. Default: none, and everything is in memory.
    pub fn store(mut self, store: Box<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets where the updates of running commands go that memory cannot hold and their callers do not take, so that their
    /// handlers need not wait: see [`NodeConfig::updates_spilled_bytes_max`](crate::NodeConfig). Handlers registered by
    /// [`Handlers::on_recoverable`] keep their own words and always wait. Nothing that is there outlives its handler.
    /// The folder is made if it is missing and belongs to this node. Default: none, and handlers wait.
    pub fn spill_folder(mut self, folder: PathBuf) -> Self {
        self.spill_folder = Some(folder);
        self
    }

    /// Sets which commands others may run here. Default: controllers any, workers none.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Accepts links at this address; port 0 takes any free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Dials this peer, now and whenever its link is lost, at these `host:port` addresses. Without addresses it is known and
    /// not dialled: commands for it wait until it dials.
    pub fn peer(mut self, peer: NodeId, addresses: impl IntoIterator<Item = String>) -> Self {
        self.peers.entry(peer).or_default().extend(addresses);
        self
    }
}

impl NodeHandle {
    /// Returns the node's own name.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Returns the epoch under which the node numbers its commands: another after each start.
    pub fn boot(&self) -> Epoch {
        self.boot
    }

    /// Returns the addresses that the node listens on.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Stores a command for `to` and returns once it is stored.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`]; a full queue says which bound is reached and when to try again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the command may have been stored: it is then sent and its outcome discarded.
    pub async fn submit<C: Command>(
        &self,
        to: &NodeId,
        args: &C::Args,
        options: SubmitOptions,
    ) -> Result<Submission<C>, SubmitError> {
        self.store(to, Encoded::of::<C>(args)?, options).await
    }

    /// Stores a command of a type that this program does not know, as [`submit`](Self::submit) does one that it knows. It
    /// counts as one that must not run twice.
    ///
    /// # Errors
    ///
    /// As of [`submit`](Self::submit); arguments that do not fit their type are for the receiver to reject.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the command may have been stored: it is then sent and its outcome discarded.
    pub async fn submit_raw(
        &self,
        to: &NodeId,
        command: RawCommand,
        options: SubmitOptions,
    ) -> Result<Submission<Raw>, SubmitError> {
        let RawCommand { name, args } = command;
        self.store(to, Encoded { name, idempotent: false, is_message: false, args }, options).await
    }

    /// Stores a command, and returns what follows it as one of type `C`.
    async fn store<C: Command>(
        &self,
        to: &NodeId,
        encoded: Encoded,
        options: SubmitOptions,
    ) -> Result<Submission<C>, SubmitError> {
        let wants = if options.steps { Wants::Steps } else { Wants::Progress };
        let (mut events, parts_come) = self.hand_over(to, encoded, options, wants).await?;
        let key = events.stored(&self.ways.wakes).await.ok_or(SubmitError::NodeStopped)??;
        let id = CommandId { sender: self.node.clone(), receiver: to.clone(), key };
        let result_body = parts_come.map(|parts| {
            let Ways { inbox, releases, .. } = &*self.ways;
            BodyReader::new(Whose::Ours(id.clone()), parts, inbox.clone(), releases.clone())
        });
        Ok(Submission::new(id, events, result_body, self.ways.clone()))
    }

    /// Asks for a command to be cancelled. Its outcome says what came of it.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the command has ended, was never here, or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the wish may have been taken.
    pub async fn cancel(&self, id: &CommandId) -> Result<(), NotFound> {
        let (reply, done) = oneshot::channel();
        let request = Request::Cancel { id: id.clone(), reply };
        self.ways.send(request).await.map_err(|_| NotFound)?;
        done.await.map_err(|_| NotFound)?
    }

    /// Gives a command up: its outcome is `Unknown`, or `Cancelled` if it was never bound to its receiver. Whether it
    /// runs there nobody says any more.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the command has ended, was never here, or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the wish may have been taken.
    pub async fn abandon(&self, id: &CommandId) -> Result<(), NotFound> {
        let (reply, done) = oneshot::channel();
        let request = Request::Abandon { id: id.clone(), reply };
        self.ways.send(request).await.map_err(|_| NotFound)?;
        done.await.map_err(|_| NotFound)?
    }

    /// Sends a command again that is held back because one link after the other died after its head.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the command is not held back, has ended, was never here, or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the wish may have been taken.
    pub async fn release(&self, id: &CommandId) -> Result<(), NotFound> {
        let (reply, done) = oneshot::channel();
        let request = Request::Release { id: id.clone(), reply };
        self.ways.send(request).await.map_err(|_| NotFound)?;
        done.await.map_err(|_| NotFound)?
    }

    /// Says that the network has changed: the dialling sockets move, and links that do not come along are replaced. The
    /// node notices changed routes and sleep by itself; this is for what it cannot see, a new gateway behind the same
    /// addresses, say. Does nothing once the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the word may have been taken.
    pub async fn network_changed(&self) {
        self.ways.send(Request::NetworkChanged).await.ok();
    }

    /// Returns what the node last said of its links and queues, and lets the caller wait for changes.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// Returns what happens to the node's links from now on; `None` once the node has shut down.
    pub fn link_changes(&self) -> Option<LinkChanges> {
        self.link_changes.listen()
    }

    /// Waits until a link to `peer` is up.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn wait_for_link(&self, peer: &NodeId) -> Result<(), NotFound> {
        self.status().wait_for(|status| status.link(peer).is_some()).await.map(|_| ()).map_err(|_| NotFound)
    }

    /// Hands a command to the engine. Returns the ways on which its caller hears of it and of the body of its result.
    async fn hand_over(
        &self,
        to: &NodeId,
        encoded: Encoded,
        options: SubmitOptions,
        wants: Wants,
    ) -> Result<(CallerEvents, Option<mpsc::UnboundedReceiver<DeliveryPart>>), SubmitError> {
        let (body, body_held_bytes) = match options.body {
            Some(body) => {
                let (source, held) = body.into_source().await.map_err(SubmitError::Body)?;
                (Some(source), held)
            }
            None => (None, 0),
        };
        let stored_body = body.as_ref().and_then(Source::to_stored);
        let command = NewCommand {
            to: to.clone(),
            class: options.class,
            name: encoded.name,
            idempotent: encoded.idempotent,
            is_message: encoded.is_message,
            args: encoded.args,
            payload: options.payload,
            has_body: body.is_some(),
            body_repeats: body.as_ref().is_some_and(Source::can_repeat),
            body_held_bytes,
            wants_result_body: options.result_body,
            // Of a message none comes, so none is to be provided for.
            updates: if encoded.is_message { UpdatePolicy::Discard } else { options.updates },
            steps: wants != Wants::End,
            deadline: options.deadline,
            durable: None,
        };
        let durability = Durability { body: stored_body, idempotency: None, label: options.label };
        let durable = self.durability(options.delivery, durability, options.key, &command)?;
        let command = NewCommand { durable, ..command }.into();
        let (teller, events) = caller_events();
        // Bounded by the credit that its reader grants.
        let (parts, parts_come) = options.result_body.then(mpsc::unbounded_channel).unzip();
        let caller = Caller::new(teller, wants, options.keep_outcome, body, parts);
        let request = Request::Submit { command, caller };
        self.ways.send(request).await.map_err(|_| SubmitError::NodeStopped)?;
        Ok((events, parts_come))
    }
}
