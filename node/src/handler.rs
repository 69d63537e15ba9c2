//! Handlers: how a command's name becomes a function call.
//!
//! A [`Handlers`] registry maps command types to functions. An ordinary handler is an async function that runs on the
//! application's runtime; an inline one is a plain function that never blocks and runs on the engine's thread; a
//! recoverable one goes on with its work after a restart.
//! The engine knows only the erased form below; types are decoded at the handler's door.

mod recoverable;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use runnel_codec::{Class, Command, CommandId, CommandName, FailureKind, Outcome, Rejection, RejectionKind};
use runnel_queue::StopReason;
use tokio::sync::watch;

use self::recoverable::{Kept, guard};
pub use self::recoverable::{Recoverable, Run, TokenError};
use crate::body::{BodyReader, BodyWriter};
use crate::updates::{UpdateError, UpdateSink};

/// Which function handles which command type.
#[derive(Clone, Default)]
pub struct Handlers(BTreeMap<CommandName, Arc<dyn Erased>>);

/// What a handler knows of the command it handles, and how it speaks to the caller.
#[derive(Debug)]
pub struct Context<C> {
    call: Call,
    command: PhantomData<fn() -> C>,
}

/// Tells a handler that its command was cancelled or ran out of time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<Option<StopReason>>);

/// Why a handler did not succeed. Every error converts into it, so that `?` works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    kind: FailureKind,
    message: String,
}

/// A command on its way into its handler.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CommandId,
    pub(crate) class: Class,
    pub(crate) args: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) deadline_at: Option<Instant>,
    pub(crate) is_durable: bool,
    pub(crate) updates: UpdateSink,
    pub(crate) body: Option<BodyReader>,
    pub(crate) result_body: Option<BodyWriter>,
    pub(crate) stop: watch::Receiver<Option<StopReason>>,
    /// For a recoverable handler.
    pub(crate) run: Option<Run>,
    /// What an earlier process left to find its work again.
    pub(crate) recover: Option<Bytes>,
}

