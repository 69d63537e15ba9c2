//! `exec` under a supervisor: the program outlives this process, and the next one goes on with it.
//!
//! The token is the name of the program's folder. Each record of its output becomes one update with the same number, so
//! what the caller's node acknowledges can be let go of, and the next process knows where to go on.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use runnel_codec::CommandId;
use tokio::task::spawn_blocking;

use super::{Exec, ExecArgs, ExecResult, Input, LEAVE_DELAY, Patience, Rules, conclude, update_of};
use crate::handler::{Context, HandlerError, Recoverable, Run};
use crate::process::ProcessSpec;
use crate::supervise::{SuperviseError, Supervised, SupervisedEvent, SupervisedStdin, Supervision, Trimmed};
use crate::updates::{Acknowledged, Acknowledgements};

/// The handler of `exec` on a node that keeps things.
#[derive(Debug)]
pub(super) struct SupervisedExec {
    rules: Rules,
    supervision: Supervision,
}

impl SupervisedExec {
    pub(super) fn new(rules: Rules, supervision: Supervision) -> Self {
        Self { rules, supervision }
    }
}

impl Recoverable<Exec> for SupervisedExec {
    async fn run(
        self: Arc<Self>,
        mut context: Context<Exec>,
        run: Run,
        args: ExecArgs,
    ) -> Result<ExecResult, HandlerError> {
        let input = Input::of(&mut context);
        let spec = self.rules.spec(&context, args, &input)?;
        let name = folder_name(context.id());
        self.plan(name.clone(), spec).await?;
        // Before the start: a program that runs is always found again.
        run.set_token(name.clone()).await?;
        let supervised = self.supervision.follow(&name).await.map_err(failure)?;
        follow(context, run, supervised, input).await
    }

    async fn recover(
        self: Arc<Self>,
        mut context: Context<Exec>,
        run: Run,
        token: Bytes,
    ) -> Result<ExecResult, HandlerError> {
        let name = String::from_utf8_lossy(&token);
        let supervised = self.supervision.follow(&name).await.map_err(failure)?;
        let trimmed = supervised.trimmed();
        run.resume(trimmed.number, trimmed.mark).await;
        // It comes again from its beginning; what the program was given is passed over.
        let input = Input::of(&mut context);
        follow(context, run, supervised, input).await
    }

    async fn release(self: Arc<Self>, token: Bytes) {
        self.settle(&String::from_utf8_lossy(&token)).await;
    }

    fn begin(self: Arc<Self>, tokens: Vec<Bytes>) -> impl Future<Output = ()> + Send + 'static {
        let names = self.supervision.names().unwrap_or_else(|error| {
            tracing::warn!(%error, "programs of earlier processes are left alone");
            Vec::new()
        });
        async move {
            let wanted: BTreeSet<&[u8]> = tokens.iter().map(|token| &token[..]).collect();
            for name in names.iter().filter(|name| !wanted.contains(name.as_bytes())) {
                self.settle(name).await;
            }
        }
    }
}

impl SupervisedExec {
    async fn plan(self: &Arc<Self>, name: String, spec: ProcessSpec) -> Result<(), HandlerError> {
        let this = self.clone();
        // It waits for the disk.
        spawn_blocking(move || this.supervision.plan(&name, &spec)).await??;
        Ok(())
    }

    async fn settle(&self, name: &str) {
        if let Err(error) = self.supervision.settle(name).await {
            tracing::warn!(name, %error, "what was left of a program could not be removed");
        }
    }
}

/// Brings a program's output back and its input to it, up to its end.
async fn follow(
    mut context: Context<Exec>,
    run: Run,
    mut supervised: Supervised,
    input: Input,
) -> Result<ExecResult, HandlerError> {
    context.want_stop_grace(supervised.stop_time().saturating_add(LEAVE_DELAY)).await;
    let mut feeding = pin!(feed(input, supervised.stdin()).fuse());
    let mut stop = context.stop_signal();
    let mut acknowledgements = run.acknowledgements();
    let mut broken = None;
    loop {
        let event = tokio::select! {
            fed = &mut feeding => {
                broken = fed.inspect_err(|_| supervised.stop()).err();
                continue;
            }
            reason = stop.stopped() => {
                supervised.stop();
                flush(&mut context, &mut supervised, &mut acknowledgements).await;
                return Err(HandlerError::stopped(reason, "the program was stopped"));
            }
            acknowledged = acknowledgements.more() => {
                supervised.trim(trimmed(acknowledged));
                continue;
            }
            event = supervised.next() => event.map_err(failure)?,
        };
        match event {
            SupervisedEvent::Output { piece, .. } => {
                let update = update_of(piece);
                // While the output is pressed back, the program is still fed, room is still made for it, and the command
                // can be stopped: its way out is above.
                let mut sending = pin!(context.update(&update));
                loop {
                    tokio::select! {
                        sent = &mut sending => break sent?,
                        fed = &mut feeding => broken = fed.inspect_err(|_| supervised.stop()).err(),
                        acknowledged = acknowledgements.more() => supervised.trim(trimmed(acknowledged)),
                        _ = stop.stopped() => break,
                    }
                }
            }
            SupervisedEvent::Exited(reason) => return conclude(reason, broken),
        }
    }
}

/// Brings the command's body to the program's standard input.
///
/// # Errors
///
/// See [`Input::next`].
async fn feed(mut input: Input, mut stdin: SupervisedStdin) -> Result<(), HandlerError> {
    // It is not even sent again to a program that does not need it.
    while !stdin.is_closed() {
        let Some(mut piece) = input.next().await? else {
            stdin.close();
            break;
        };
        if stdin.write(&mut piece).await.is_err() {
            // The program reads no more, and need not.
            break;
        }
    }
    Ok(())
}

/// Brings back what a stopped program still says, as long as it may take to end. Room is still made for it.
async fn flush(
    context: &mut Context<Exec>,
    supervised: &mut Supervised,
    acknowledgements: &mut Acknowledgements,
) {
    let patience = Patience::after(supervised.stop_time());
    loop {
        let event = tokio::select! {
            acknowledged = acknowledgements.more() => {
                supervised.trim(trimmed(acknowledged));
                continue;
            }
            event = patience.wait(supervised.next()) => event,
        };
        let Some(Ok(SupervisedEvent::Output { piece, .. })) = event else { break };
        patience.send(context, piece).await;
    }
}

/// Returns the name of a command's folder, and its token: of one length, and without what a file's name may not have.
fn folder_name(id: &CommandId) -> String {
    blake3::hash(id.to_string().as_bytes()).to_hex()[..NAME_DIGITS].to_owned()
}

fn trimmed(acknowledged: Acknowledged) -> Trimmed {
    Trimmed { number: acknowledged.updates, mark: acknowledged.bytes }
}

/// Says what went wrong. A program that cannot be started is told of in the same words as without a supervisor.
fn failure(error: SuperviseError) -> HandlerError {
    match error {
        SuperviseError::NotStarted { message } => HandlerError::new(message),
        error => error.into(),
    }
}

/// Digits of a folder's name: 128 bits, and short enough for the path of a socket below most folders.
const NAME_DIGITS: usize = 32;
