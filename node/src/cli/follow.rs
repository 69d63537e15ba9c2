//! The events of one command, in order, over as many connections to the local node as it takes.

use std::time::Duration;

use tokio::time::Instant;

use super::api::{Event, Happening};
use super::client::{Client, ClientError, Lines};
use super::exit::{Exit, Failure};

/// One event, as it came and as it is understood.
#[derive(Debug)]
pub(super) struct EventLine {
    pub(super) raw: String,
    pub(super) what: Happening,
}

/// How far to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The command's outcome.
    Outcome,
    /// What is there now.
    Now,
}

/// Reads the events of a command.
pub(super) struct Follower<'a> {
    client: &'a Client,
    id: &'a str,
    until: Until,
    /// Number of the next event.
    next: u64,
    lines: Option<Lines>,
    /// When the connection was lost, until something comes again.
    lost_at: Option<Instant>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(client: &'a Client, id: &'a str, until: Until) -> Self {
        Self { client, id, until, next: 1, lines: None, lost_at: None }
    }

    /// Returns the next event, or `None` when all that was asked for has come. Nothing comes after the outcome.
    ///
    /// Cancel-safe: an event is returned or comes again.
    pub(super) async fn next(&mut self) -> Result<Option<EventLine>, Failure> {
        loop {
            match self.try_next().await {
                Ok(Some(raw)) => return self.take(raw).map(Some),
                Ok(None) if self.until == Until::Now => return Ok(None),
                Ok(None) => self.wait_for_node(None).await?,
                Err(error) if error.is_lost() => self.wait_for_node(Some(error)).await?,
                Err(error) if error.code() == Some("unknown-command") && self.next > 1 => {
                    let text = format!(
                        "the node was restarted and has forgotten {}: its outcome is unknown",
                        self.id
                    );
                    return Err(Failure::new(Exit::Unknown, text));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<String>, ClientError> {
        let lines = match &mut self.lines {
            Some(lines) => lines,
            None => {
                let follow = self.until == Until::Outcome;
                let path = format!("/v1/commands/{}/events?from={}&follow={follow}", self.id, self.next);
                self.lines.insert(self.client.lines(&path).await?)
            }
        };
        lines.next().await
    }

    fn take(&mut self, raw: String) -> Result<EventLine, Failure> {
        let event: Event = serde_json::from_str(&raw).map_err(ClientError::Malformed)?;
        self.lost_at = None;
        self.next = match (&event.what, event.n) {
            (Happening::Gap { to, .. }, _) => to + 1,
            (_, Some(n)) => n + 1,
            (_, None) => self.next,
        };
        Ok(EventLine { raw, what: event.what })
    }

    /// Waits a little before the next attempt, unless there were enough of them.
    async fn wait_for_node(&mut self, error: Option<ClientError>) -> Result<(), Failure> {
        self.lines = None;
        // Never connected: the node is not restarting, it is not there.
        if let Some(error) = error.filter(|_| self.next == 1) {
            return Err(error.into());
        }
        let lost_at = *self.lost_at.get_or_insert_with(Instant::now);
        if lost_at.elapsed() > LOST_MAX {
            let text = format!(
                "the node went away, and {} may go on without it; when the node is back: runnel attach {}",
                self.id, self.id
            );
            return Err(Failure::new(Exit::NoDaemon, text));
        }
        tokio::time::sleep(ATTEMPT_PAUSE).await;
        Ok(())
    }
}

/// How long a node may be away before we stop asking for it: a restart takes a second or two.
const LOST_MAX: Duration = Duration::from_secs(10);

/// Pause between attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);
