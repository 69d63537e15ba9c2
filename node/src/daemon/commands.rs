//! The commands of the API at work: submitted, followed into their logs, read by any number of clients.
//!
//! The registry decides; here are the tasks, the waiting and the lock. A task belongs to the tracker, which the shutdown awaits.
//! `recovery` takes over what an older process has left, `tidying` tells the queue what is no longer kept here.

mod recovery;
mod tidying;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use runnel::codec::{Class, CommandId, CommandName, NodeId, UpdatePolicy};
use runnel::commands::{
    Exec, FsCopy, FsGet, FsGlob, FsList, FsMkdir, FsPut, FsRemove, FsStat, Ping, SystemInfo,
};
use runnel::{
    Body, BodyReader, BodyWriter, Delivery, NodeHandle, Progress, QueueError, Raw, Submission, SubmitError,
    SubmitOptions, UpdateMark,
};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command_types::{ApiArgs, ApiCommand, cut};
use super::config::ApiConfig;
use super::error::ApiError;
use super::event::{Event, Step};
use super::label::Label;
use super::log::{Patience, Read, ReadFrom, ReaderId};
use super::outcome::outcome_json;
use super::registry::{Moment, Page, Registry, RequestKey, Reservation, Submitted, Wanted, millis};
use super::spool::{BodyId, BodySpool};

/// The commands of the API.
#[derive(Debug)]
pub(super) struct Commands {
    handle: NodeHandle,
    /// How long a command is remembered whose caller does not say.
    delivery: Delivery,
    /// Bodies of durable commands, if there is a store.
    pub(super) spool: Option<BodySpool>,
    reader_patience: Duration,
    state: Mutex<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Rings when the registry has let go of something.
    dropped: Notify,
}

/// A command to be submitted.
#[derive(Debug)]
pub(super) struct Submit {
    pub(super) to: NodeId,
    pub(super) args: ApiArgs,
    pub(super) class: Class,
    pub(super) deadline: Option<Duration>,
    pub(super) updates: UpdatePolicy,
    pub(super) has_body: bool,
    /// The body that was left for it.
    pub(super) body: Option<BodyId>,
    /// How long it is remembered. Default: as long as it can be.
    pub(super) delivery: Option<Delivery>,
    /// Its idempotency key, and a hash of all that makes the command.
    pub(super) key: Option<(RequestKey, [u8; 32])>,
    /// How long the key is remembered, if less than others.
    pub(super) key_age: Option<Duration>,
    /// What people see of it. Default: its arguments.
    pub(super) summary: Option<String>,
    /// Somebody will read its log, and is waited for.
    pub(super) hold: bool,
}

/// What came of a submit.
#[derive(Debug)]
pub(super) enum Stored {
    /// It is stored.
    New(CommandId),
    /// It was stored before, under the same key.
    Known(CommandId),
}

/// Reads the log of a command. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct LogReader {
    commands: Arc<Commands>,
    id: CommandId,
    reader: ReaderId,
    bell: Arc<Bell>,
    /// Whether it waits for what has not happened yet.
    follow: bool,
}

#[derive(Debug)]
struct State {
    registry: Registry,
    /// Of the commands that somebody reads.
    bells: BTreeMap<CommandId, Arc<Bell>>,
    readers: u64,
    /// Bodies that were announced; `None` once somebody writes one.
    bodies: BTreeMap<CommandId, Option<BodyWriter>>,
    /// Bodies of results; `None` once somebody reads one.
    result_bodies: BTreeMap<CommandId, Option<BodyReader>>,
}

/// Rings when a log has changed.
#[derive(Debug, Default)]
struct Bell {
    written: Notify,
    read: Notify,
}

