//! `exec`: runs a program and brings its output back as it comes.

mod config;
mod environment;
mod spec;
mod supervised;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use runnel_codec::{Command, Decode, Encode};
use tokio::time::{Instant, timeout_at};

pub use self::config::ExecConfig;
pub use self::environment::EnvValue;
use self::spec::spec_of;
use self::supervised::SupervisedExec;
use crate::body::BodyReader;
use crate::handler::{Context, HandlerError, Handlers};
use crate::process::{
    Confinement, ExitCause, ExitReason, ExitStatus, LogFile, OutputStream, Piece, Process, ProcessEvent,
    ProcessSpec, Stdin, StdinMode,
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
    /// Variables set in the worker's environment, or removed from it. `RUNNEL_ID` is always set, to the command's id, and
    /// `PWD` to `cwd` if that is given.
    pub env: Vec<(String, EnvValue)>,
    /// Whether `${NAME}` in these values is replaced from the worker's own environment; what is missing there is empty.
    pub expand_env: bool,
    /// Whether the whole environment that the program gets is told, before any output.
    pub report_env: bool,
    /// Working directory; the worker's own if none.
    pub cwd: Option<String>,
    /// Whether a missing `cwd` is made, with the directories above it.
    pub make_cwd: bool,
    /// Whether the program gets a terminal as its three streams, and a session of its own. All output is then standard
    /// output. Input is not echoed.
    pub terminal: bool,
    /// Files that are followed while the program runs. How many, and how often they are looked at, the worker says
    /// ([`ExecConfig`]).
    pub log_files: Vec<LogFile>,
    /// Most lines of output, on both streams together.
    pub lines_max: Option<u64>,
    /// Longest run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Longest time without output, that in log files included, in milliseconds.
    pub no_output_timeout_ms: Option<u64>,
    /// Time between `stop_signal` and `kill_signal`, in milliseconds; the worker's default of 5 s if none. If it is 0,
    /// `kill_signal` is sent at once and alone.
    pub kill_grace_ms: Option<u64>,
    /// Name of the signal that asks the program to end, without `SIG`; TERM if none.
    pub stop_signal: Option<String>,
    /// Name of the signal that ends it then, without `SIG`; KILL if none, which also follows any other after the worker's
    /// [`kill_timeout`](ExecConfig::kill_timeout).
    pub kill_signal: Option<String>,
}

/// A piece of what the program brings forth.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum ExecUpdate {
    /// From standard output, or from its terminal.
    Stdout(Vec<u8>),
    /// From standard error.
    Stderr(Vec<u8>),
    /// Variables that the program gets, sorted by name: before all other updates, and only if they were asked for. A large
    /// environment comes in several pieces. What is not UTF-8 is replaced by U+FFFD, and a value of more than 16 KiB ends
    /// there with an ellipsis.
    Environment(Vec<(String, String)>),
    /// From a log file.
    Log {
        /// The file's name in the arguments.
        name: String,
        /// What was added to it.
        content: Vec<u8>,
    },
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
    /// It wrote more lines than allowed. It may have ended by itself just before that was noticed.
    TooManyLines {
        /// How many there were when it was noticed; what was written until the end may be more.
        lines: u64,
    },
}

impl Command for Exec {
    const NAME: &'static str = "exec/1";
    type Args = ExecArgs;
    type Update = ExecUpdate;
    type Result = ExecResult;
}

pub(super) fn register(handlers: &mut Handlers, confinement: Arc<Confinement>, config: ExecConfig) {
    let rules = Rules { confinement, config: Arc::new(config) };
    handlers.on::<Exec, _, _>(move |context, args| run(context, args, rules.clone()));
}

pub(super) fn register_supervised(
    handlers: &mut Handlers,
    confinement: Arc<Confinement>,
    supervision: Supervision,
    config: ExecConfig,
) {
    let rules = Rules { confinement, config: Arc::new(config) };
    handlers.on_recoverable::<Exec, _>(SupervisedExec::new(rules, supervision));
}

/// What a worker says to all that is asked of it.
#[derive(Clone, Debug)]
struct Rules {
    confinement: Arc<Confinement>,
    config: Arc<ExecConfig>,
}

