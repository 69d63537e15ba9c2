//! The events of one command, in order, over as many connections to the local node as it takes, and over its restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::api::{Event, Happening};
use crate::client::{Client, Lines};
use crate::error::ClientError;

/// One event, as it came and as it is understood.
#[derive(Debug)]
pub struct EventLine {
    /// The line, without its end.
    pub raw: String,
    /// Its number among the updates, which outlives a restart of the node, if it is one.
    pub update: Option<u64>,
    /// What happened.
    pub what: Happening,
}

/// What a follower tells.
#[derive(Debug)]
pub enum Sign {
    /// An event of the command.
    Event(EventLine),
    /// The node went away. It is waited for, as long as the follower's patience.
    Away,
    /// The node is back.
    Back,
}

/// How far to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The command's outcome.
    Outcome,
    /// What is there now.
    Now,
}

/// Whether the node was there a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has just stored the command: if it is not there, it is being restarted.
    Seen,
    /// Nobody has asked it yet.
    Unknown,
}

/// Why a command cannot be followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The node says no, or what it says is not understood.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It was kept in memory, and the node was restarted.
    #[error("the node was restarted and has forgotten {id}: its outcome is unknown")]
    Forgotten {
        /// The command.
        id: String,
    },
    /// The node did not come back in time. What it has stored goes on when it does.
    #[error("the node went away, and {id} may go on without it")]
    GivenUp {
        /// The command.
        id: String,
    },
}

/// Reads the events of a command, each once.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    id: String,
    until: Until,
    patience: Duration,
    presence: Presence,
    /// What is not read holds the command back.
    holds: bool,
    /// Number of the last update that came.
    update: u64,
    /// What is said once of a command and has been said.
    said: BTreeSet<String>,
    lines: Option<Lines>,
    /// When the connection was lost, until something comes again.
    lost_at: Option<Instant>,
    /// What is to be told next.
    sign: Option<Sign>,
}

#[derive(Deserialize)]
struct Kind {
    event: String,
}

impl Follower {
    /// Reads the events of `id` from the first on. Once the node was seen and goes away, it is waited for as long as
    /// `patience`.
    pub fn new(client: Client, id: String, until: Until, patience: Duration, presence: Presence) -> Self {
        Self {
            client,
            id,
            until,
            patience,
            presence,
            holds: false,
            update: 0,
            said: BTreeSet::new(),
            lines: None,
            lost_at: None,
            sign: None,
        }
    }

    /// Has the command be held back by what is not read, for as long as it takes.
    #[must_use]
    pub fn holding(self) -> Self {
        Self { holds: true, ..self }
    }

    /// Begins behind this update, as one that has all up to it. Nothing changes with 0.
    #[must_use]
    pub fn after(self, update: u64) -> Self {
        Self { update, ..self }
    }