/// What became of a call.
pub(crate) enum Called {
    /// An inline handler has finished.
    Finished(Outcome),
    /// An ordinary handler runs in this future.
    Running(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// A handler without its types.
pub(crate) trait Erased: Send + Sync {
    /// Checks the arguments before the command counts as started.
    fn check(&self, args: &[u8]) -> Result<(), Rejection>;

    /// Calls an inline handler; `None` if it is an ordinary one.
    fn call_inline(&self, args: &[u8]) -> Option<Outcome>;

    /// Calls the handler.
    fn call(&self, call: Call) -> Called;

    /// Whether the handler is one of those that leave tokens.
    fn is_recoverable(&self) -> bool {
        false
    }

    /// Tells the handler that a token of its is not needed any more.
    fn release(&self, _token: Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    /// Tells the handler which of its tokens there are.
    fn begin(&self, _tokens: Vec<Bytes>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

impl Handlers {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an async function for `C`, in place of any earlier one.
    ///
    /// Its panic ends the command as `Failed(Panicked)`. When the command is cancelled or runs out of time, the future
    /// goes on; see [`StopSignal::stopped`].
    pub fn on<C, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        C: Command,
        F: Fn(Context<C>, C::Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C::Result, HandlerError>> + Send + 'static,
    {
        self.0.insert(C::name(), Arc::new(Spawned { handler, command: PhantomData::<fn() -> C> }));
        self
    }

    /// Registers a handler for `C` whose work outlives this process, in place of any earlier one.
    ///
    /// Its panic ends the command as `Failed(Panicked)`, and what it left is released.
    pub fn on_recoverable<C: Command, H: Recoverable<C>>(&mut self, handler: H) -> &mut Self {
        let kept = Kept { handler: Arc::new(handler), command: PhantomData::<fn() -> C> };
        self.0.insert(C::name(), Arc::new(kept));
        self
    }

    /// Registers a plain function for `C` that never blocks: it runs on the engine's thread, without a task of its own.
    pub fn on_inline<C, F>(&mut self, handler: F) -> &mut Self
    where
        C: Command,
        F: Fn(C::Args) -> Result<C::Result, HandlerError> + Send + Sync + 'static,
    {
        self.0.insert(C::name(), Arc::new(Inline { handler, command: PhantomData::<fn() -> C> }));
        self
    }

    /// Returns the registered command types, sorted.
    pub fn names(&self) -> impl Iterator<Item = &CommandName> {
        self.0.keys()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&CommandName, &Arc<dyn Erased>)> {
        self.0.iter()
    }

    pub(crate) fn find(&self, name: &CommandName) -> Option<&Arc<dyn Erased>> {
        self.0.get(name)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<C: Command> Context<C> {
    /// Returns the command's id.
    pub fn id(&self) -> &CommandId {
        &self.call.id
    }

    /// Returns its class.
    pub fn class(&self) -> Class {
        self.call.class
    }

    /// Returns its inline payload; empty if there is none.
    pub fn payload(&self) -> &Bytes {
        &self.call.payload
    }

    /// Returns when its deadline passes, if it has one.
    pub fn deadline_at(&self) -> Option<Instant> {
        self.call.deadline_at
    }

    /// Returns whether it outlives the process that submitted it. The body of such a command comes whole, or something is
    /// wrong; that of another is given up as well when its producer leaves.
    pub fn is_durable(&self) -> bool {
        self.call.is_durable
    }

    /// Sends one record of progress to the caller, waiting while too many of them are held for the link.
    ///
    /// # Errors
    ///
    /// [`UpdateError::TooLarge`] when the record does not encode within 64 KiB, [`UpdateError::Ended`] when the node
    /// has shut down or the command is over.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the record either has been taken whole or not at all.
    pub async fn update(&mut self, update: &C::Update) -> Result<(), UpdateError> {
        let content = C::encode_update(update).map_err(|_| UpdateError::TooLarge)?;
        self.call.updates.send(content).await
    }

    /// Says that this handler may take so long to end once it is told to stop: beyond the node's `stop_grace` its outcome
    /// is a failure whatever it still does. `stop_grace_max` bounds it; less than `stop_grace` changes nothing.
    ///
    /// # Cancel safety
    ///
    /// It may have been said or not if the future is dropped.
    pub async fn want_stop_grace(&self, grace: Duration) {
        self.call.updates.want_stop_grace(grace).await;
    }

    /// Returns the reader of its body, once, if it has one.
    pub fn body(&mut self) -> Option<BodyReader> {
        self.call.body.take()
    }

    /// Returns the writer of its result's body, once, if its caller asked for one.
    pub fn result_body(&mut self) -> Option<BodyWriter> {
        self.call.result_body.take()
    }

    /// Returns the signal that tells the handler to stop.
    pub fn stop_signal(&self) -> StopSignal {
        StopSignal(self.call.stop.clone())
    }
}

impl StopSignal {
    /// Waits until the command is to stop and says why. The outcome is then what the handler returns within a grace
    /// period, or the failure that the reason names.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the reason stays until the handler ends.
    pub async fn stopped(&mut self) -> StopReason {
        match self.0.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            // The engine is gone, so nobody waits for the outcome any more.
            _ => StopReason::Cancelled,
        }
    }

    /// Returns why the command is to stop, if it is: for code that blocks and looks now and then.
    pub fn reason(&self) -> Option<StopReason> {
        let reason = *self.0.borrow();
        // Without an engine nobody waits for the outcome any more.
        reason.or_else(|| self.0.has_changed().is_err().then_some(StopReason::Cancelled))
    }
}

impl HandlerError {
    /// Makes an error with a message for the caller.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Handler, message: message.into() }
    }

    /// Says that the command ended because it was told to.
    pub fn stopped(reason: StopReason, message: impl Into<String>) -> Self {
        let kind = match reason {
            StopReason::Cancelled => FailureKind::Cancelled,
            StopReason::DeadlineExceeded => FailureKind::DeadlineExceeded,
        };
        Self { kind, message: message.into() }
    }

    /// Says what it kept from being done.
    pub(crate) fn within(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Says in addition what is known beside it.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(more);
        self
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome::failed(self.kind, self.message)
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}

struct Spawned<C, F> {
    handler: F,
    command: PhantomData<fn() -> C>,
}

struct Inline<C, F> {
    handler: F,
    command: PhantomData<fn() -> C>,
}

impl<C, F, Fut> Erased for Spawned<C, F>
where
    C: Command,
    F: Fn(Context<C>, C::Args) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C::Result, HandlerError>> + Send + 'static,
{
    fn check(&self, args: &[u8]) -> Result<(), Rejection> {
        check_args::<C>(args)
    }

    fn call_inline(&self, _args: &[u8]) -> Option<Outcome> {
        None
    }

    fn call(&self, call: Call) -> Called {
        let args = match C::decode_args(&call.args) {
            Ok(args) => args,
            Err(error) => return Called::Finished(HandlerError::from(error).into_outcome()),
        };
        let context = Context { call, command: PhantomData };
        guard::<C, _>(|| (self.handler)(context, args))
    }
}

impl<C, F> Erased for Inline<C, F>
where
    C: Command,
    F: Fn(C::Args) -> Result<C::Result, HandlerError> + Send + Sync + 'static,
{
    fn check(&self, args: &[u8]) -> Result<(), Rejection> {
        check_args::<C>(args)
    }

    fn call_inline(&self, args: &[u8]) -> Option<Outcome> {
        Some(self.run(args))
    }

    fn call(&self, call: Call) -> Called {
        Called::Finished(self.run(&call.args))
    }
}

impl<C, F> Inline<C, F>
where
    C: Command,
    F: Fn(C::Args) -> Result<C::Result, HandlerError>,
{
    fn run(&self, args: &[u8]) -> Outcome {
        let args = match C::decode_args(args) {
            Ok(args) => args,
            Err(error) => return HandlerError::from(error).into_outcome(),
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| (self.handler)(args))) {
            Ok(result) => finish::<C>(result),
            Err(_) => panicked(),
        }
    }
}

fn check_args<C: Command>(args: &[u8]) -> Result<(), Rejection> {
    match C::decode_args(args) {
        Ok(_) => Ok(()),
        Err(error) => Err(Rejection { kind: RejectionKind::BadArguments, message: error.to_string() }),
    }
}

fn finish<C: Command>(result: Result<C::Result, HandlerError>) -> Outcome {
    match result.and_then(|result| C::encode_result(&result).map_err(HandlerError::from)) {
        Ok(result) => Outcome::Done { result },
        Err(error) => error.into_outcome(),
    }
}

fn panicked() -> Outcome {
    Outcome::failed(FailureKind::Panicked, "the handler panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_blocks_sees_why_it_is_to_stop() {
        let (engine, signal) = watch::channel(None);
        let stop = StopSignal(signal);
        assert_eq!(stop.reason(), None);
        engine.send_replace(Some(StopReason::DeadlineExceeded));
        assert_eq!(stop.reason(), Some(StopReason::DeadlineExceeded));
        engine.send_replace(None);
        drop(engine);
        assert_eq!(stop.reason(), Some(StopReason::Cancelled), "nobody waits for the outcome");
    }
}
