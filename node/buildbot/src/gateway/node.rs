//! A node as the gateway uses it: commands that are submitted to the local node, followed and cancelled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runnel_client::api::{CommandInfo, Happening, LocalNode, Outcome, Stored};
use runnel_client::{Client, ClientError, Follower, Presence, Sign, Until};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;

/// One node of the fleet.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) client: Client,
    pub(super) name: String,
    /// The beginning of the keys of this gateway's commands for this node: what has such a key and is not followed was
    /// left behind.
    key_prefix: String,
    /// Tells this process from earlier ones.
    boot: u64,
    commands: AtomicU64,
    /// How long the local node may be away.
    patience: Duration,
    interrupt_patience: Duration,
}

/// A command that is to be submitted.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) command: &'static str,
    pub(super) args: Value,
    pub(super) class: Class,
    pub(super) body: Body,
    /// What people see of it, if its arguments are not for them.
    pub(super) summary: Option<String>,
}

/// How urgent a command is, beside others of the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Questions and small changes.
    High,
    /// Programs.
    Normal,
    /// Transfers.
    Bulk,
}

/// Where a command's body comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// It was left at the local node under this name.
    Left(String),
    /// It will be sent.
    Follows,
}

/// Who wants a command to end before its time.
#[derive(Clone, Debug, Default)]
pub(super) struct Halt {
    /// The master has interrupted it.
    pub(super) interrupted: CancellationToken,
    /// The session is over.
    pub(super) lost: CancellationToken,
}

/// The events of one command.
#[derive(Debug)]
pub(super) struct Events<'a> {
    node: &'a Node,
    id: String,
    halt: &'a Halt,
    follower: Follower,
    /// How long it may take to end once it was interrupted.
    patience: Duration,
    /// It was interrupted, and has until then to end.
    interrupted_until: Option<Instant>,
}

/// What comes next of a command.
#[derive(Debug)]
pub(super) enum Next {
    Event(Happening),
    /// The master has interrupted it: it is to be [cancelled](Node::cancel).
    Interrupted,
    /// It was interrupted and does not end.
    GivenUp,
}

impl Work {
    /// Something small: a question, or a change that takes no time.
    pub(super) fn small(command: &'static str, args: Value) -> Self {
        Self { command, args, class: Class::High, body: Body::None, summary: None }
    }

    /// A transfer.
    pub(super) fn transfer(command: &'static str, args: Value, body: Body) -> Self {
        Self { command, args, class: Class::Bulk, body, summary: None }
    }
}

impl Node {
    pub(super) fn new(
        client: Client,
        name: String,
        gateway: &str,
        patience: Duration,
        interrupt_patience: Duration,
    ) -> Self {
        let key_prefix = format!("gateway/{gateway}/{name}/");
        let boot = rand::random();
        Self { client, name, key_prefix, boot, commands: AtomicU64::new(0), patience, interrupt_patience }
    }

    /// Stores a command at the local node and returns its id. If that is away or full, it is asked again.
    pub(super) async fn submit(&self, work: &Work) -> Result<String, Fault> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let mut request = json!({
            "to": self.name, "command": work.command, "args": work.args, "class": work.class.word(), "hold": true,
            "key": format!("{}{:x}.{number}", self.key_prefix, self.boot), "key_age_ms": KEY_AGE_MS,
        });
        if let Some(summary) = &work.summary {
            request["summary"] = json!(summary);
        }
        match &work.body {
            Body::None => {}
            Body::Left(name) => request["body"] = json!(name),
            Body::Follows => request["has_body"] = json!(true),
        }
        let stored: Stored = self.patiently(|| self.client.post("/v1/commands", &request)).await?;
        Ok(stored.id)
    }

    /// Submits a command and waits for its outcome.
    pub(super) async fn call(&self, work: &Work, halt: &Halt) -> Result<Outcome, Fault> {
        let id = self.submit(work).await?;
        self.events(id, halt).outcome().await
    }

    /// Follows a command.
    pub(super) fn events<'a>(&'a self, id: String, halt: &'a Halt) -> Events<'a> {
        let follower =
            Follower::new(self.client.clone(), id.clone(), Until::Outcome, self.patience, Presence::Seen);
        let patience = self.interrupt_patience;
        Events { node: self, id, halt, follower: follower.holding(), patience, interrupted_until: None }
    }

    /// Asks for a command to be cancelled. One that has ended is left alone.
    pub(super) async fn cancel(&self, id: &str) -> Result<(), Fault> {
        let path = format!("/v1/commands/{id}/cancel");
        let cancelled = self.patiently(|| self.client.tell(&path)).await;
        match cancelled {
            Err(error) if !matches!(error.code(), Some("ended" | "unknown-command")) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Cancels what earlier sessions and processes have left on the node. Returns how many have not ended.
    pub(super) async fn cancel_leftovers(&self) -> Result<usize, Fault> {
        let left = self.patiently(|| self.leftovers()).await?;
        for command in &left {
            self.cancel(&command.id).await?;
        }
        Ok(left.len())
    }

    /// Cancels what was left, and waits until all of it has ended: a builder's folder is free then.
    pub(super) async fn clear_leftovers(&self) -> Result<(), Fault> {
        while self.cancel_leftovers().await? > 0 {
            sleep(LEFTOVERS_PAUSE).await;
        }
        Ok(())
    }

    /// Returns whether the local node keeps commands over its restarts.
    pub(super) async fn has_store(&self) -> Result<bool, Fault> {
        let local: LocalNode = self.patiently(|| self.client.get("/v1/node")).await?;
        Ok(local.store != "none")
    }

    async fn leftovers(&self) -> Result<Vec<CommandInfo>, ClientError> {
        runnel_client::list_commands_of(&self.client, &self.key_prefix).await
    }

    /// Asks the local node again as long as it is away or full.
    pub(super) async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let until = Instant::now() + self.patience;
        loop {
            match ask().await {
                Err(error) if passes(&error) && Instant::now() < until => {
                    sleep(error.retry_after().unwrap_or(ATTEMPT_PAUSE)).await;
                }
                answer => return answer,
            }
        }
    }
}

