//! The supervisor's own process: one program, run to its end, and kept until a node has no more need of it.
//!
//! It holds the program's pipes, writes output into the spool, takes input and requests from the one node that is
//! connected, and keeps how the program ended. Nodes come and go. Start at [`run`].

mod connection;
mod input;

use std::future::pending;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use self::connection::{Connection, exchange};
use self::input::Input;
use super::error::SuperviseError;
use super::folder::{Folder, Lock, SOCKET};
use super::message::{End, Notice, Request, State, Trimmed};
use super::plan::Plan;
use super::remains::Session;
use super::spool::SpoolWriter;
use crate::process::{Piece, Process, ProcessEvent};

/// Supervises the program that a node has planned in `folder`: what `runnel supervise FOLDER` does, and what the program
/// of an application that embeds a node does when it is called as the
/// [supervisor](super::Supervision::new).
///
/// To be called first thing in a process of its own, which it makes the leader of a session and moves into the folder.
/// Returns once the program is settled, or at once if there is nothing to do: another supervisor is at work, or the
/// program was started before. Says `ready` on standard output as soon as nodes can connect.
///
/// # Errors
///
/// See [`SuperviseError`]. That the program cannot be started is no error: the node is told.
///
/// # Cancel safety
///
/// If the future is dropped, the program is killed.
pub async fn run(folder: &Path) -> Result<(), SuperviseError> {
    let folder = Folder::new(std::path::absolute(folder).map_err(SuperviseError::io(folder))?);
    let lock = match folder.lock() {
        Ok(Some(lock)) => lock,
        Ok(None) | Err(SuperviseError::Gone) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(plan) = folder.plan()? else { return Ok(()) };
    if folder.started()?.is_some() {
        return Ok(());
    }
    let session = Session::lead();
    let listener = listen(&folder)?;
    let signals = Signals::new().map_err(SuperviseError::io(folder.path()))?;
    folder.write_started(&session)?;
    let supervisor = Supervisor::new(folder, lock, &plan, listener, signals);
    // Nobody may be left to hear it.
    io::stdout().write_all(b"ready\n").and_then(|()| io::stdout().flush()).ok();
    supervisor.run().await
}

/// Listens in the folder. A path from there is short enough for a socket wherever the folder is.
fn listen(folder: &Folder) -> Result<UnixListener, SuperviseError> {
    std::env::set_current_dir(folder.path()).map_err(SuperviseError::io(folder.path()))?;
    // One that died before its program's start may have left its socket.
    std::fs::remove_file(SOCKET).ok();
    UnixListener::bind(SOCKET).map_err(SuperviseError::io(&folder.socket()))
}

struct Supervisor {
    folder: Folder,
    _lock: Lock,
    listener: UnixListener,
    signals: Signals,
    connection: Option<Connection>,
    /// `None` once it has ended.
    process: Option<Process>,
    input: Input,
    spool: SpoolWriter,
    trimmed: Trimmed,
    /// Output that the disk did not take.
    refused: Option<Piece>,
    end: Option<End>,
    is_end_kept: bool,
    /// When what the disk did not take is tried again.
    retry_at: Option<Instant>,
    absence_timeout: Duration,
    /// When nobody will have asked for too long.
    absent_at: Option<Instant>,
    folder_check_interval: Duration,
    /// When to look whether the folder is still there.
    folder_check_at: Option<Instant>,
}

/// What the supervisor woke up for.
enum Happened {
    Connected(UnixStream),
    Exchanged(io::Result<bool>),
    Told(ProcessEvent),
    Fed,
    Signalled,
    RetryDue,
    Absent,
    FolderCheckDue,
}

/// Whether the supervisor goes on.
enum Next {
    GoOn,
    /// With the folder.
    Leave,
    /// There is no folder any more; should another have its name by now, it is not ours.
    LeaveAlone,
}

impl Supervisor {
    fn new(folder: Folder, lock: Lock, plan: &Plan, listener: UnixListener, signals: Signals) -> Self {
        let (mut process, end) = match Process::spawn(&plan.spec()) {
            Ok(process) => (Some(process), None),
            Err(error) => (None, Some(End::NotStarted(whole_story(&error)))),
        };
        if let Some(id) = process.as_ref().filter(|_| plan.spec().has_terminal).and_then(Process::id) {
            keep_session(&folder, id);
        }
        let absence_timeout = plan.absence_timeout();
        let folder_check_interval = plan.folder_check_interval().max(FOLDER_CHECK_INTERVAL_MIN);
        Self {
            spool: SpoolWriter::new(folder.path(), plan.spool_bytes_max()),
            input: Input::new(process.as_mut().and_then(Process::take_stdin)),
            trimmed: Trimmed::default(),
            folder,
            _lock: lock,
            listener,
            signals,
            connection: None,
            process,
            refused: None,
            is_end_kept: false,
            retry_at: end.is_some().then(Instant::now),
            end,
            absence_timeout,
            absent_at: Instant::now().checked_add(absence_timeout),
            folder_check_interval,
            folder_check_at: Instant::now().checked_add(folder_check_interval),
        }
    }

    async fn run(mut self) -> Result<(), SuperviseError> {
        loop {
            let state = self.state();
            if let Some(connection) = &mut self.connection {
                connection.tell(&state);
            }
            let happened = self.wait().await;
            match self.handle(happened).await {
                Next::GoOn => {}
                Next::Leave => break,
                Next::LeaveAlone => {
                    self.process = None;
                    return Ok(());
                }
            }
        }
        // Whatever still runs is killed before the folder goes.
        self.process = None;
        self.folder.remove()?;
        if let Some(connection) = self.connection.take() {
            connection.close(&Notice::Settled).await;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Happened {
        let is_full = self.refused.is_some() || self.spool.is_full();
        let absent_at = self.absent_at.filter(|_| self.connection.is_none());
        tokio::select! {
            biased;
            Ok((stream, _)) = self.listener.accept() => Happened::Connected(stream),
            exchanged = exchange(&mut self.connection) => Happened::Exchanged(exchanged),
            () = self.signals.recv() => Happened::Signalled,
            () = until(self.retry_at) => Happened::RetryDue,
            () = until(absent_at) => Happened::Absent,
            () = until(self.folder_check_at) => Happened::FolderCheckDue,
            // Before the output: a program that always has something to say must get its input all the same.
            () = self.input.feed() => Happened::Fed,
            event = next_event(&mut self.process, is_full, self.refused.is_some()) => Happened::Told(event),
        }
    }

    async fn handle(&mut self, happened: Happened) -> Next {
        match happened {
            Happened::Connected(stream) => self.replace(stream).await,
            Happened::Exchanged(Ok(true)) => return self.handle_requests(),
            Happened::Exchanged(Ok(false) | Err(_)) => self.disconnect(),
            Happened::Told(ProcessEvent::Output(piece)) => {
                self.refused = Some(piece);
                self.store();
            }
            Happened::Told(ProcessEvent::Exited(reason)) => {
                self.process = None;
                self.input.close();
                self.end = Some(End::Exited(reason));
                self.store();
            }
            Happened::Fed => {}
            Happened::Signalled => {
                info!("told to end: the program is stopped");
                self.stop();
            }
            Happened::RetryDue => self.store(),
            Happened::Absent => {
                warn!("no node has asked for the program for too long");
                return Next::Leave;
            }
            Happened::FolderCheckDue if Folder::is_gone_from_here() => {
                warn!("the folder was removed: the program is killed");
                return Next::LeaveAlone;
            }
            Happened::FolderCheckDue => {
                self.folder_check_at = Instant::now().checked_add(self.folder_check_interval);
            }
        }
        Next::GoOn
    }

    fn handle_requests(&mut self) -> Next {
        loop {
            let Some(connection) = &mut self.connection else { return Next::GoOn };
            match connection.next_request() {
                Ok(Some(Request::Stdin { offset, bytes })) => self.input.take(offset, bytes.into()),
                Ok(Some(Request::StdinEnd { .. })) => self.input.end(),
                Ok(Some(Request::Stop)) => self.stop(),
                Ok(Some(Request::Trim(trimmed))) => self.trim(trimmed),
                Ok(Some(Request::Settle)) => return Next::Leave,
                Ok(None) => return Next::GoOn,
                Err(error) => {
                    warn!(%error, "a node that is not understood is let go of");
                    self.disconnect();
                }
            }
        }
    }

    /// Puts what the disk has not taken there, and how the program ended behind it.
    fn store(&mut self) {
        let result = self.try_store();
        if let Err(error) = &result {
            warn!(error = whole_story(error), "the program waits for room on the disk");
        }
        self.retry_at = result.is_err().then(|| Instant::now() + RETRY_DELAY);
    }

    fn try_store(&mut self) -> Result<(), SuperviseError> {
        if let Some(piece) = &self.refused {
            self.spool.append(piece).map_err(SuperviseError::io(self.folder.path()))?;
            self.refused = None;
        }
        if self.end.is_some() && !self.is_end_kept {
            self.spool.sync().map_err(SuperviseError::io(self.folder.path()))?;
            let state = State { end: self.end.clone(), ..self.state() };
            self.folder.write_end(&state)?;
            self.is_end_kept = true;
        }
        Ok(())
    }

    fn trim(&mut self, trimmed: Trimmed) {
        if trimmed.number <= self.trimmed.number {
            return;
        }
        self.trimmed = trimmed;
        if let Err(error) = self.try_trim() {
            warn!(error = whole_story(&error), "output that is not needed could not be removed");
        }
    }

    /// What was let go of is kept before it goes: who reads what is left must know where that begins.
    fn try_trim(&mut self) -> Result<(), SuperviseError> {
        if self.spool.may_trim(self.trimmed.number) {
            self.folder.write_trimmed(&self.trimmed)?;
            self.spool.trim(self.trimmed.number).map_err(SuperviseError::io(self.folder.path()))?;
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.stop();
        }
    }

    async fn replace(&mut self, stream: UnixStream) {
        if let Some(older) = self.connection.replace(Connection::new(stream)) {
            older.close(&Notice::Replaced).await;
        }
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.absent_at = Instant::now().checked_add(self.absence_timeout);
    }

    fn state(&self) -> State {
        State {
            written: self.spool.written(),
            trimmed: self.trimmed,
            stdin_taken: self.input.taken(),
            stdin_written: self.input.written(),
            is_stdin_closed: self.input.is_closed(),
            end: self.end.clone().filter(|_| self.is_end_kept),
        }
    }
}

/// Keeps which session the program leads, for whoever finds it should this process be killed.
fn keep_session(folder: &Folder, leader: i32) {
    let Some(session) = Session::of(leader) else { return };
    if let Err(error) = folder.write_session(&session) {
        warn!(
            error = whole_story(&error),
            "should this supervisor be killed, its program is left with its terminal's end"
        );
    }
}

/// Waits for what the program does next. Its output waits in its pipes while there is no room; what an ending program
/// has left there is taken all the same, for it is bounded.
async fn next_event(process: &mut Option<Process>, is_full: bool, has_refused: bool) -> ProcessEvent {
    let Some(process) = process else { return pending().await };
    if is_full {
        process.hold().await;
    }
    if has_refused {
        return pending().await;
    }
    match process.next().await {
        Some(event) => event,
        None => pending().await,
    }
}

/// Signals that end other programs.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until this process is told to end. A terminal that goes is no reason to.
    async fn recv(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {}
            }
        }
    }
}

/// Returns what an error says, with what lies behind it.
fn whole_story(error: &dyn std::error::Error) -> String {
    let mut story = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        story.push_str(": ");
        story.push_str(&cause.to_string());
        source = cause.source();
    }
    story
}

/// Waits for an instant, where `None` never comes.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Less would be nothing but checks.
const FOLDER_CHECK_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// From one try to the next while the disk is full.
const RETRY_DELAY: Duration = Duration::from_secs(1);