impl Rules {
    /// Returns what is to be run.
    ///
    /// # Errors
    ///
    /// When it must not be run.
    fn spec(
        &self,
        context: &Context<Exec>,
        args: ExecArgs,
        input: &Input,
    ) -> Result<ProcessSpec, HandlerError> {
        let mut spec = self.confinement.confine(spec_of(context.id(), args, &self.config)?)?;
        if input.body.is_some() {
            spec.stdin = StdinMode::Piped;
        }
        Ok(spec)
    }
}

async fn run(mut context: Context<Exec>, args: ExecArgs, rules: Rules) -> Result<ExecResult, HandlerError> {
    let input = Input::of(&mut context);
    let spec = rules.spec(&context, args, &input)?;
    let stop_time = spec.stop_time();
    // Before the start: its end may be wanted as soon as it runs.
    context.want_stop_grace(stop_time.saturating_add(LEAVE_DELAY)).await;
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
                flush(&mut context, &mut process, stop_time).await;
                return Err(HandlerError::stopped(reason, "the program was stopped"));
            }
            event = process.next() => event,
        };
        match event {
            Some(ProcessEvent::Output(piece)) => {
                let update = update_of(piece);
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
    // That it reads no more is as good as its end.
    stdin.close().await.ok();
    Ok(())
}

/// Says how a program ended. One that ended by itself has not missed what did not come of its input.
fn conclude(reason: ExitReason, broken: Option<HandlerError>) -> Result<ExecResult, HandlerError> {
    let broken = broken.filter(|_| reason.cause == ExitCause::Stopped);
    broken.map_or_else(|| Ok(result_of(reason)), Err)
}

/// Brings back what a stopped program still says, as long as it may take to end.
async fn flush(context: &mut Context<Exec>, process: &mut Process, stop_time: Duration) {
    let patience = Patience::after(stop_time);
    while let Some(Some(ProcessEvent::Output(piece))) = patience.wait(process.next()).await {
        patience.send(context, piece).await;
    }
}

/// How long what a stopped program still says is of interest.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// When the program has been killed. An instant that the clock cannot say never comes.
    until: Option<Instant>,
    /// When nothing of it is waited for.
    leave_at: Option<Instant>,
}

impl Patience {
    fn after(stop_time: Duration) -> Self {
        let until = Instant::now().checked_add(stop_time);
        Self { until, leave_at: until.and_then(|until| until.checked_add(LEAVE_DELAY)) }
    }

    /// Waits for what comes next; `None` if that is too late. There may be more than anybody takes.
    async fn wait<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        match self.leave_at {
            Some(at) => timeout_at(at, next).await.ok(),
            None => Some(next.await),
        }
    }

    /// Brings a piece back. Too late, or when nobody takes it, it is let go of: the end of a program must not wait for the
    /// link.
    async fn send(&self, context: &mut Context<Exec>, piece: Piece) {
        let update = update_of(piece);
        let sending = context.update(&update);
        match self.until {
            Some(at) => drop(timeout_at(at, sending).await),
            None => drop(sending.await),
        }
    }
}

/// From the signal that ends a program for certain to the moment from which nothing of it is waited for: what it has left
/// in files may be long.
const LEAVE_DELAY: Duration = Duration::from_secs(2);

fn update_of(piece: Piece) -> ExecUpdate {
    match piece {
        Piece::Environment(variables) => ExecUpdate::Environment(variables),
        Piece::Stream { stream: OutputStream::Stdout, bytes } => ExecUpdate::Stdout(bytes.into()),
        Piece::Stream { stream: OutputStream::Stderr, bytes } => ExecUpdate::Stderr(bytes.into()),
        Piece::Log { name, bytes } => ExecUpdate::Log { name, content: bytes.into() },
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
        ExitCause::TooManyLines { lines } => ExecCause::TooManyLines { lines },
        ExitCause::Natural | ExitCause::Stopped => ExecCause::Natural,
    };
    ExecResult { status, cause }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_program_that_was_killed_is_not_waited_for_for_ever() {
        let begin = Instant::now();
        let patience = Patience::after(Duration::from_secs(5));
        assert_eq!(patience.wait(ready(1)).await, Some(1));
        assert_eq!(patience.wait(pending::<u8>()).await, None);
        assert_eq!(begin.elapsed(), Duration::from_secs(5) + LEAVE_DELAY);
        let endless = Patience::after(Duration::MAX);
        assert_eq!(endless.wait(ready(2)).await, Some(2));
    }
}