impl Commands {
    /// Begins with what is submitted from now on. `delivery` is for commands whose caller does not say, `spool` for bodies of
    /// durable ones.
    pub(super) fn new(
        handle: NodeHandle,
        config: ApiConfig,
        delivery: Delivery,
        spool: Option<BodySpool>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            handle,
            delivery,
            spool,
            reader_patience: config.reader_patience,
            state: Mutex::new(State {
                registry: Registry::new(config),
                bells: BTreeMap::new(),
                readers: 0,
                bodies: BTreeMap::new(),
                result_bodies: BTreeMap::new(),
            }),
            tasks: TaskTracker::new(),
            stop,
            dropped: Notify::new(),
        })
    }

    /// Stores a command and follows it.
    ///
    /// It runs in a task of its own: a client that goes away in the middle leaves no command that nobody knows of.
    pub(super) async fn submit(self: &Arc<Self>, submit: Submit) -> Result<Stored, ApiError> {
        let commands = self.clone();
        let task = self.tasks.spawn(async move { commands.submit_once(submit).await });
        task.await.unwrap_or_else(|_| Err(ApiError::stopping()))
    }

    /// Gives a reader of a command's log.
    pub(super) fn read(
        self: &Arc<Self>,
        id: &CommandId,
        from: ReadFrom,
        patience: Patience,
        follow: bool,
    ) -> Result<LogReader, ApiError> {
        let mut state = self.lock();
        let reader = ReaderId(state.readers);
        state.registry.attach(id, reader, from, patience).map_err(|_| ApiError::unknown_command())?;
        state.readers += 1;
        let bell = state.bells.entry(id.clone()).or_default().clone();
        Ok(LogReader { commands: self.clone(), id: id.clone(), reader, bell, follow })
    }

    /// Asks for a command to be cancelled.
    pub(super) async fn cancel(&self, id: &CommandId) -> Result<(), ApiError> {
        self.handle.cancel(id).await.map_err(|_| self.not_in_queue(id))
    }

    /// Gives a command up.
    pub(super) async fn abandon(&self, id: &CommandId) -> Result<(), ApiError> {
        self.handle.abandon(id).await.map_err(|_| self.not_in_queue(id))
    }

    /// Sends a command again that is held back.
    pub(super) async fn release(&self, id: &CommandId) -> Result<(), ApiError> {
        self.handle.release(id).await.map_err(|_| match self.lock().registry.step(id) {
            None => ApiError::unknown_command(),
            Some(Step::Ended) => ApiError::ended(),
            Some(_) => ApiError::not_held(),
        })
    }

    /// Takes the reader of the body of a command's result, once.
    pub(super) fn take_result_body(&self, id: &CommandId) -> Result<BodyReader, ApiError> {
        let mut state = self.lock();
        if let Some(body) = state.result_bodies.get_mut(id) {
            return body.take().ok_or_else(ApiError::body_taken);
        }
        match state.registry.step(id) {
            None => Err(ApiError::unknown_command()),
            Some(_) => Err(ApiError::no_body("the results of this command type have no body")),
        }
    }

    /// Takes the writer of a command's body, once.
    pub(super) fn take_body(&self, id: &CommandId) -> Result<BodyWriter, ApiError> {
        let mut state = self.lock();
        if let Some(body) = state.bodies.get_mut(id) {
            return body.take().ok_or_else(ApiError::body_taken);
        }
        match state.registry.step(id) {
            None => Err(ApiError::unknown_command()),
            Some(Step::Ended) => Err(ApiError::ended()),
            Some(_) => Err(ApiError::no_body("the command was submitted without `has_body`")),
        }
    }

    /// Says why a command is not in the send queue.
    pub(super) fn not_in_queue(&self, id: &CommandId) -> ApiError {
        match self.lock().registry.step(id) {
            None => ApiError::unknown_command(),
            Some(_) => ApiError::ended(),
        }
    }

    /// Describes one command.
    pub(super) fn describe(&self, id: &CommandId) -> Result<Value, ApiError> {
        let now = now();
        self.change(|registry| {
            registry.expire(now.at);
            registry.describe(now.at, id).ok_or_else(ApiError::unknown_command)
        })
    }

    /// Describes the commands that are wanted, a page of them.
    pub(super) fn list(&self, wanted: &Wanted, after: u64, limit: NonZeroUsize) -> Page {
        let now = now();
        self.change(|registry| {
            registry.expire(now.at);
            registry.list(now.at, wanted, after, limit)
        })
    }

    /// Waits until all tasks have ended, which they do once the node has stopped.
    pub(super) async fn wait_idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn submit_once(self: Arc<Self>, submit: Submit) -> Result<Stored, ApiError> {
        if !self.handle.knows(&submit.to).await.map_err(|_| ApiError::stopping())? {
            return Err(ApiError::unknown_node(&submit.to));
        }
        let Some((key, hash)) = submit.key.clone() else {
            return self.store(submit).await;
        };
        let key_age = submit.key_age;
        // The lock is let go of before the submit.
        let reservation = self.lock().registry.keys.reserve(&key, hash)?;
        if let Reservation::Known(id) = reservation {
            return Ok(Stored::Known(id));
        }
        let stored = self.store(submit).await;
        let keys = &mut self.lock().registry.keys;
        match &stored {
            Ok(Stored::New(id) | Stored::Known(id)) => keys.bind(now().at, key, id.clone(), key_age),
            Err(_) => keys.release(&key),
        }
        stored
    }

    async fn store(self: &Arc<Self>, submit: Submit) -> Result<Stored, ApiError> {
        let Some(id) = submit.body.clone() else {
            let (writer, body) = submit.has_body.then(Body::live).unzip();
            return self.start_type(&submit, writer, body).await;
        };
        let spool = self.spool.as_ref().ok_or_else(ApiError::no_store)?;
        let body = Body::file(spool.claim(&id)?);
        let stored = self.start_type(&submit, None, Some(body)).await;
        match &stored {
            Ok(Stored::New(_)) => {}
            // The command under this key has a body of its own.
            Ok(Stored::Known(_)) => spool.delete(&id),
            Err(_) => spool.give_back(&id),
        }
        stored
    }

    async fn start_type(
        self: &Arc<Self>,
        submit: &Submit,
        writer: Option<BodyWriter>,
        body: Option<Body>,
    ) -> Result<Stored, ApiError> {
        let options = SubmitOptions {
            class: submit.class,
            deadline: submit.deadline,
            body,
            updates: submit.updates,
            steps: true,
            keep_outcome: true,
            ..SubmitOptions::default()
        };
        match &submit.args {
            ApiArgs::Exec(args) => self.start::<Exec>(args, options, submit, writer).await,
            ApiArgs::FsPut(args) => self.start::<FsPut>(args, options, submit, writer).await,
            ApiArgs::FsGet(args) => self.start::<FsGet>(args, options, submit, writer).await,
            ApiArgs::FsMkdir(args) => self.start::<FsMkdir>(args, options, submit, writer).await,
            ApiArgs::FsRemove(args) => self.start::<FsRemove>(args, options, submit, writer).await,
            ApiArgs::FsCopy(args) => self.start::<FsCopy>(args, options, submit, writer).await,
            ApiArgs::FsStat(args) => self.start::<FsStat>(args, options, submit, writer).await,
            ApiArgs::FsList(args) => self.start::<FsList>(args, options, submit, writer).await,
            ApiArgs::FsGlob(args) => self.start::<FsGlob>(args, options, submit, writer).await,
            ApiArgs::Ping(args) => self.start::<Ping>(args, options, submit, writer).await,
            ApiArgs::SystemInfo => self.start::<SystemInfo>(&(), options, submit, writer).await,
            ApiArgs::Raw(command) => {
                let send = async |options| self.handle.submit_raw(&submit.to, command.clone(), options).await;
                self.start_by::<Raw>(command.name.clone(), options, submit, writer, send).await
            }
        }
    }

    async fn start<C: ApiCommand>(
        self: &Arc<Self>,
        args: &C::Args,
        options: SubmitOptions,
        submit: &Submit,
        writer: Option<BodyWriter>,
    ) -> Result<Stored, ApiError> {
        let send = async |options| self.handle.submit::<C>(&submit.to, args, options).await;
        self.start_by::<C>(C::name(), options, submit, writer, send).await
    }

    /// Stores a command by `send`, and follows it.
    async fn start_by<C: ApiCommand>(
        self: &Arc<Self>,
        name: CommandName,
        options: SubmitOptions,
        submit: &Submit,
        writer: Option<BodyWriter>,
        send: impl AsyncFnOnce(SubmitOptions) -> Result<Submission<C>, SubmitError>,
    ) -> Result<Stored, ApiError> {
        let delivery = self.delivery_of::<C>(submit)?;
        let stored_ms = now().ms;
        let summary = submit.summary.clone().map_or_else(|| submit.args.summary(), cut);
        let key = submit.key.as_ref().map(|(key, _)| key.key.clone());
        let mut options =
            SubmitOptions { result_body: C::HAS_RESULT_BODY, delivery: Some(delivery), ..options };
        if delivery == Delivery::Durable {
            let body = submit.body.clone();
            let label = Label::new(stored_ms, submit.deadline, summary.clone(), key.clone(), body);
            options.label = label.raw(matches!(submit.args, ApiArgs::Raw(_))).write().into();
            options.key = key.clone();
            if options.updates == UpdatePolicy::Follow {
                options.updates = UpdatePolicy::Store;
            }
        }
        let mut submission = match send(options).await {
            // An older process has stored it, and it is followed since.
            Err(SubmitError::Queue(QueueError::InUse(id))) => return Ok(Stored::Known(id)),
            submission => submission?,
        };
        let id = submission.id().clone();
        if self.lock().registry.step(&id).is_some() {
            return Ok(Stored::Known(id));
        }
        let submitted = Submitted {
            id: id.clone(),
            name,
            class: submit.class,
            delivery,
            stored_ms,
            deadline: submit.deadline,
            summary,
            key,
        };
        {
            let mut state = self.lock();
            state.registry.insert(now(), submitted);
            if submit.hold {
                state.registry.expect_reader(&id);
                // By it those who log updates know that somebody is waited for.
                state.bells.entry(id.clone()).or_default();
            }
            if let Some(writer) = writer {
                state.bodies.insert(id.clone(), Some(writer));
            }
            if let Some(reader) = submission.result_body() {
                state.result_bodies.insert(id.clone(), Some(reader));
            }
        }
        self.tasks.spawn(self.clone().follow(submission, delivery, submit.body.clone()));
        Ok(Stored::New(id))
    }

    /// Decides how long a command is remembered.
    fn delivery_of<C: ApiCommand>(&self, submit: &Submit) -> Result<Delivery, ApiError> {
        let passes_by = submit.has_body || C::HAS_RESULT_BODY;
        match submit.delivery {
            Some(Delivery::Durable) if passes_by => Err(ApiError::bad_request(
                "this body passes through the node and is not stored: leave it first (POST /v1/bodies), or take the `delivery` memory",
            )),
            Some(Delivery::Durable) if self.delivery == Delivery::Memory => Err(ApiError::no_store()),
            Some(Delivery::Memory) if submit.body.is_some() => Err(ApiError::bad_request(
                "a body that was left here is for a durable command: stream it with `has_body` instead",
            )),
            Some(delivery) => Ok(delivery),
            None if passes_by => Ok(Delivery::Memory),
            None => Ok(self.delivery),
        }
    }

    /// Brings what happens to a command into its log, until it ends.
    async fn follow<C: ApiCommand>(
        self: Arc<Self>,
        mut submission: Submission<C>,
        delivery: Delivery,
        body: Option<BodyId>,
    ) {
        let id = submission.id().clone();
        if delivery == Delivery::Durable {
            // What its log lets go of is taken, and nothing else.
            submission.hold_updates();
        }
        while let Some(progress) = submission.progress().await {
            match progress {
                Ok(Progress::Sent) => self.note(&id, |registry| registry.handle_step(now(), &id, Step::Sent)),
                Ok(Progress::Accepted) => {
                    self.note(&id, |registry| registry.handle_step(now(), &id, Step::Accepted))
                }
                Ok(Progress::Started) => {
                    self.note(&id, |registry| registry.handle_step(now(), &id, Step::Started))
                }
                Ok(Progress::Overdue) => self.note(&id, |registry| registry.handle_overdue(now(), &id)),
                Ok(Progress::Update(update)) => {
                    self.note_update(&id, C::event(update), submission.last_update()).await;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%id, %error, "an update is not of the command's type"),
            }
        }
        let outcome = outcome_json::<C>(submission.outcome().await);
        self.forget_bodies(&id);
        if let Some(outcome) = outcome {
            if let (Some(body), Some(spool)) = (&body, &self.spool) {
                spool.delete(body);
            }
            self.note(&id, |registry| registry.handle_outcome(now(), &id, outcome));
            self.forget_idle_bell(&id);
        }
    }

    /// Logs an update, after waiting for those who read slowly: for some as long as patience lasts, for some as long as they
    /// are there.
    async fn note_update(&self, id: &CommandId, mut event: Event, update: UpdateMark) {
        let mut patience = pin!(Some(sleep(self.reader_patience)));
        // Once it stops nobody reads any more: in the log an update would displace what is not read, and the queue keeps
        // what is durable.
        while !self.stop.is_cancelled() {
            let Some(bell) = self.lock().bells.get(id).cloned() else {
                return self.note(id, |registry| registry.handle_update(now(), id, event, update));
            };
            let mut read = pin!(bell.read.notified());
            read.as_mut().enable();
            match self.note(id, |registry| registry.handle_update_if_room(now(), id, event, update)) {
                Ok(()) => return,
                Err(waiting) => event = waiting,
            }
            tokio::select! {
                () = read => {}
                () = wait_for(patience.as_mut().as_pin_mut()) => {
                    self.lock().registry.give_up_on_slow_readers(id);
                    patience.set(None);
                }
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Nobody is expected any more: without readers there is nobody to wake.
    fn forget_idle_bell(&self, id: &CommandId) {
        let mut state = self.lock();
        if state.bells.get(id).is_some_and(|bell| Arc::strong_count(bell) == 1) {
            state.bells.remove(id);
        }
    }

    /// A command has ended: its own body goes nowhere, and its result's waits as long as the command is remembered.
    fn forget_bodies(&self, id: &CommandId) {
        let State { registry, bodies, result_bodies, .. } = &mut *self.lock();
        bodies.remove(id);
        result_bodies.retain(|id, _| registry.step(id).is_some());
    }

    /// Changes the registry and wakes those who read the command.
    fn note<T>(&self, id: &CommandId, change: impl FnOnce(&mut Registry) -> T) -> T {
        let changed = self.change(change);
        if let Some(bell) = self.lock().bells.get(id) {
            bell.written.notify_waiters();
        }
        changed
    }

    /// Changes the registry, and has the queue told if something was let go of.
    fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let registry = &mut self.lock().registry;
        let changed = change(registry);
        if registry.has_dropped() {
            self.dropped.notify_one();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogReader {
    /// Returns the next lines; `None` after the outcome, when the node stops, and, if it does not follow, at the end of
    /// what is there.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut written = pin!(self.bell.written.notified());
            written.as_mut().enable();
            let read = self.commands.lock().registry.read(&self.id, self.reader, CHUNK_BYTES);
            match read {
                Read::Lines(lines) => {
                    self.bell.read.notify_waiters();
                    return Some(lines.into());
                }
                Read::Pending if self.follow => {}
                Read::Pending | Read::End => return None,
            }
            tokio::select! {
                () = self.commands.stop.cancelled() => return None,
                () = written => {}
            }
        }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        let mut state = self.commands.lock();
        state.registry.detach(&self.id, self.reader);
        if !state.registry.is_read(&self.id) {
            state.bells.remove(&self.id);
        }
        drop(state);
        self.bell.read.notify_waiters();
    }
}

/// Waits until the time is up; without end if there is none.
async fn wait_for(time: Option<Pin<&mut Sleep>>) {
    match time {
        Some(time) => time.await,
        None => std::future::pending().await,
    }
}

fn now() -> Moment {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { at: Instant::now().into_std(), ms: millis(since_1970) }
}

/// About how much a client gets at once.
const CHUNK_BYTES: usize = 64 << 10;
