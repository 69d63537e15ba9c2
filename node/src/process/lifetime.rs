//! When a process is told to end, when it is made to, and when its output is cut: the pure half of `Process`.
//!
//! Knows no process and no clock. An instant that lies beyond what the clock can say never comes.

use std::time::Duration;

use tokio::time::Instant;

use super::event::ExitCause;
use super::signal::EndSignal;
use super::spec::ProcessSpec;

/// The limits of one process and how far its end has come.
#[derive(Debug)]
pub(super) struct Lifetime {
    phase: Phase,
    cause: ExitCause,
    timeout_at: Option<Instant>,
    silent_at: Option<Instant>,
    no_output_timeout: Option<Duration>,
    kill_grace: Duration,
    /// From the signal that is to end the group to the one that does; `None` if they are the same.
    kill_timeout: Option<Duration>,
    drain_timeout: Duration,
}

/// What has to be done to the process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the group to end.
    Terminate,
    /// End the group by the signal that is meant for it.
    Kill,
    /// End the group by the signal that nobody can ignore.
    Force,
    /// End the group by that too, and read no more than what it has written.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Asked to end.
    Stopping {
        kill_at: Option<Instant>,
    },
    /// Ended, the exit is on its way.
    Killed {
        force_at: Option<Instant>,
    },
    /// The leader has exited, somebody may still hold its pipes.
    Draining {
        cut_at: Option<Instant>,
    },
    /// The leader has exited and only what is already in the pipes counts.
    Cut,
}

impl Lifetime {
    /// Starts the limits of `spec` at `now`.
    pub(super) fn new(now: Instant, spec: &ProcessSpec) -> Self {
        Self {
            phase: Phase::Running,
            cause: ExitCause::Natural,
            timeout_at: spec.timeout.and_then(|timeout| now.checked_add(timeout)),
            silent_at: spec.no_output_timeout.and_then(|timeout| now.checked_add(timeout)),
            no_output_timeout: spec.no_output_timeout,
            kill_grace: spec.kill_grace,
            kill_timeout: (spec.kill_signal != EndSignal::KILL).then_some(spec.kill_timeout),
            drain_timeout: spec.drain_timeout,
        }
    }

    /// The process has written something that was read or waits to be.
    pub(super) fn handle_output(&mut self, now: Instant) {
        self.silent_at = self.no_output_timeout.and_then(|timeout| now.checked_add(timeout));
    }

    /// The leader has exited. A group that was asked to end keeps its grace.
    pub(super) fn handle_exit(&mut self, now: Instant) {
        let cut_at = now.checked_add(self.drain_timeout);
        let cut_at = match self.phase {
            Phase::Running | Phase::Killed { .. } => cut_at,
            Phase::Stopping { kill_at } => later(cut_at, kill_at),
            Phase::Draining { .. } | Phase::Cut => return,
        };
        self.phase = Phase::Draining { cut_at };
    }

    /// Somebody wants the process to end. After the exit this shortens the wait for whoever holds the pipes.
    pub(super) fn handle_stop(&mut self, now: Instant) -> Option<Action> {
        match self.phase {
            Phase::Running => Some(self.end(now, ExitCause::Stopped)),
            Phase::Draining { cut_at } => Some(self.end_rest(now, cut_at)),
            Phase::Stopping { .. } | Phase::Killed { .. } | Phase::Cut => None,
        }
    }

    /// The process has written more lines than it may. That counts though it may have exited by itself just before: what
    /// is said of it must not depend on which was noticed first.
    pub(super) fn handle_too_many_lines(&mut self, now: Instant, lines: u64) -> Option<Action> {
        let cause = ExitCause::TooManyLines { lines };
        match self.phase {
            Phase::Running => Some(self.end(now, cause)),
            Phase::Draining { cut_at } if self.cause == ExitCause::Natural => {
                self.cause = cause;
                Some(self.end_rest(now, cut_at))
            }
            Phase::Cut if self.cause == ExitCause::Natural => {
                self.cause = cause;
                None
            }
            _ => None,
        }
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Action> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.phase {
            Phase::Running if due(self.timeout_at) => Some(self.end(now, ExitCause::TimedOut)),
            Phase::Running if due(self.silent_at) => Some(self.end(now, ExitCause::NoOutput)),
            Phase::Stopping { kill_at } if due(kill_at) => Some(self.kill(now)),
            Phase::Killed { force_at } if due(force_at) => {
                self.phase = Phase::Killed { force_at: None };
                Some(Action::Force)
            }
            Phase::Draining { cut_at } if due(cut_at) => {
                self.phase = Phase::Cut;
                Some(Action::Cut)
            }
            _ => None,
        }
    }

    /// Returns when [`Self::handle_timeout`] has something to do next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => earlier(self.timeout_at, self.silent_at),
            Phase::Stopping { kill_at } => kill_at,
            Phase::Killed { force_at } => force_at,
            Phase::Draining { cut_at } => cut_at,
            Phase::Cut => None,
        }
    }

    /// Returns who brought about the end.
    pub(super) fn cause(&self) -> ExitCause {
        self.cause
    }

    /// Asks for the end, unless there is no time to ask.
    fn end(&mut self, now: Instant, cause: ExitCause) -> Action {
        self.cause = cause;
        if self.kill_grace.is_zero() {
            return self.kill(now);
        }
        self.phase = Phase::Stopping { kill_at: now.checked_add(self.kill_grace) };
        Action::Terminate
    }

    fn kill(&mut self, now: Instant) -> Action {
        let force_at = self.kill_timeout.and_then(|timeout| now.checked_add(timeout));
        self.phase = Phase::Killed { force_at };
        Action::Kill
    }

    /// Asks those who are left behind a leader that has exited, who would be cut off at `cut_at`.
    fn end_rest(&mut self, now: Instant, cut_at: Option<Instant>) -> Action {
        let cut_at = earlier(cut_at, now.checked_add(self.kill_grace));
        self.phase = Phase::Draining { cut_at };
        if self.kill_grace.is_zero() { Action::Kill } else { Action::Terminate }
    }
}

