//! One child process, run well: a group of its own, pipes or a terminal, its output and the files that it writes as events,
//! its end in order.
//!
//! Knows nothing of commands, links or queues; the built-in `exec` wraps it. It starts no task: everything,
//! limits of time included, is driven by [`Process::next`], or by [`Process::hold`] while output has to wait. While
//! nobody calls `next`, the pipes fill and press back on the process and files stay unread, so there is no buffer that
//! could grow. Start at [`Process`]; [`Confinement`] says what a worker lets others run. Unix only.

mod confine;
mod environment;
mod event;
mod group;
mod lifetime;
mod lines;
mod log_files;
mod output;
mod signal;
mod spec;
mod stdin;
mod terminal;

use std::collections::VecDeque;
use std::future::{pending, poll_fn, ready};

use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind};
use tokio::time::{Instant, sleep_until};

use group::Group;
use lifetime::{Action, Lifetime};
use lines::Lines;
use log_files::LogFiles;
use output::Output;
use terminal::Terminal;

pub(crate) use confine::resolve_existing;
pub use confine::{Confinement, ConfinementError};
pub use event::{ExitCause, ExitReason, ExitStatus, OutputStream, Piece, ProcessEvent};
pub use log_files::LogFile;
pub use signal::{EndSignal, UnknownSignal};
pub use spec::{ProcessSpec, SpawnError, StdinMode};
pub use stdin::{Stdin, StdinError};

/// A running process and everything that it started.
///
/// Dropping it kills the whole group at once. What leaves the group on purpose (`setsid`) is out of reach.
#[derive(Debug)]
#[must_use = "dropping a process kills it"]
pub struct Process {
    // Before `child`: the group is killed while its leader still keeps the number from being given away.
    group: Group,
    child: Child,
    child_signals: Signal,
    stdin: Option<Stdin>,
    output: Output,
    logs: LogFiles,
    /// Whether a followed file is asked before the outputs, so that neither can keep the other waiting.
    is_turn_of_logs: bool,
    lines: Lines,
    /// What is told before all that the process brings forth.
    announced: VecDeque<Piece>,
    lifetime: Lifetime,
    stop_signal: EndSignal,
    kill_signal: EndSignal,
    status: Option<ExitStatus>,
    finished: bool,
}

