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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    const ID: &str = "ctl.w1.9f86d081884c7d65.1";

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

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_goes_on_behind_the_last_event() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = Follower::new(&client, ID, Until::Outcome);
        let (first, asked) = tokio::join!(
            follower.next(),
            answer(&listener, "{\"n\":1,\"event\":\"stored\"}\n{\"event\":\"gap\",\"from\":2,\"to\":8}\n")
        );
        assert!(asked.contains("?from=1&follow=true"), "{asked}");
        assert!(matches!(first.unwrap().unwrap().what, Happening::Other));
        let gap = follower.next().await.unwrap().unwrap();
        assert!(matches!(gap.what, Happening::Gap { from: 2, to: 8 }));
        let outcome = "{\"n\":9,\"event\":\"outcome\",\"outcome\":{\"kind\":\"expired\"}}\n";
        let (last, asked) = tokio::join!(follower.next(), answer(&listener, outcome));
        assert!(asked.contains("?from=9&"), "{asked}");
        assert!(matches!(last.unwrap().unwrap().what, Happening::Outcome { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stays_away_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = Follower::new(&client, ID, Until::Outcome);
        let (first, _) = tokio::join!(follower.next(), answer(&listener, "{\"n\":1,\"event\":\"stored\"}\n"));
        first.unwrap();
        drop(listener);
        let failure = follower.next().await.unwrap_err();
        assert_eq!(failure.exit(), Exit::NoDaemon);
        assert!(failure.line(false).is_some_and(|line| line.contains("runnel attach")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_never_there_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(folder.path().join("api.sock"));
        let started_at = Instant::now();
        let failure = Follower::new(&client, ID, Until::Outcome).next().await.unwrap_err();
        assert_eq!((failure.exit(), started_at.elapsed()), (Exit::NoDaemon, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_now_ends_with_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (client, listener) = listen(folder.path());
        let mut follower = Follower::new(&client, ID, Until::Now);
        let (first, asked) =
            tokio::join!(follower.next(), answer(&listener, "{\"n\":1,\"event\":\"stored\"}\n"));
        assert!(asked.contains("follow=false"), "{asked}");
        first.unwrap();
        assert!(follower.next().await.unwrap().is_none());
    }
}