/// Returns the earlier of two instants, where `None` never comes.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Returns the later of two instants, where `None` never comes.
fn later(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    Some(a?.max(b?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(now: Instant) -> Lifetime {
        let spec = ProcessSpec {
            timeout: Some(Duration::from_secs(100)),
            no_output_timeout: Some(Duration::from_secs(10)),
            ..ProcessSpec::new("true")
        };
        Lifetime::new(now, &spec)
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn output_puts_off_the_silence_but_not_the_timeout() {
        let start = Instant::now();
        let mut lifetime = lifetime(start);
        lifetime.handle_output(after(start, 9));
        assert_eq!(lifetime.handle_timeout(after(start, 10)), None);
        lifetime.handle_output(after(start, 95));
        assert_eq!(lifetime.poll_timeout(), Some(after(start, 100)));
        assert_eq!(lifetime.handle_timeout(after(start, 100)), Some(Action::Terminate));
        assert_eq!(lifetime.cause(), ExitCause::TimedOut);
    }

    #[test]
    fn force_follows_the_grace_once() {
        let start = Instant::now();
        let mut lifetime = lifetime(start);
        assert_eq!(lifetime.handle_timeout(after(start, 10)), Some(Action::Terminate));
        assert_eq!(lifetime.handle_timeout(after(start, 14)), None);
        assert_eq!(lifetime.handle_timeout(after(start, 15)), Some(Action::Kill));
        assert_eq!(lifetime.poll_timeout(), None);
        assert_eq!(lifetime.handle_timeout(after(start, 1000)), None);
    }

    #[test]
    fn without_a_grace_there_is_no_request() {
        let start = Instant::now();
        let spec = ProcessSpec { kill_grace: Duration::ZERO, ..ProcessSpec::new("true") };
        let mut lifetime = Lifetime::new(start, &spec);
        assert_eq!(lifetime.handle_stop(start), Some(Action::Kill));
        assert_eq!(lifetime.poll_timeout(), None);
        let mut lifetime = Lifetime::new(start, &spec);
        lifetime.handle_exit(start);
        assert_eq!(lifetime.handle_stop(start), Some(Action::Kill));
        assert_eq!(lifetime.handle_timeout(start), Some(Action::Cut));
    }

    #[test]
    fn force_follows_a_signal_that_need_not_end_a_process() {
        let start = Instant::now();
        let kill_signal = "INT".parse().unwrap();
        let spec =
            ProcessSpec { kill_signal, kill_grace: Duration::from_secs(1), ..ProcessSpec::new("true") };
        let mut lifetime = Lifetime::new(start, &spec);
        assert_eq!(lifetime.handle_stop(start), Some(Action::Terminate));
        assert_eq!(lifetime.handle_timeout(after(start, 1)), Some(Action::Kill));
        assert_eq!(lifetime.handle_timeout(after(start, 5)), None);
        assert_eq!(lifetime.handle_timeout(after(start, 6)), Some(Action::Force));
        assert_eq!(lifetime.poll_timeout(), None);
    }

    #[test]
    fn too_many_lines_end_a_process_that_runs_and_are_told_of_one_that_has_just_ended() {
        let start = Instant::now();
        let cause = ExitCause::TooManyLines { lines: 11 };
        let mut running = lifetime(start);
        assert_eq!(running.handle_too_many_lines(start, 11), Some(Action::Terminate));
        assert_eq!(running.handle_too_many_lines(start, 12), None);
        assert_eq!(running.cause(), cause);
        let mut ended = lifetime(start);
        ended.handle_exit(start);
        assert_eq!(ended.handle_too_many_lines(start, 11), Some(Action::Terminate));
        assert_eq!(ended.cause(), cause);
        let mut stopped = lifetime(start);
        stopped.handle_stop(start);
        assert_eq!(stopped.handle_too_many_lines(start, 11), None);
        assert_eq!(stopped.cause(), ExitCause::Stopped);
    }

    #[test]
    fn the_first_cause_stays() {
        let start = Instant::now();
        let mut lifetime = lifetime(start);
        assert_eq!(lifetime.handle_stop(start), Some(Action::Terminate));
        assert_eq!(lifetime.handle_stop(start), None);
        lifetime.handle_timeout(after(start, 100));
        assert_eq!(lifetime.cause(), ExitCause::Stopped);
    }

    #[test]
    fn the_limits_of_a_running_process_end_with_its_exit() {
        let start = Instant::now();
        let mut lifetime = lifetime(start);
        lifetime.handle_exit(after(start, 9));
        assert_eq!(lifetime.handle_timeout(after(start, 10)), None);
        assert_eq!(lifetime.handle_timeout(after(start, 11)), Some(Action::Cut));
        assert_eq!(lifetime.cause(), ExitCause::Natural);
    }

    #[test]
    fn those_left_behind_keep_the_grace_of_a_stop() {
        let start = Instant::now();
        let mut lifetime = lifetime(start);
        lifetime.handle_stop(start);
        lifetime.handle_exit(start);
        assert_eq!(lifetime.poll_timeout(), Some(after(start, 5)));
    }

    #[test]
    fn an_endless_limit_is_no_limit() {
        let spec = ProcessSpec { timeout: Some(Duration::MAX), ..ProcessSpec::new("true") };
        assert_eq!(Lifetime::new(Instant::now(), &spec).poll_timeout(), None);
    }
}
