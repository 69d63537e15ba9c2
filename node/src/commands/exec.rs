//! `exec`: runs a program and brings its output back as it comes.

mod supervised;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use runnel_codec::{Command, Decode, Encode};
use tokio::time::{Instant, timeout_at};

use self::supervised::SupervisedExec;
use crate::body::BodyReader;
use crate::handler::{Context, HandlerError, Handlers};
use crate::process::{
    Confinement, ExitCause, ExitReason, ExitStatus, OutputStream, Process, ProcessEvent, ProcessSpec, Stdin,
    StdinMode,
};
use crate::supervise::Supervision;

/// `exec/1`: runs a program in a process group of its own. Its exit, whatever the code, is the result; the command's
/// body, if it has one, is its standard input.
#[derive(Debug)]
pub enum Exec {}

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct ExecArgs {
    /// Name or path of the program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to the worker's environment. `RUNNEL_ID` is always set, to the command's id.
    pub env: Vec<(String, String)>,
    /// Working directory; the worker's own if none.
    pub cwd: Option<String>,
    /// Longest run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Longest time without output, in milliseconds.
    pub no_output_timeout_ms: Option<u64>,
    /// Time between SIGTERM and SIGKILL, in milliseconds; the worker's default of 5 s if none.
    pub kill_grace_ms: Option<u64>,
}

/// A piece of the program's output.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum ExecUpdate {
    /// From standard output.
    Stdout(Vec<u8>),
    /// From standard error.
    Stderr(Vec<u8>),
}

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct ExecResult {
    /// Its exit code or the signal that ended it.
    pub status: ExecStatus,
    /// Whether it ended by itself.
    pub cause: ExecCause,
}

/// Exit code or signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum ExecStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its status was taken by somebody else on the worker.
    Lost,
}

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum ExecCause {
    /// By itself.
    Natural,
    /// It ran longer than allowed.
    TimedOut,
    /// It was silent longer than allowed.
    NoOutput,
}

impl Command for Exec {
    const NAME: &'static str = "exec/1";
    type Args = ExecArgs;
    type Update = ExecUpdate;
    type Result = ExecResult;
}

pub(super) fn register(handlers: &mut Handlers, confinement: Arc<Confinement>) {
    handlers.on::<Exec, _, _>(move |context, args| run(context, args, confinement.clone()));
}

pub(super) fn register_supervised(
    handlers: &mut Handlers,
    confinement: Arc<Confinement>,
    supervision: Supervision,
) {
    handlers.on_recoverable::<Exec, _>(SupervisedExec::new(confinement, supervision));
}

async fn run(
    mut context: Context<Exec>,
    args: ExecArgs,
    confinement: Arc<Confinement>,
) -> Result<ExecResult, HandlerError> {
    let input = Input::of(&mut context);
    let mut spec = confinement.confine(spec_of(&context, args))?;
    if input.body.is_some() {
        spec.stdin = StdinMode::Piped;
    }
    let kill_grace = spec.kill_grace;
    let mut process = Process::spawn(&spec)?;
    let mut feeding = pin!(feed(input, process.take_stdin()).fuse());
    let mut stop = context.stop_signal();
    let mut broken = None;
    loop {
        let event = tokio::select! {
            fed = &mut feeding => {
                broken = fed.inspect_err(|_| process.stop()).err();
                continue;
            }
            reason = stop.stopped() => {
                process.stop();
                flush(&mut context, &mut process, kill_grace).await;
                return Err(HandlerError::stopped(reason, "the program was stopped"));
            }
            event = process.next() => event,
        };
        match event {
            Some(ProcessEvent::Output { stream, bytes }) => {
                let update = update_of(stream, bytes.to_vec());
                // While the output is pressed back, the program is still fed, and the command can be stopped: its way
                // out is above.
                let mut sending = pin!(context.update(&update));
                loop {
                    tokio::select! {
                        sent = &mut sending => break sent?,
                        fed = &mut feeding => broken = fed.inspect_err(|_| process.stop()).err(),
                        _ = stop.stopped() => break,
                    }
                }
            }
            Some(ProcessEvent::Exited(reason)) => return conclude(reason, broken),
            None => return Err(HandlerError::new("the program's end was not seen")),
        }
    }
}

