//! The process group of one child: the only place that sends signals.
//!
//! The leader is not reaped before the group has been killed. As long as it is a zombie the system cannot
//! give its id away, so no signal ever reaches a stranger.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use tokio::process::Child;

use super::event::ExitStatus;
use super::signal::EndSignal;

/// A group whose leader is our child. Dropping it kills every process in it.
#[derive(Debug)]
#[must_use]
pub(super) struct Group {
    /// `None` once the leader may have been reaped and the number may belong to somebody else.
    leader: Option<Pid>,
}

impl Group {
    /// Takes charge of the group that `child`, just started, leads.
    pub(super) fn of(child: &Child) -> io::Result<Self> {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        leader.map(|leader| Self { leader: Some(leader) }).ok_or(io::ErrorKind::Unsupported.into())
    }

    /// Sends a signal to every process of the group.
    pub(super) fn end(&self, signal: EndSignal) {
        self.signal(signal.signal());
    }

    /// Ends every process of the group.
    pub(super) fn kill(&self) {
        self.end(EndSignal::KILL);
    }

    /// Ends every process of the group, for the last time: from now on the leader may be reaped.
    pub(super) fn release(&mut self) {
        self.kill();
        self.leader = None;
    }

    /// Returns how the leader ended, or `None` while it runs. Does not reap it.
    pub(super) fn leader_status(&self) -> Option<ExitStatus> {
        let leader = self.leader?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(leader), options) {
            Ok(status) => status.map(|status| exit_status(&status)),
            Err(Errno::INTR) => None,
            Err(_) => Some(ExitStatus::Lost),
        }
    }

    /// Returns the leader's process id, which is also the group's.
    pub(super) fn id(&self) -> Option<i32> {
        self.leader.map(Pid::as_raw_pid)
    }

    fn signal(&self, signal: Signal) {
        let Some(leader) = self.leader else { return };
        if let Err(error) = kill_process_group(leader, signal) {
            tracing::debug!(leader = leader.as_raw_pid(), ?signal, %error, "process group took no signal");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Lost,
    }
}
