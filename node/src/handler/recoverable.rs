//! Handlers whose work outlives the process that called them.
//!
//! Such a handler leaves a *token*, by which it finds its work again. If the process ends before the handler does, the
//! next one calls it with the token, and that counts as the same run. A node that keeps nothing on a disk takes tokens as
//! well, but forgets them with everything else.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use runnel_codec::{Command, CommandKey, NodeId, Outcome, Rejection};
use tokio::sync::{mpsc, oneshot};

use super::{Call, Called, Context, Erased, HandlerError, check_args, finish, panicked};
use crate::engine::Request;
use crate::updates::Acknowledgements;

/// A handler whose work outlives the process that called it.
///
/// Exactly one call of [`run`](Self::run) or [`recover`](Self::recover) is under way for a command, in one process.
pub trait Recoverable<C: Command>: Send + Sync + 'static {
    /// Handles a command that has just started, as the function of [`Handlers::on`](super::Handlers::on) does.
    fn run(
        self: Arc<Self>,
        context: Context<C>,
        run: Run,
        args: C::Args,
    ) -> impl Future<Output = Result<C::Result, HandlerError>> + Send + 'static;

    /// Goes on with a command that an earlier process has started and not ended, for which `token` was left. Its payload is
    /// not there any more. Before its first update it calls [`Run::resume`], unless its updates begin anew with the first.
    ///
    /// Its body, if it has one, is sent again from its beginning once [`Context::body`] is read, and not before: what was
    /// read of it earlier is to be passed over. Only durable commands get here, and their bodies can be produced again; one
    /// that cannot any more, such as a file that was changed, is [`BodyError::Aborted`](crate::BodyError::Aborted).
    ///
    /// The body of its result, if its caller reads one, is to be written again from its beginning, the same bytes: what the
    /// caller's node has of it is passed over. Other bytes are [`BodyError::Broken`](crate::BodyError::Broken) at the caller.
    fn recover(
        self: Arc<Self>,
        context: Context<C>,
        run: Run,
        token: Bytes,
    ) -> impl Future<Output = Result<C::Result, HandlerError>> + Send + 'static;

    /// The outcome of the command for which `token` was left is kept: what the token leads to is not needed any more. Not
    /// called if the process ends first; see [`begin`](Self::begin).
    fn release(self: Arc<Self>, token: Bytes) -> impl Future<Output = ()> + Send + 'static;

    /// The node begins, and will call [`recover`](Self::recover) for these tokens: whatever else there is of earlier
    /// processes is not needed any more. Called once, before any handler; what it does before its first await is done before
    /// any handler is called, and the rest runs beside them.
    fn begin(self: Arc<Self>, tokens: Vec<Bytes>) -> impl Future<Output = ()> + Send + 'static;
}

/// What a recoverable handler needs beside its [`Context`] to be found again.
#[derive(Debug)]
pub struct Run {
    pub(crate) from: NodeId,
    pub(crate) key: CommandKey,
    pub(crate) inbox: mpsc::Sender<Request>,
    pub(crate) acknowledgements: Acknowledgements,
}

/// The command is over or the node has shut down: stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes tokens of this command any more")]
pub struct TokenError;

impl Run {
    /// Leaves a token, in place of any earlier one; returns once it is stored. To be called before there is anything that
    /// it leads to, so that nothing is ever without.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when the command is over or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// The token may have been left or not if the future is dropped.
    pub async fn set_token(&self, token: impl Into<Bytes>) -> Result<(), TokenError> {
        let (reply, stored) = oneshot::channel();
        let request = Request::Token { from: self.from.clone(), key: self.key, token: token.into(), reply };
        self.inbox.send(request).await.map_err(|_| TokenError)?;
        stored.await.map_err(|_| TokenError)
    }

    /// Says how much earlier processes have said that its caller's node holds, as [`Acknowledgements`] told them: the next
    /// update is the one behind that.
    ///
    /// # Cancel safety
    ///
    /// It may have been said or not if the future is dropped.
    pub async fn resume(&self, updates: u64, bytes: u64) {
        self.acknowledgements.resume(updates, bytes);
        let request = Request::Resumed { from: self.from.clone(), key: self.key, updates, bytes };
        // If the engine is gone, updates fail as well.
        self.inbox.send(request).await.ok();
    }

    /// Returns what tells how much of its updates its caller's node holds.
    pub fn acknowledgements(&self) -> Acknowledgements {
        self.acknowledgements.clone()
    }
}

/// A recoverable handler without its types.
pub(super) struct Kept<C, H> {
    pub(super) handler: Arc<H>,
    pub(super) command: PhantomData<fn() -> C>,
}

impl<C: Command, H: Recoverable<C>> Erased for Kept<C, H> {
    fn check(&self, args: &[u8]) -> Result<(), Rejection> {
        check_args::<C>(args)
    }

    fn call_inline(&self, _args: &[u8]) -> Option<Outcome> {
        None
    }

    fn is_recoverable(&self) -> bool {
        true
    }

    fn call(&self, mut call: Call) -> Called {
        let (token, run) = (call.recover.take(), call.run.take());
        let Some(run) = run else {
            unreachable!("a recoverable handler is called with what it needs for that")
        };
        let handler = self.handler.clone();
        if let Some(token) = token {
            let context = Context { call, command: PhantomData };
            return guard::<C, _>(|| handler.recover(context, run, token));
        }
        match C::decode_args(&call.args) {
            Ok(args) => {
                let context = Context { call, command: PhantomData };
                guard::<C, _>(|| handler.run(context, run, args))
            }
            Err(error) => Called::Finished(HandlerError::from(error).into_outcome()),
        }
    }

    fn release(&self, token: Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let handler = self.handler.clone();
        Box::pin(async move { handler.release(token).await })
    }

    fn begin(&self, tokens: Vec<Bytes>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Its own code before its first await runs here, while no handler has been called.
        let Ok(begun) = std::panic::catch_unwind(AssertUnwindSafe(|| self.handler.clone().begin(tokens)))
        else {
            tracing::error!(command = C::NAME, "a handler panicked when its node began");
            return Box::pin(std::future::ready(()));
        };
        Box::pin(begun)
    }
}

/// Calls a handler. Its own code before its first await runs here; its panic must not reach the engine.
pub(super) fn guard<C, Fut>(call: impl FnOnce() -> Fut) -> Called
where
    C: Command,
    Fut: Future<Output = Result<C::Result, HandlerError>> + Send + 'static,
{
    let Ok(future) = std::panic::catch_unwind(AssertUnwindSafe(call)) else {
        return Called::Finished(panicked());
    };
    Called::Running(Box::pin(async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(result) => finish::<C>(result),
            Err(_) => panicked(),
        }
    }))
}