/// What a program is to read.
#[derive(Debug)]
struct Input {
    body: Option<BodyReader>,
    must_be_whole: bool,
}

impl Input {
    /// Takes the body of a command.
    fn of(context: &mut Context<Exec>) -> Self {
        Self { body: context.body(), must_be_whole: context.is_durable() }
    }

    /// Returns the next bytes. One that is produced live and given up ends like one that is complete: whoever gave it up may
    /// only have left.
    ///
    /// # Errors
    ///
    /// Any other that is given up: the program must not take a part of it for the whole.
    async fn next(&mut self) -> Result<Option<Bytes>, HandlerError> {
        let Some(body) = &mut self.body else { return Ok(None) };
        match body.next().await {
            Err(error) if self.must_be_whole => {
                Err(HandlerError::new(format!("the rest of the program's input does not come: {error}")))
            }
            piece => Ok(piece.unwrap_or(None)),
        }
    }
}

/// Brings the command's body to the program's standard input.
///
/// # Errors
///
/// See [`Input::next`].
async fn feed(mut input: Input, stdin: Option<Stdin>) -> Result<(), HandlerError> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    while let Some(mut piece) = input.next().await? {
        if stdin.write(&mut piece).await.is_err() {
            // The program reads no more, and need not.
            return Ok(());
        }
    }
    stdin.close();
    Ok(())
}

/// Says how a program ended. One that ended by itself has not missed what did not come of its input.
fn conclude(reason: ExitReason, broken: Option<HandlerError>) -> Result<ExecResult, HandlerError> {
    let broken = broken.filter(|_| reason.cause == ExitCause::Stopped);
    broken.map_or_else(|| Ok(result_of(reason)), Err)
}

/// Brings back what a stopped program still says, as long as it may take to end.
async fn flush(context: &mut Context<Exec>, process: &mut Process, kill_grace: Duration) {
    let until = Instant::now() + kill_grace;
    while let Some(ProcessEvent::Output { stream, bytes }) = process.next().await {
        // Past the grace, or when nobody takes it, what it says is let go of: its end must not wait for the link.
        timeout_at(until, context.update(&update_of(stream, bytes.to_vec()))).await.ok();
    }
}

fn spec_of(context: &Context<Exec>, args: ExecArgs) -> ProcessSpec {
    let mut spec = ProcessSpec::new(args.program);
    spec.args = args.args;
    spec.env = args.env;
    spec.env.push(("RUNNEL_ID".to_owned(), context.id().to_string()));
    spec.cwd = args.cwd.map(PathBuf::from);
    spec.timeout = args.timeout_ms.map(Duration::from_millis);
    spec.no_output_timeout = args.no_output_timeout_ms.map(Duration::from_millis);
    if let Some(grace) = args.kill_grace_ms {
        spec.kill_grace = Duration::from_millis(grace);
    }
    spec
}

fn update_of(stream: OutputStream, bytes: Vec<u8>) -> ExecUpdate {
    match stream {
        OutputStream::Stdout => ExecUpdate::Stdout(bytes),
        OutputStream::Stderr => ExecUpdate::Stderr(bytes),
    }
}

fn result_of(reason: ExitReason) -> ExecResult {
    let status = match reason.status {
        ExitStatus::Code(code) => ExecStatus::Code(code),
        ExitStatus::Signal(signal) => ExecStatus::Signal(signal),
        ExitStatus::Lost => ExecStatus::Lost,
    };
    let cause = match reason.cause {
        ExitCause::TimedOut => ExecCause::TimedOut,
        ExitCause::NoOutput => ExecCause::NoOutput,
        ExitCause::Natural | ExitCause::Stopped => ExecCause::Natural,
    };
    ExecResult { status, cause }
}
