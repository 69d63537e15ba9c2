//! A node's side of a supervised program: to follow it, to feed it, to end it.

mod line;
mod stdin;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use self::line::{Line, Phase};
pub use self::stdin::SupervisedStdin;
use super::error::SuperviseError;
use super::folder::Folder;
use super::message::{End, Request, Trimmed};
use super::remains::Session;
use super::spool::SpoolReader;
use crate::process::{ExitReason, Piece, ProcessSpec};

/// A supervised program, followed by this node.
///
/// Dropping it leaves the program to its supervisor. It starts no task: everything is driven by [`Self::next`] and
/// [`SupervisedStdin::write`].
#[derive(Debug)]
#[must_use = "dropping it leaves the program to its supervisor"]
pub struct Supervised {
    folder: Folder,
    trimmed: Trimmed,
    line: Arc<Line>,
    output: SpoolReader,
    /// The supervisor, if this node has started it: to be reaped once it has ended.
    supervisor: Option<Child>,
    /// The supervisor is dead, and so is what it left.
    is_buried: bool,
}

/// One thing that a supervised program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SupervisedEvent {
    /// There is a piece of what it brings forth.
    Output {
        /// Its place in the row of all output; the first is 1. The same for every node that reads it.
        number: u64,
        /// What it is.
        piece: Piece,
    },
    /// It has ended, and all of its output was returned.
    Exited(ExitReason),
}

impl Supervised {
    /// Follows a program by its supervisor, whose first word is waited for.
    pub(super) async fn open(
        folder: Folder,
        stream: UnixStream,
        supervisor: Option<Child>,
    ) -> Result<Self, SuperviseError> {
        let line = Line::open(stream);
        let greeted = timeout(ANSWER_TIMEOUT, line.wait_for(|seen| seen.state.is_some())).await;
        let seen = greeted.map_err(|_| SuperviseError::NotReady { folder: folder.path().to_owned() })?;
        // One that dies before its first word is a dead one.
        let trimmed = seen.state.map_or_else(|| folder.trimmed(), |state| Ok(state.trimmed))?;
        Ok(Self::new(folder, line, trimmed, supervisor))
    }

    /// Follows what a dead supervisor left.
    pub(super) fn dead(folder: Folder) -> Result<Self, SuperviseError> {
        let trimmed = folder.trimmed()?;
        Ok(Self::new(folder, Line::dead(), trimmed, None))
    }

    fn new(folder: Folder, line: Line, trimmed: Trimmed, supervisor: Option<Child>) -> Self {
        let output = SpoolReader::new(folder.path(), trimmed.number + 1);
        Self { trimmed, folder, line: Arc::new(line), output, supervisor, is_buried: false }
    }

    /// Waits for the next event: output in order, then, again and again, [`SupervisedEvent::Exited`].
    ///
    /// # Errors
    ///
    /// [`SuperviseError::NotStarted`] when the program could not be started, [`SuperviseError::Lost`] when its supervisor
    /// died before it; what was left of it is killed then. Both follow the last output. For the others see
    /// [`SuperviseError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: a dropped call has taken no event.
    pub async fn next(&mut self) -> Result<SupervisedEvent, SuperviseError> {
        loop {
            let seen = self.line.seen();
            let (written, end) = match seen.phase {
                Phase::Open => {
                    seen.state.as_ref().map_or((0, None), |state| (state.written, state.end.clone()))
                }
                Phase::Replaced => return Err(SuperviseError::Replaced),
                Phase::Settled => return Err(SuperviseError::Gone),
                Phase::Lost => {
                    self.bury().await?;
                    // Without an end, whatever is whole was written.
                    self.folder.end()?.map_or((u64::MAX, None), |state| (state.written, state.end))
                }
            };
            if self.output.next() <= written
                && let Some(record) = self.output.read().await?
            {
                return Ok(SupervisedEvent::Output { number: record.number, piece: record.piece });
            }
            match end {
                Some(End::Exited(reason)) => return Ok(SupervisedEvent::Exited(reason)),
                Some(End::NotStarted(message)) => return Err(SuperviseError::NotStarted { message }),
                None if seen.phase == Phase::Lost => return Err(SuperviseError::Lost),
                None => {
                    self.line.wait_for(|now| *now != seen).await;
                }
            }
        }
    }

