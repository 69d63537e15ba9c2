//! One child process, run well: a group of its own, its output as events, its end in order.
//!
//! Knows nothing of commands, links or queues; the built-in `exec` wraps it. It starts no task: everything,
//! limits of time included, is driven by [`Process::next`], or by [`Process::hold`] while output has to wait. While
//! nobody calls `next`, the pipes fill and press back on the process, so there is no buffer that could grow. Start
//! at [`Process`]; [`Confinement`] says what a worker lets others run. Unix only.

mod confine;
mod event;
mod group;
mod lifetime;
mod output;
mod spec;
mod stdin;

use std::future::{pending, poll_fn};

use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use group::Group;
use lifetime::{Action, Lifetime};
use output::Output;

pub(crate) use confine::resolve_existing;
pub use confine::{Confinement, ConfinementError};
pub use event::{ExitCause, ExitReason, ExitStatus, OutputStream, ProcessEvent};
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
    lifetime: Lifetime,
    status: Option<ExitStatus>,
    finished: bool,
}

impl Process {
    /// Starts the program that `spec` describes. Its limits count from now.
    ///
    /// # Errors
    /// See [`SpawnError`]; nothing runs then.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn spawn(spec: &ProcessSpec) -> Result<Self, SpawnError> {
        let failed = |error| SpawnError::new(spec, error);
        // Listening starts before the child does, or its exit could go unheard.
        let child_signals = signal(SignalKind::child()).map_err(failed)?;
        let mut child = spec.command().spawn().map_err(failed)?;
        let group = Group::of(&child).map_err(failed)?;
        let stdin = child.stdin.take().map(Stdin::new);
        let output = Output::of(&mut child);
        let lifetime = Lifetime::new(Instant::now(), spec);
        Ok(Self { group, child, child_signals, stdin, output, lifetime, status: None, finished: false })
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
            if let Some(status) = self.status
                && self.output.is_closed()
            {
                return Some(self.finish(status));
            }
            tokio::select! {
                biased;
                () = until(self.lifetime.poll_timeout()) => self.handle_timeout(),
                Some(()) = self.child_signals.recv(), if self.status.is_none() => self.check_exit(),
                piece = poll_fn(|cx| self.output.poll_read(cx)), if !self.output.is_closed() => {
                    let Some((stream, bytes)) = piece else { continue };
                    self.lifetime.handle_output(Instant::now());
                    return Some(ProcessEvent::Output { stream, bytes });
                }
            }
        }
        None
    }

    /// Drives the limits of time while nobody has room for output: what the process writes stays in its pipes and presses
    /// back on it. Returns once no more can come than the pipes hold, and then [`Self::next`] is to be called again.
    ///
    /// # Cancel safety
    /// Nothing is lost: limits of time go on counting.
    pub async fn hold(&mut self) {
        while !self.finished && !self.output.is_ending() {
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
        if self.output.is_waiting() {
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
            Some(Action::Terminate) => self.group.terminate(),
            Some(Action::Kill) => self.group.kill(),
            Some(Action::Cut) => {
                self.group.kill();
                self.output.cut();
            }
        }
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

/// Waits for an instant, where `None` never comes.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
