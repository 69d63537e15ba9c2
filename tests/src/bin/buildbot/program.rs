//! A program beside this one, with what it says in a file.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::network::{Place, Ways};

/// A program at work. Most end when their standard input does; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) stdin: ChildStdin,
}

impl Program {
    /// Starts a program. What it says goes into a file, but its standard output comes back.
    pub(crate) fn start(ways: &Ways, place: Place, command: &mut Command, log: &Path) -> (Self, ChildStdout) {
        let log = File::options().create(true).append(true).open(log).expect("a file to write to");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        // For the one who asks what a program's environment is made of.
        command.env("MARK", "present");
        let mut child = ways.start(place, command).expect("a program that is there");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        (Self { child, stdin }, stdout)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may just have ended by itself.
        kill_process(self.pid(), signal).ok();
    }

    /// Kills it, as the system does when memory runs out.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Asks it to end, and kills it if it does not.
    pub(crate) async fn end(self) {
        let Self { mut child, stdin } = self;
        drop(stdin);
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
        if timeout(END_WITHIN, child.wait()).await.is_err() {
            child.kill().await.expect("it is our child");
        }
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("it was not waited for")
    }
}

/// A program that takes longer to end is killed.
const END_WITHIN: Duration = Duration::from_secs(15);