    /// Returns what comes next, or `None` when all that was asked for has come. Nothing comes after the outcome.
    ///
    /// # Errors
    ///
    /// See [`FollowError`].
    ///
    /// # Cancel safety
    ///
    /// An event is returned or comes again.
    pub async fn next(&mut self) -> Result<Option<Sign>, FollowError> {
        loop {
            if let Some(sign) = self.sign.take() {
                return Ok(Some(sign));
            }
            let read = match &mut self.lines {
                Some(lines) => lines.next().await,
                None => match self.connect().await {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(Some(raw)) => {
                    if let Some(event) = self.take(raw)? {
                        return Ok(Some(Sign::Event(event)));
                    }
                }
                Ok(None) if self.until == Until::Now => return Ok(None),
                Ok(None) => self.wait_for_node(None).await?,
                Err(error) if error.is_lost() || error.code() == Some("stopping") => {
                    self.wait_for_node(Some(error)).await?;
                }
                Err(error) if error.code() == Some("unknown-command") && self.presence == Presence::Seen => {
                    return Err(FollowError::Forgotten { id: self.id.clone() });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        self.lines = Some(self.client.lines(&self.path()).await?);
        self.presence = Presence::Seen;
        self.sign = self.lost_at.take().map(|_| Sign::Back);
        Ok(())
    }

    fn path(&self) -> String {
        let follow = self.until == Until::Outcome;
        // From the beginning by event, so that a gap there is said; later by update, which outlives a restart.
        let is_first = self.said.is_empty() && self.update == 0;
        let begin = if is_first { "from=1".to_owned() } else { format!("after_update={}", self.update) };
        let hold = if self.holds { "&hold=true" } else { "" };
        format!("/v1/commands/{}/events?{begin}&follow={follow}{hold}", self.id)
    }

    /// Returns an event, unless it is one that is said again after a reconnect.
    fn take(&mut self, raw: String) -> Result<Option<EventLine>, ClientError> {
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
        Ok(is_new.then_some(EventLine { raw, update: event.update, what: event.what }))
    }

    /// Waits a little before the next attempt, unless there were enough of them. The first time it says so before.
    async fn wait_for_node(&mut self, error: Option<ClientError>) -> Result<(), FollowError> {
        self.lines = None;
        // Never seen: the node is not restarting, it is not there.
        if let Some(error) = error.filter(|_| self.presence == Presence::Unknown) {
            return Err(error.into());
        }
        let Some(lost_at) = self.lost_at else {
            self.lost_at = Some(Instant::now());
            self.sign = Some(Sign::Away);
            return Ok(());
        };
        if lost_at.elapsed() >= self.patience {
            return Err(FollowError::GivenUp { id: self.id.clone() });
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

    use super::*;
    use crate::api::Gap;

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

    fn listen(folder: &Path) -> (Client, UnixListener) {
        let socket = folder.join("api.sock");
        (Client::new(socket.clone()), UnixListener::bind(socket).unwrap())
    }

    fn follower(client: Client, until: Until, presence: Presence) -> Follower {
        Follower::new(client, ID.to_owned(), until, Duration::from_secs(60), presence)
    }

    /// Returns the next event. Signs of the node itself are passed over.
    async fn event(follower: &mut Follower) -> EventLine {
        loop {
            if let Sign::Event(event) = follower.next().await.unwrap().expect("something comes") {
                return event;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_goes_on_behind_the_last_update_and_says_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = follower(client, Until::Outcome, Presence::Unknown);
        let output = "{\"n\":2,\"event\":\"output\",\"update\":7,\"stream\":\"stdout\",\"text\":\"a\"}\n";
        let lines = format!("{STORED}{output}");
        let (first, asked) = tokio::join!(event(&mut follower), answer(&listener, &lines));
        assert!(asked.contains("?from=1&follow=true"), "{asked}");
        assert!(matches!(first.what, Happening::Other));
        assert!(matches!(event(&mut follower).await.what, Happening::Output(_)));
        assert!(matches!(follower.next().await.unwrap(), Some(Sign::Away)));
        let gap = "{\"event\":\"gap\",\"update_from\":8,\"update_to\":9}\n";
        let outcome = "{\"n\":2,\"event\":\"outcome\",\"outcome\":{\"kind\":\"expired\"}}\n";
        let lines = format!("{STORED}{gap}{outcome}");
        let (next, asked) = tokio::join!(event(&mut follower), answer(&listener, &lines));
        assert!(asked.contains("?after_update=7&follow=true"), "{asked}");
        let gap = next.what;
        assert!(
            matches!(gap, Happening::Gap(Gap { update_from: Some(8), update_to: Some(9), .. })),
            "{gap:?}"
        );
        assert!(matches!(event(&mut follower).await.what, Happening::Outcome { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_comes_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = follower(client, Until::Outcome, Presence::Unknown);
        let (first, _) = tokio::join!(event(&mut follower), answer(&listener, STORED));
        assert!(matches!(first.what, Happening::Other));
        assert!(matches!(follower.next().await.unwrap(), Some(Sign::Away)));
        let outcome = "{\"n\":2,\"event\":\"outcome\",\"outcome\":{\"kind\":\"expired\"}}\n";
        let (back, _) = tokio::join!(follower.next(), answer(&listener, outcome));
        assert!(matches!(back.unwrap(), Some(Sign::Back)));
        assert!(matches!(event(&mut follower).await.what, Happening::Outcome { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stays_away_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = follower(client, Until::Outcome, Presence::Unknown);
        tokio::join!(event(&mut follower), answer(&listener, STORED));
        drop(listener);
        let lost_at = Instant::now();
        assert!(matches!(follower.next().await.unwrap(), Some(Sign::Away)));
        assert!(matches!(follower.next().await, Err(FollowError::GivenUp { .. })));
        assert!(lost_at.elapsed() >= Duration::from_secs(60), "it is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_never_there_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(folder.path().join("api.sock"));
        let started_at = Instant::now();
        let mut unseen = follower(client.clone(), Until::Outcome, Presence::Unknown);
        let error = unseen.next().await.unwrap_err();
        assert!(matches!(error, FollowError::Client(ClientError::NoDaemon { .. })), "{error:?}");
        assert_eq!(started_at.elapsed(), Duration::ZERO);
        let mut seen = follower(client, Until::Outcome, Presence::Seen);
        assert!(matches!(seen.next().await.unwrap(), Some(Sign::Away)));
        seen.next().await.unwrap_err();
        assert!(started_at.elapsed() >= Duration::from_secs(60), "one that has stored the command is");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_some_updates_asks_for_what_is_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = follower(client, Until::Outcome, Presence::Unknown).after(7);
        let (_, asked) = tokio::join!(event(&mut follower), answer(&listener, STORED));
        assert!(asked.contains("?after_update=7&follow=true"), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_now_ends_with_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = follower(client, Until::Now, Presence::Unknown);
        let (first, asked) = tokio::join!(follower.next(), answer(&listener, STORED));
        assert!(asked.contains("follow=false"), "{asked}");
        first.unwrap();
        assert!(follower.next().await.unwrap().is_none());
    }
}
