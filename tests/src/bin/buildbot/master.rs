//! An unmodified master, which is given orders and tells what happens.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant as Deadline, timeout_at};

use crate::environment::{Environment, peer_folder, shared};
use crate::network::{Place, Ways};
use crate::program::Program;
use crate::told::{Build, Told};

/// A master at work.
pub(crate) struct Master {
    program: Program,
    folder: PathBuf,
    /// Where it waits for workers.
    pub(crate) address: SocketAddr,
    events: mpsc::UnboundedReceiver<(Instant, Told)>,
}

/// Nothing that was waited for has come in time, or the master has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InVain;

impl Master {
    /// Starts a master in a folder that is there, and waits until it listens.
    pub(crate) async fn start(
        environment: &Environment,
        ways: &Ways,
        folder: &Path,
        repository: &str,
        protocol: &str,
    ) -> Self {
        let mut command = Command::new(&environment.python);
        command.arg(shared("master.py")).arg(folder).arg(peer_folder());
        command.env("LISTEN", ways.master_address().to_string()).env("REPOSITORY", repository);
        // A master leaves the archive of a folder whose upload did not end in its temporary folder.
        command.env("PROTOCOL", protocol).env("TMPDIR", folder);
        let (program, stdout) = Program::start(ways, Place::Master, &mut command, &folder.join("master.err"));
        let (port, listening) = tokio::sync::oneshot::channel();
        // Unbounded: what a master tells in a run is bounded by its builders.
        let (events, received) = mpsc::unbounded_channel();
        let log = File::create(folder.join("master.log")).expect("a file to write to");
        tokio::spawn(read(stdout, log, port, events));
        let port = listening.await.expect("the master starts");
        let address = SocketAddr::new(ways.master_address(), port);
        Self { program, folder: folder.to_owned(), address, events: received }
    }

    /// Returns one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Orders a build.
    pub(crate) async fn order(&mut self, builder: &str) {
        self.say(&format!("BUILD {builder}\n")).await;
    }

    /// Orders the end of a builder's build.
    pub(crate) async fn order_stop(&mut self, builder: &str) {
        self.say(&format!("STOP {builder}\n")).await;
    }

    /// Has it read its configuration again, and waits until it has.
    pub(crate) async fn configure_anew(&mut self) -> Result<(), InVain> {
        self.program.signal(Signal::HUP);
        self.wait_for(STEP_WITHIN, |told| matches!(told, Told::Configured).then_some(())).await.map(|_| ())
    }

    /// Waits for the next builds, of any builder.
    pub(crate) async fn builds(&mut self, count: usize, within: Duration) -> Result<Vec<Build>, InVain> {
        let until = Deadline::now() + within;
        let mut builds = Vec::new();
        while builds.len() < count {
            let found = self.wait_for(until - Deadline::now(), |told| match told {
                Told::Build(build) => Some(build.clone()),
                _ => None,
            });
            builds.push(found.await?.1);
        }
        Ok(builds)
    }

    /// Waits until the worker is there.
    pub(crate) async fn attached(&mut self) -> Result<(), InVain> {
        self.wait_for(STEP_WITHIN, |told| matches!(told, Told::Attached).then_some(())).await.map(|_| ())
    }

    /// Waits until something has happened, and returns when that was. What happened before it is let go of.
    pub(crate) async fn wait_for<T>(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Told) -> Option<T>,
    ) -> Result<(Instant, T), InVain> {
        let until = Deadline::now() + within;
        loop {
            let event = timeout_at(until, self.events.recv()).await.map_err(|_| InVain)?;
            let (at, told) = event.ok_or(InVain)?;
            if let Some(found) = wanted(&told) {
                return Ok((at, found));
            }
        }
    }

    /// Returns what happened up to now and was not waited for.
    pub(crate) fn drain(&mut self) -> Vec<(Instant, Told)> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    pub(crate) async fn end(self) {
        self.program.end().await;
    }

    async fn say(&mut self, line: &str) {
        // A master that has ended is noticed by what it does not tell.
        self.program.stdin.write_all(line.as_bytes()).await.ok();
    }
}

/// Reads what a master says: into a file, and for the one who waits.
async fn read(
    stdout: ChildStdout,
    mut log: File,
    port: tokio::sync::oneshot::Sender<u16>,
    events: mpsc::UnboundedSender<(Instant, Told)>,
) {
    let (mut lines, mut port) = (BufReader::new(stdout).lines(), Some(port));
    while let Ok(Some(line)) = lines.next_line().await {
        writeln!(log, "{line}").ok();
        if let Some((_, told)) = line.split_once("TOLD ") {
            let told = serde_json::from_str(told).expect("it tells in JSON what is known here");
            events.send((Instant::now(), told)).ok();
        } else if line.contains("configuration update complete") {
            events.send((Instant::now(), Told::Configured)).ok();
        } else if let Some((_, rest)) = line.split_once("ServerFactory starting on ") {
            let listening = rest.parse().expect("a port");
            port.take().and_then(|port| port.send(listening).ok());
        }
    }
}

/// For what takes a moment.
const STEP_WITHIN: Duration = Duration::from_secs(60);