impl Process {
    /// Starts the program that `spec` describes. Its limits count from now.
    ///
    /// Asks the file system, and so may block for a moment.
    ///
    /// # Errors
    /// See [`SpawnError`]; nothing runs then.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn spawn(spec: &ProcessSpec) -> Result<Self, SpawnError> {
        let failed = |error| SpawnError::new(spec, error);
        spec.make_cwd()?;
        // Listening starts before the child does, or its exit could go unheard.
        let child_signals = tokio::signal::unix::signal(SignalKind::child()).map_err(failed)?;
        let now = Instant::now();
        let logs = LogFiles::new(now, spec);
        let Started { child, group, stdin, output } =
            if spec.has_terminal { Started::in_terminal(spec)? } else { Started::with_pipes(spec)? };
        Ok(Self {
            group,
            child,
            child_signals,
            stdin,
            output,
            logs,
            is_turn_of_logs: false,
            lines: Lines::new(spec.lines_max),
            announced: if spec.report_env {
                environment::pieces(&environment::of(spec))
            } else {
                VecDeque::new()
            },
            lifetime: Lifetime::new(now, spec),
            stop_signal: spec.stop_signal,
            kill_signal: spec.kill_signal,
            status: None,
            finished: false,
        })
    }

    /// Waits for the next event: output as it comes, then once [`ProcessEvent::Exited`], then `None`.
    ///
    /// `Exited` follows the last output. Processes left behind that hold the pipes delay it by at most
    /// `drain_timeout` after the exit (after a stop: until the end of `kill_grace`, if that is later); they
    /// are killed then, and all that was written until then is still delivered.
    ///
    /// # Cancel safety
    /// Nothing is lost: a dropped call has taken no event, and limits of time go on counting.
    pub async fn next(&mut self) -> Option<ProcessEvent> {
        while !self.finished {
            if let Some(piece) = self.announced.pop_front() {
                return Some(ProcessEvent::Output(piece));
            }
            if let Some(status) = self.status
                && self.output.is_closed()
            {
                return Some(self.last_of_logs().map_or_else(|| self.finish(status), ProcessEvent::Output));
            }
            if self.is_turn_of_logs
                && let Some(piece) = self.read_log()
            {
                return Some(ProcessEvent::Output(piece));
            }
            tokio::select! {
                biased;
                () = until(self.lifetime.poll_timeout()) => self.handle_timeout(),
                Some(()) = self.child_signals.recv(), if self.status.is_none() => self.check_exit(),
                () = until(self.logs.poll_timeout()) => self.logs.handle_timeout(Instant::now()),
                piece = poll_fn(|cx| self.output.poll_read(cx)), if !self.output.is_closed() => {
                    let Some((stream, bytes)) = piece else { continue };
                    self.handle_output(stream, &bytes);
                    return Some(ProcessEvent::Output(Piece::Stream { stream, bytes }));
                }
                () = ready(()), if self.may_read_log() => self.is_turn_of_logs = true,
            }
        }
        None
    }

    /// Drives the limits of time while nobody has room for output: what the process writes stays in its pipes and presses
    /// back on it, and files are read later. Returns once what comes before the exit is bounded by what the pipes hold, and
    /// then [`Self::next`] is to be called again; with something left of files it never returns, and is to be dropped once
    /// there is room.
    ///
    /// # Cancel safety
    /// Nothing is lost: limits of time go on counting.
    pub async fn hold(&mut self) {
        while !self.finished && !self.is_rest_bounded() {
            tokio::select! {
                biased;
                () = until(self.lifetime.poll_timeout()) => self.handle_timeout(),
                Some(()) = self.child_signals.recv(), if self.status.is_none() => self.check_exit(),
            }
        }
    }

    /// Asks the group to end; [`Self::next`] ends it by force after `kill_grace`. Calling it again does not
    /// lengthen that.
    pub fn stop(&mut self) {
        if self.finished {
            return;
        }
        self.check_exit();
        let action = self.lifetime.handle_stop(Instant::now());
        self.act(action);
    }

    /// Takes the writing end of the standard input: once, and only if it is [`StdinMode::Piped`].
    ///
    /// Until it is taken and closed, the process sees an open input without data.
    pub fn take_stdin(&mut self) -> Option<Stdin> {
        self.stdin.take()
    }

    /// Returns the id of the process, which is also its group's, until its exit has been told.
    #[must_use]
    pub fn id(&self) -> Option<i32> {
        self.group.id()
    }

    /// Judges by what has happened by now, not by what was noticed: the caller may have been away for long.
    fn handle_timeout(&mut self) {
        self.check_exit();
        let now = Instant::now();
        if self.output.is_waiting() || self.logs.is_waiting() {
            self.lifetime.handle_output(now);
        }
        let action = self.lifetime.handle_timeout(now);
        self.act(action);
    }

    fn check_exit(&mut self) {
        if self.status.is_some() {
            return;
        }
        self.status = self.group.leader_status();
        if self.status.is_some() {
            self.lifetime.handle_exit(Instant::now());
        }
    }

    fn act(&mut self, action: Option<Action>) {
        match action {
            None => {}
            Some(Action::Terminate) => self.group.end(self.stop_signal),
            Some(Action::Kill) => self.group.end(self.kill_signal),
            Some(Action::Force) => self.group.kill(),
            Some(Action::Cut) => {
                self.group.kill();
                self.output.cut();
            }
        }
    }

    fn handle_output(&mut self, stream: OutputStream, bytes: &[u8]) {
        self.is_turn_of_logs = self.may_read_log();
        let now = Instant::now();
        self.lifetime.handle_output(now);
        if let Some(lines) = self.lines.handle_output(stream, bytes) {
            self.check_exit();
            let action = self.lifetime.handle_too_many_lines(now, lines);
            self.act(action);
        }
    }

    /// Whether files are read beside the outputs. What ending pipes hold goes first: it is all that is taken without room.
    fn may_read_log(&self) -> bool {
        self.logs.has_unread() && (self.output.is_closed() || !self.output.is_ending())
    }

    fn read_log(&mut self) -> Option<Piece> {
        self.is_turn_of_logs = false;
        let piece = self.logs.read()?;
        self.lifetime.handle_output(Instant::now());
        Some(piece)
    }

    /// Returns what the files still hold when everything else has ended. Whoever is left and might write there is killed
    /// first.
    fn last_of_logs(&mut self) -> Option<Piece> {
        self.end_logs();
        self.logs.read()
    }

    fn end_logs(&mut self) {
        self.group.kill();
        self.logs.end();
    }

    /// Whether no more can come before the exit than the pipes hold.
    fn is_rest_bounded(&mut self) -> bool {
        if !self.output.is_closed() {
            return self.output.is_ending();
        }
        if self.status.is_some() {
            self.end_logs();
            return !self.logs.has_unread();
        }
        self.logs.is_empty()
    }

    /// Leaves nothing behind: neither members of the group nor a zombie.
    fn finish(&mut self, status: ExitStatus) -> ProcessEvent {
        self.finished = true;
        self.stdin = None;
        self.group.release();
        if let Err(error) = self.child.try_wait() {
            tracing::warn!(%error, "child process was reaped by somebody else");
        }
        ProcessEvent::Exited(ExitReason { status, cause: self.lifetime.cause() })
    }
}

/// What is there once a program was started.
struct Started {
    // Before `child`, as in [`Process`].
    group: Group,
    child: Child,
    stdin: Option<Stdin>,
    output: Output,
}

impl Started {
    fn with_pipes(spec: &ProcessSpec) -> Result<Self, SpawnError> {
        let failed = |error| SpawnError::new(spec, error);
        let mut command = spec.command();
        spec.set_pipes(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let group = Group::of(&child).map_err(failed)?;
        let stdin = child.stdin.take().map(Stdin::pipe);
        let output = Output::of(&mut child);
        Ok(Self { group, child, stdin, output })
    }

    fn in_terminal(spec: &ProcessSpec) -> Result<Self, SpawnError> {
        let failed = |error| SpawnError::new(spec, error);
        let no_terminal = |source| SpawnError::Terminal { program: spec.program.clone(), source };
        let (terminal, process_end) = Terminal::open().map_err(no_terminal)?;
        if spec.stdin == StdinMode::Null {
            terminal.end_input().map_err(no_terminal)?;
        }
        let child = process_end.spawn(spec.command()).map_err(failed)?;
        // The leader of a session leads its first group too.
        let group = Group::of(&child).map_err(failed)?;
        let Terminal { output, input } = terminal;
        let stdin = (spec.stdin == StdinMode::Piped).then(|| Stdin::terminal(input));
        Ok(Self { group, child, stdin, output: Output::of_terminal(output) })
    }
}

/// Waits for an instant, where `None` never comes.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
