//! The events of one command, in order, over as many connections to the local node as it takes, and over its restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::time::Instant;

use super::api::{Event, Happening};
use super::client::{ClientError, Lines};
use super::exit::{Exit, Failure};
use super::session::Session;

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

/// How long to wait for a node that went away.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Patience {
    /// How long to wait for the local node if it goes away: a command that it has stored goes on when it is back.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    reconnect: Duration,
}

/// Whether the node was there a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It has just stored the command: if it is not there, it is being restarted.
    Seen,
    /// Nobody has asked it yet.
    Unknown,
}

/// Reads the events of a command.
pub(super) struct Follower<'a> {
    session: &'a Session,
    id: &'a str,
    until: Until,
    patience: Duration,
    presence: Presence,
    /// Number of the last update that came.
    update: u64,
    /// What is said once of a command and has been said.
    said: BTreeSet<String>,
    lines: Option<Lines>,
    /// When the connection was lost, until something comes again.
    lost_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Kind {
    event: String,
}

impl Default for Patience {
    fn default() -> Self {
        Self { reconnect: Duration::from_secs(60) }
    }
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        session: &'a Session,
        id: &'a str,
        until: Until,
        patience: Patience,
        presence: Presence,
    ) -> Self {
        Self {
            session,
            id,
            until,
            patience: patience.reconnect,
            presence,
            update: 0,
            said: BTreeSet::new(),
            lines: None,
            lost_at: None,
        }
    }

    /// Returns the next event, or `None` when all that was asked for has come. Nothing comes after the outcome.
    ///
    /// Cancel-safe: an event is returned or comes again.
    pub(super) async fn next(&mut self) -> Result<Option<EventLine>, Failure> {
        loop {
            match self.try_next().await {
                Ok(Some(raw)) => {
                    if let Some(event) = self.take(raw)? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) if self.until == Until::Now => return Ok(None),
                Ok(None) => self.wait_for_node(None).await?,
                Err(error) if error.is_lost() || error.code() == Some("stopping") => {
                    self.wait_for_node(Some(error)).await?;
                }
                Err(error) if error.code() == Some("unknown-command") && self.presence == Presence::Seen => {
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
                // From the beginning by event, so that a gap there is said; later by update, which outlives a restart.
                let begin = if self.said.is_empty() {
                    "from=1".to_owned()
                } else {
                    format!("after_update={}", self.update)
                };
                let path = format!("/v1/commands/{}/events?{begin}&follow={follow}", self.id);
                let lines = self.session.client.lines(&path).await?;
                self.presence = Presence::Seen;
                if self.lost_at.take().is_some() {
                    self.session.note("the node is back");
                }
                self.lines.insert(lines)
            }
        };
        lines.next().await
    }

    /// Returns an event, unless it is one that is said again after a reconnect.
    fn take(&mut self, raw: String) -> Result<Option<EventLine>, Failure> {
        let event: Event = serde_json::from_str(&raw).map_err(ClientError::Malformed)?;
        let is_new = match (&event.what, event.update) {
            (_, Some(update)) => {
                self.update = update;
                true
            }
            (Happening::Gap(_), None) => true,
            (_, None) => {
                let kind: Kind = serde_json::from_str(&raw).map_err(ClientError::Malformed)?;
                self.said.insert(kind.event)
            }
        };
        Ok(is_new.then_some(EventLine { raw, what: event.what }))
    }

    /// Waits a little before the next attempt, unless there were enough of them.
    async fn wait_for_node(&mut self, error: Option<ClientError>) -> Result<(), Failure> {
        self.lines = None;
        // Never seen: the node is not restarting, it is not there.
        if let Some(error) = error.filter(|_| self.presence == Presence::Unknown) {
            return Err(error.into());
        }
        if self.lost_at.is_none() {
            let patience = humantime::format_duration(self.patience);
            self.session.note(&format!("the node went away; waiting up to {patience} for it to come back"));
        }
        let lost_at = *self.lost_at.get_or_insert_with(Instant::now);
        if lost_at.elapsed() >= self.patience {
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

/// Pause between attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::super::api::Gap;
    use super::super::client::Client;
    use super::*;

    const ID: &str = "ctl.w1.9f86d081884c7d65.1";

    const STORED: &str = "{\"n\":1,\"event\":\"stored\"}\n";

    /// Answers one request with these lines and closes. Returns the request's first line.
    async fn answer(listener: &UnixListener, lines: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("{head}{lines}").as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
    }

    fn listen(folder: &Path) -> (Session, UnixListener) {
        let socket = folder.join("api.sock");
        (Session { client: Client::new(socket.clone()), json: false }, UnixListener::bind(socket).unwrap())
    }

    fn follower(session: &Session, until: Until) -> Follower<'_> {
        Follower::new(session, ID, until, Patience::default(), Presence::Unknown)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_goes_on_behind_the_last_update_and_says_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (session, listener) = listen(folder.path());
        let mut follower = follower(&session, Until::Outcome);
        let output = "{\"n\":2,\"event\":\"output\",\"update\":7,\"stream\":\"stdout\",\"text\":\"a\"}\n";
        let lines = format!("{STORED}{output}");
        let (first, asked) = tokio::join!(follower.next(), answer(&listener, &lines));
        assert!(asked.contains("?from=1&follow=true"), "{asked}");
        assert!(matches!(first.unwrap().unwrap().what, Happening::Other));
        assert!(matches!(follower.next().await.unwrap().unwrap().what, Happening::Output(_)));
        let gap = "{\"event\":\"gap\",\"update_from\":8,\"update_to\":9}\n";
        let outcome = "{\"n\":2,\"event\":\"outcome\",\"outcome\":{\"kind\":\"expired\"}}\n";
        let lines = format!("{STORED}{gap}{outcome}");
        let (next, asked) = tokio::join!(follower.next(), answer(&listener, &lines));
        assert!(asked.contains("?after_update=7&follow=true"), "{asked}");
        let gap = next.unwrap().unwrap().what;
        assert!(
            matches!(gap, Happening::Gap(Gap { update_from: Some(8), update_to: Some(9), .. })),
            "{gap:?}"
        );
        let last = follower.next().await.unwrap().unwrap();
        assert!(matches!(last.what, Happening::Outcome { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stays_away_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (session, listener) = listen(folder.path());
        let mut follower = follower(&session, Until::Outcome);
        let (first, _) = tokio::join!(follower.next(), answer(&listener, STORED));
        first.unwrap();
        drop(listener);
        let lost_at = Instant::now();
        let failure = follower.next().await.unwrap_err();
        assert!(lost_at.elapsed() >= Duration::from_secs(60), "it is waited for");
        assert_eq!(failure.exit(), Exit::NoDaemon);
        assert!(failure.line(false).is_some_and(|line| line.contains("runnel attach")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_never_there_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let session = Session { client: Client::new(folder.path().join("api.sock")), json: false };
        let started_at = Instant::now();
        let failure = follower(&session, Until::Outcome).next().await.unwrap_err();
        assert_eq!((failure.exit(), started_at.elapsed()), (Exit::NoDaemon, Duration::ZERO));
        let mut seen = Follower::new(&session, ID, Until::Outcome, Patience::default(), Presence::Seen);
        seen.next().await.unwrap_err();
        assert!(started_at.elapsed() >= Duration::from_secs(60), "one that has stored the command is");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_now_ends_with_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (session, listener) = listen(folder.path());
        let mut follower = follower(&session, Until::Now);
        let (first, asked) = tokio::join!(follower.next(), answer(&listener, STORED));
        assert!(asked.contains("follow=false"), "{asked}");
        first.unwrap();
        assert!(follower.next().await.unwrap().is_none());
    }
}