impl Events<'_> {
    /// Lets the command take so much longer to end once it was interrupted.
    pub(super) fn ending_within(mut self, time: Duration) -> Self {
        self.patience = self.patience.saturating_add(time);
        self
    }

    /// Returns what comes next. After the outcome nothing does.
    ///
    /// Cancel-safe: an event is returned or comes again.
    pub(super) async fn next(&mut self) -> Result<Next, Fault> {
        loop {
            tokio::select! {
                biased;
                () = self.halt.lost.cancelled() => return Err(Fault::Lost),
                () = self.halt.interrupted.cancelled(), if self.interrupted_until.is_none() => {
                    self.interrupted_until = Some(Instant::now() + self.patience);
                    return Ok(Next::Interrupted);
                }
                sign = next_sign(&mut self.follower, self.interrupted_until) => match sign? {
                    Some(Sign::Event(event)) => return Ok(Next::Event(event.what)),
                    Some(Sign::Away | Sign::Back) => {}
                    None => return Ok(Next::GivenUp),
                },
            }
        }
    }

    /// Waits for the outcome, and cancels the command when it is to end before.
    pub(super) async fn outcome(mut self) -> Result<Outcome, Fault> {
        loop {
            match self.next().await {
                Ok(Next::Event(Happening::Outcome { outcome })) => return known(outcome),
                Ok(Next::Event(_)) => {}
                Ok(Next::Interrupted) => self.cancel().await?,
                Ok(Next::GivenUp) => return Err(Fault::failed("it was interrupted, and its node is away")),
                Err(fault) => {
                    self.cancel().await.ok();
                    return Err(fault);
                }
            }
        }
    }

    /// Asks for the command to be cancelled.
    pub(super) async fn cancel(&self) -> Result<(), Fault> {
        self.node.cancel(&self.id).await
    }

    /// Returns whether it was interrupted.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted_until.is_some()
    }
}

impl Halt {
    /// Waits until somebody wants the command to end. Cancel-safe.
    pub(super) async fn wait(&self) {
        tokio::select! {
            () = self.lost.cancelled() => {}
            () = self.interrupted.cancelled() => {}
        }
    }
}

impl Class {
    fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

/// Returns an outcome, unless nobody knows it.
pub(super) fn known(outcome: Outcome) -> Result<Outcome, Fault> {
    if outcome.kind == "unknown" {
        let reason = outcome.reason.unwrap_or_default();
        return Err(Fault::Unknown(format!("nobody knows what became of it ({reason})")));
    }
    Ok(outcome)
}

/// Returns the next sign, or `None` when the time has passed.
async fn next_sign(follower: &mut Follower, until: Option<Instant>) -> Result<Option<Sign>, Fault> {
    match until {
        None => Ok(follower.next().await?),
        Some(until) => timeout_at(until, follower.next()).await.map_or(Ok(None), |sign| Ok(sign?)),
    }
}

/// Returns whether the local node may answer otherwise in a moment.
fn passes(error: &ClientError) -> bool {
    error.is_lost() || matches!(error.code(), Some("queue-full" | "store-full" | "stopping" | "key-pending"))
}

/// How long the key of a command is of use, in milliseconds: a submit is repeated as long as the local node is away, and
/// long builds have more commands a day than a node remembers keys.
const KEY_AGE_MS: u64 = 600_000;

const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

const LEFTOVERS_PAUSE: Duration = Duration::from_millis(100);