    /// Returns how much of the output was let go of when this node began to follow the program: it reads what comes behind.
    pub fn trimmed(&self) -> Trimmed {
        self.trimmed
    }

    /// Returns how long the program may take to end once it is stopped: then it is killed. As if nothing else was said of
    /// it where that cannot be found out.
    pub fn stop_time(&self) -> Duration {
        let plan = self.folder.plan().ok().flatten();
        plan.map_or(ProcessSpec::DEFAULT_KILL_GRACE, |plan| plan.spec().stop_time())
    }

    /// Returns the writing end of the program's standard input.
    pub fn stdin(&self) -> SupervisedStdin {
        SupervisedStdin::new(self.line.clone())
    }

    /// Asks the program to end; its supervisor ends it by force after its `kill_grace`.
    pub fn stop(&self) {
        self.line.ask(&Request::Stop);
    }

    /// Lets go of output, for this node and all that follow it.
    pub fn trim(&self, trimmed: Trimmed) {
        self.line.ask(&Request::Trim(trimmed));
    }

    /// Lets go of everything: kills the program if it still runs, and removes its folder with its result.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Replaced`] when another node follows the program; otherwise when the folder cannot be removed.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been let go of if the future is dropped; it can be asked for again.
    pub async fn settle(mut self) -> Result<(), SuperviseError> {
        self.line.ask(&Request::Settle);
        let settled = timeout(ANSWER_TIMEOUT, self.line.wait_for(|_| false)).await;
        let phase = settled.map(|seen| seen.phase);
        match phase {
            Ok(Phase::Replaced) => return Err(SuperviseError::Replaced),
            Ok(Phase::Settled) => {}
            Ok(Phase::Lost) => match self.bury().await {
                // One that nobody asked for goes by itself.
                Ok(()) | Err(SuperviseError::Gone) => self.folder.remove()?,
                Err(error) => return Err(error),
            },
            Ok(Phase::Open) | Err(_) => {
                return Err(SuperviseError::NotReady { folder: self.folder.path().to_owned() });
            }
        }
        if let Some(mut supervisor) = self.supervisor.take() {
            timeout(ANSWER_TIMEOUT, supervisor.wait()).await.ok();
        }
        Ok(())
    }

    /// Makes sure that the supervisor is dead, and kills what it left running.
    async fn bury(&mut self) -> Result<(), SuperviseError> {
        let until = Instant::now() + ANSWER_TIMEOUT;
        while !self.is_buried {
            if let Some(_lock) = self.folder.lock()? {
                self.kill_remains().await?;
                self.is_buried = true;
                break;
            }
            // It has hung up and not let go of its lock: it is about to end, or does not do what it should.
            if Instant::now() >= until {
                return Err(SuperviseError::NotReady { folder: self.folder.path().to_owned() });
            }
            sleep(LOOK_DELAY).await;
        }
        Ok(())
    }

    async fn kill_remains(&mut self) -> Result<(), SuperviseError> {
        let sessions = [self.folder.started()?, self.folder.session()?];
        let kill = move || sessions.iter().flatten().map(Session::kill).sum::<usize>();
        let killed = tokio::task::spawn_blocking(kill).await.unwrap_or_default();
        if killed > 0 {
            tracing::warn!(folder = %self.folder.path().display(), killed, "killed what a dead supervisor left running");
        }
        Ok(())
    }
}

/// Longest wait for a supervisor that is there. It answers at once unless the machine is overloaded.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// From one look to the next at what changes without a sign.
pub(super) const LOOK_DELAY: Duration = Duration::from_millis(10);
