//! Watching a command to its end: its output live, Ctrl-C, a vanished terminal, a deadline that passed.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, Stderr, Stdout};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::exit::{Exit, Failure};
use super::outcome::{self, ExitFrom};
use super::patience::Patience;
use super::session::Session;
use super::signals::{Caught, Signals};
use runnel_client::api::{Found, Gap, Happening, Outcome, Output, Stream};
use runnel_client::{EventLine, Follower, Presence, Sign, Until};

/// A command that is watched.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    pub(super) session: &'a Session,
    pub(super) id: &'a str,
    pub(super) until: Until,
    pub(super) patience: Patience,
    pub(super) presence: Presence,
    pub(super) on_interrupt: OnInterrupt,
    pub(super) on_overdue: OnOverdue,
    pub(super) exit_from: ExitFrom,
    /// Where to tell what `fs.get` found.
    pub(super) found: Option<watch::Sender<Option<Found>>>,
}

/// What the first Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnInterrupt {
    /// It cancels the command.
    Cancel,
    /// It leaves the command alone.
    Leave,
}

/// What happens when the deadline has passed and nobody knows what became of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnOverdue {
    /// Wait a little for its outcome, then leave.
    Leave,
    /// Wait for its outcome.
    Wait,
}

impl Watch<'_> {
    /// Shows what happens until the end. `signals` have been caught since before the command was submitted.
    pub(super) async fn run(&self, signals: &mut Signals) -> Result<Exit, Failure> {
        tokio::select! {
            ending = self.show_all() => ending,
            exit = self.heed(signals) => Ok(exit),
        }
    }

    async fn show_all(&self) -> Result<Exit, Failure> {
        let mut follower = Follower::new(
            self.session.client.clone(),
            self.id.to_owned(),
            self.until,
            self.patience.reconnect,
            self.presence,
        );
        let mut screen = Screen::new();
        let mut leave_at = None;
        loop {
            let next = match leave_at {
                None => follower.next().await,
                Some(at) => match timeout_at(at, follower.next()).await {
                    Ok(next) => next,
                    Err(_) => return Err(self.overdue()),
                },
            };
            let EventLine { raw, what, .. } = match next? {
                Some(Sign::Event(event)) => event,
                Some(sign) => {
                    self.tell(&sign);
                    continue;
                }
                None => return Ok(Exit::Success),
            };
            if self.session.json {
                screen.write(Stream::Stdout, format!("{raw}\n").as_bytes()).await?;
            }
            match what {
                Happening::Output(output) if !self.session.json => screen.show(output).await?,
                Happening::Outcome { outcome } => return Ok(self.end(&outcome)),
                Happening::Found { found } => self.tell_found(found),
                Happening::Overdue if self.until == Until::Outcome => match self.on_overdue {
                    OnOverdue::Leave => leave_at = Some(Instant::now() + OVERDUE_PATIENCE),
                    OnOverdue::Wait => self
                        .session
                        .note(&format!("the deadline has passed; waiting for what became of {}", self.id)),
                },
                Happening::Gap(gap) if !self.session.json => self.session.note(&missing(gap)),
                Happening::Output(_)
                | Happening::Log(_)
                | Happening::Environment { .. }
                | Happening::Overdue
                | Happening::Gap(_)
                | Happening::Other => {}
            }
        }
    }

    fn tell(&self, sign: &Sign) {
        match sign {
            Sign::Away => {
                let patience = humantime::format_duration(self.patience.reconnect);
                self.session
                    .note(&format!("the node went away; waiting up to {patience} for it to come back"));
            }
            Sign::Back => self.session.note("the node is back"),
            Sign::Event(_) => {}
        }
    }

    fn tell_found(&self, found: Found) {
        if let Some(sender) = &self.found {
            // Who asked for it may have failed meanwhile, and says so.
            sender.send(Some(found)).ok();
        }
    }

    fn end(&self, outcome: &Outcome) -> Exit {
        let exit = outcome::exit_of(outcome, self.exit_from);
        let says_all = self.session.json || matches!(exit, Exit::Remote(_));
        if let Some(sentence) = outcome::sentence(outcome).filter(|_| !says_all) {
            self.session.note(&sentence);
        }
        exit
    }

    /// Waits for the signal that makes us leave; the first Ctrl-C may cancel instead.
    async fn heed(&self, signals: &mut Signals) -> Exit {
        let caught = signals.next().await;
        if caught != Caught::Interrupt || self.on_interrupt == OnInterrupt::Leave {
            return self.leave(caught);
        }
        self.session.note(&format!("cancelling {}; Ctrl-C again leaves at once", self.id));
        tokio::select! {
            caught = signals.next() => self.leave(caught),
            exit = self.cancel() => exit,
        }
    }

    /// Cancels, and then leaves the word to the outcome.
    async fn cancel(&self) -> Exit {
        let path = format!("/v1/commands/{}/cancel", self.id);
        if let Err(error) = self.session.client.tell(&path).await
            && error.code() != Some("ended")
        {
            self.session.note(&format!("it could not be cancelled: {error}"));
        }
        std::future::pending().await
    }

    pub(super) fn leave(&self, caught: Caught) -> Exit {
        if self.until == Until::Outcome {
            self.session.note(&format!(
                "detached; nothing is lost, {} goes on. Come back with: runnel attach {}",
                self.id, self.id
            ));
        }
        caught.exit()
    }

    fn overdue(&self) -> Failure {
        let text = format!(
            "still no outcome {OVERDUE_PATIENCE:?} after the deadline; to wait for it: runnel attach {}",
            self.id
        );
        Failure::new(Exit::Overdue, text)
    }
}

/// Says what is missing.
fn missing(gap: Gap) -> String {
    match gap {
        Gap { update_from: Some(from), update_to: Some(to), .. } => {
            format!("pieces {from} to {to} of the output are no longer kept")
        }
        Gap { from: Some(from), to: Some(to), .. } => {
            format!("events {from} to {to} are no longer kept: output may be missing here")
        }
        _ => "something is no longer kept: output may be missing here".to_owned(),
    }
}

/// Both outputs, without waiting for a slow reader on the thread that hears signals.
struct Screen {
    stdout: Stdout,
    stderr: Stderr,
}

impl Screen {
    fn new() -> Self {
        Self { stdout: tokio::io::stdout(), stderr: tokio::io::stderr() }
    }

    async fn show(&mut self, output: Output) -> Result<(), Failure> {
        let stream = output.stream;
        let octets = output.into_octets().ok_or_else(|| {
            Failure::new(Exit::Failed, "the node sent a piece of output that cannot be read")
        })?;
        self.write(stream, &octets).await
    }

    async fn write(&mut self, stream: Stream, octets: &[u8]) -> Result<(), Failure> {
        let written = match stream {
            Stream::Stdout => write(&mut self.stdout, octets).await,
            Stream::Stderr => write(&mut self.stderr, octets).await,
        };
        written.map_err(|error| Failure::of_output(&error))
    }
}

async fn write(output: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> std::io::Result<()> {
    output.write_all(octets).await?;
    output.flush().await
}

/// How long `run` waits for the outcome of an overdue command: the worker's kill grace of 5 s and a new link.
///
/// Lower, a program that takes its grace to end is left before it says so; higher, scripts wait for a node that is gone.
const OVERDUE_PATIENCE: Duration = Duration::from_secs(15);
