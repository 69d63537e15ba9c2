//! Drives the controller through its local HTTP API: submits, cancels, watches, and fetches what became of each command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use runnel::codec::Class;
use runnel_client::api::{
    CommandInfo, Event, Happening, NodeInfo, NodeList, Outcome, Stored, Stream as OutputStream,
};
use runnel_client::{Client, Which, list_commands};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::fleet::Fleet;
use super::live::{Audience, Live, View};
use super::plan::{Planned, Task, expected_output};
use super::upload::Upload;

/// What the demo is to do.
pub(super) struct Drive {
    pub(super) plan: Vec<Planned>,
    /// The commands are submitted over this time.
    pub(super) over: Duration,
    /// How long a command runs that outlasts the blackout.
    pub(super) outlast: Duration,
    pub(super) upload: Option<Upload>,
    pub(super) audience: Audience,
}

/// What became of one command.
#[derive(Debug)]
pub(super) struct CommandResult {
    pub(super) id: String,
    pub(super) class: Class,
    pub(super) task: Task,
    /// From stored to the outcome, by the controller's clock.
    pub(super) latency: Duration,
    pub(super) outcome: Outcome,
    /// Whether outcome and output are what its id demands; `Err` says what is wrong.
    pub(super) verdict: Result<(), String>,
    /// Bytes of its standard output.
    pub(super) output_bytes: usize,
}

/// All that was found out.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) results: Vec<CommandResult>,
    pub(super) links: Links,
    /// What is wrong with the upload, and its bytes and time, if there was one.
    pub(super) upload: Option<Result<(u64, Duration), String>>,
}

/// What the links went through, by peer and link number.
#[derive(Debug, Default)]
pub(super) struct Links {
    migrations: BTreeMap<(String, u64), u64>,
    /// Links that came up, by peer.
    totals: BTreeMap<String, u64>,
    /// The shortest round trip that was seen, in milliseconds.
    pub(super) rtt_ms_min: Option<f64>,
}

impl Drive {
    /// Does it all, and shows how it goes.
    pub(super) async fn run(self, fleet: &Fleet) -> anyhow::Result<Findings> {
        let (client, planned) = (fleet.client(), self.plan.len());
        let uploading = self.upload.clone().map(|upload| {
            let (client, folder) = (client.clone(), fleet.folder_of(upload.worker()));
            AbortOnDropHandle::new(tokio::spawn(async move { upload.run(&client, &folder).await }))
        });
        let submitting = submit_all(client.clone(), self.plan, fleet.workers(), self.over, self.outlast);
        let mut submitting = AbortOnDropHandle::new(tokio::spawn(submitting));
        let mut watch = Watch::new(client.clone(), planned, Live::new(self.audience));
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        let mut submitted: Option<Vec<(String, Planned)>> = None;
        loop {
            tokio::select! {
                done = &mut submitting, if submitted.is_none() => submitted = Some(done??),
                _ = interval.tick() => watch.look().await?,
                Some(fetched) = watch.fetching.join_next() => watch.handle_fetched(fetched??),
            }
            watch.cancel_started(submitted.as_deref()).await?;
            if let Some(submitted) = &submitted
                && submitted.iter().all(|(id, _)| watch.fetched.contains_key(id))
            {
                break;
            }
        }
        let upload = match uploading {
            Some(uploading) => Some(watch.while_looking(uploading).await??),
            None => None,
        };
        watch.look().await?;
        watch.live.close();
        let mut results = Vec::new();
        for (id, planned) in submitted.unwrap_or_default() {
            let fetched = watch.fetched.remove(&id).with_context(|| format!("{id} has no outcome"))?;
            results.push(fetched.judge(id, &planned));
        }
        Ok(Findings { results, links: watch.links, upload })
    }
}

/// Looks at the controller again and again.
struct Watch {
    client: Client,
    live: Live,
    links: Links,
    planned: usize,
    started_at: Instant,
    fetching: JoinSet<anyhow::Result<Fetched>>,
    /// Connections to the controller at once.
    places: Arc<Semaphore>,
    /// Commands that started and have not ended.
    started: Vec<String>,
    /// What was fetched or is being fetched.
    asked: BTreeMap<String, ()>,
    cancelled: BTreeMap<String, ()>,
    fetched: BTreeMap<String, Fetched>,
}

/// What the controller knows of a command that has ended.
struct Fetched {
    id: String,
    latency: Duration,
    stdout: Vec<u8>,
    is_whole: bool,
    outcome: Outcome,
}

impl Watch {
    fn new(client: Client, planned: usize, live: Live) -> Self {
        Self {
            client,
            live,
            links: Links::default(),
            planned,
            started_at: Instant::now(),
            fetching: JoinSet::new(),
            places: Arc::new(Semaphore::new(FETCHES_MAX)),
            started: Vec::new(),
            asked: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            fetched: BTreeMap::new(),
        }
    }

    /// Asks for commands and links, shows them, and fetches what has ended.
    async fn look(&mut self) -> anyhow::Result<()> {
        let commands: Vec<CommandInfo> = list_commands(&self.client, Which::All).await?;
        let nodes: NodeList = self.client.get("/v1/nodes").await?;
        self.links.see(&nodes.nodes);
        self.started = commands
            .iter()
            .filter(|command| command.stage == "started")
            .map(|command| command.id.clone())
            .collect();
        self.live.show(&View {
            planned: self.planned,
            elapsed: self.started_at.elapsed(),
            commands: &commands,
            nodes: &nodes.nodes,
            links: &self.links,
        });
        for command in commands {
            if command.outcome.is_some() && self.asked.insert(command.id.clone(), ()).is_none() {
                self.fetching.spawn(fetch(self.client.clone(), self.places.clone(), command));
            }
        }
        Ok(())
    }

    async fn while_looking<T>(&mut self, mut task: AbortOnDropHandle<T>) -> anyhow::Result<T> {
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                done = &mut task => return Ok(done?),
                _ = interval.tick() => self.look().await?,
            }
        }
    }

    fn handle_fetched(&mut self, fetched: Fetched) {
        self.fetched.insert(fetched.id.clone(), fetched);
    }

    /// Cancels the commands that wait for it, once they run.
    async fn cancel_started(&mut self, submitted: Option<&[(String, Planned)]>) -> anyhow::Result<()> {
        for (id, planned) in submitted.unwrap_or_default() {
            let is_due = planned.task == Task::AwaitCancel && self.started.contains(id);
            if is_due && self.cancelled.insert(id.clone(), ()).is_none() {
                self.client.tell(&format!("/v1/commands/{id}/cancel")).await?;
            }
        }
        Ok(())
    }
}

/// Submits all commands, evenly over a time, so that urgent ones meet a busy link.
async fn submit_all(
    client: Client,
    plan: Vec<Planned>,
    workers: Vec<String>,
    over: Duration,
    outlast: Duration,
) -> anyhow::Result<Vec<(String, Planned)>> {
    let mut submitted = Vec::with_capacity(plan.len());
    let pause = over / u32::try_from(plan.len().max(1)).unwrap_or(u32::MAX);
    let mut interval = tokio::time::interval(pause.max(Duration::from_micros(1)));
    for planned in plan {
        interval.tick().await;
        let mut request = json!({
            "to": workers[planned.worker],
            "command": "exec/1",
            "class": planned.class.to_string(),
            "args": { "program": "/bin/sh", "args": ["-c", planned.script(outlast)] },
        });
        if planned.task == Task::AwaitDeadline {
            request["deadline_ms"] = json!(DEADLINE.as_millis());
        }
        let stored: Stored =
            client.post("/v1/commands", &request).await.context("a command was not stored")?;
        submitted.push((stored.id, planned));
    }
    Ok(submitted)
}

/// Fetches the events of a command that has ended.
async fn fetch(client: Client, places: Arc<Semaphore>, command: CommandInfo) -> anyhow::Result<Fetched> {
    let _place = places.acquire().await?;
    let (mut stdout, mut is_whole, mut stored_ms, mut ended_ms) = (Vec::new(), true, None, None);
    let mut lines = client.lines(&format!("/v1/commands/{}/events", command.id)).await?;
    while let Some(line) = lines.next().await? {
        let event: Event =
            serde_json::from_str(&line).with_context(|| format!("the controller said {line}"))?;
        stored_ms = stored_ms.or(event.at_ms);
        ended_ms = event.at_ms.or(ended_ms);
        match event.what {
            Happening::Output(output) if output.stream == OutputStream::Stdout => {
                stdout.extend(output.into_octets().unwrap_or_default());
            }
            Happening::Gap(_) => is_whole = false,
            _ => {}
        }
    }
    let latency = Duration::from_millis(ended_ms.unwrap_or(0).saturating_sub(stored_ms.unwrap_or(0)));
    let outcome = command.outcome.context("only what has ended is fetched")?;
    Ok(Fetched { id: command.id, latency, stdout, is_whole, outcome })
}

impl Fetched {
    fn judge(self, id: String, planned: &Planned) -> CommandResult {
        CommandResult {
            verdict: self.verdict(&id, planned.task),
            class: planned.class,
            task: planned.task,
            latency: self.latency,
            output_bytes: self.stdout.len(),
            outcome: self.outcome,
            id,
        }
    }

    fn verdict(&self, id: &str, task: Task) -> Result<(), String> {
        let (kind, reason) = (self.outcome.kind.as_str(), self.outcome.reason.as_deref());
        let is_expected = match task {
            Task::Exit(_) | Task::Outlast => kind == "done" && self.outcome.exit_code == task.exit_code(),
            Task::AwaitCancel => kind == "failed" && reason == Some("cancelled"),
            // On a dark link it may pass before the start.
            Task::AwaitDeadline => {
                kind == "expired" || kind == "failed" && reason == Some("deadline-exceeded")
            }
        };
        if !is_expected {
            return Err(format!("{task:?} should not end as {:?}", self.outcome));
        }
        let hash = blake3::hash(&self.stdout);
        if task.exit_code().is_some()
            && (!self.is_whole || hash != blake3::hash(expected_output(id).as_bytes()))
        {
            return Err(format!("its {} bytes of output are not those of its id", self.stdout.len()));
        }
        Ok(())
    }
}

impl CommandResult {
    /// Returns its outcome in a few words.
    pub(super) fn outcome_words(&self) -> String {
        match (&self.outcome.reason, self.outcome.exit_code) {
            (Some(reason), _) => format!("{} ({reason})", self.outcome.kind),
            (None, Some(code)) if code != 0 => format!("{} (exit code other than 0)", self.outcome.kind),
            _ => self.outcome.kind.clone(),
        }
    }

    /// Returns whether it was to run: all but those whose outcome says that they have not started and never will.
    pub(super) fn should_run(&self) -> bool {
        !matches!(self.outcome.kind.as_str(), "expired" | "cancelled" | "rejected")
    }
}

impl Links {
    fn see(&mut self, nodes: &[NodeInfo]) {
        for node in nodes {
            self.totals.insert(node.node.clone(), node.links_total);
            let Some(link) = &node.link else { continue };
            self.migrations.insert((node.node.clone(), link.number), link.migrations);
            if link.rtt_ms > 0.0 {
                self.rtt_ms_min = Some(self.rtt_ms_min.map_or(link.rtt_ms, |least| least.min(link.rtt_ms)));
            }
        }
    }

    /// Returns how often a peer's address was followed, on all links together.
    pub(super) fn migrations(&self) -> u64 {
        self.migrations.values().sum()
    }

    /// Returns how many links were made again after the first of each peer.
    pub(super) fn reconnects(&self) -> u64 {
        self.totals.values().map(|total| total.saturating_sub(1)).sum()
    }
}

/// How often the controller is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Commands whose events are fetched at once.
const FETCHES_MAX: usize = 8;

/// The deadline of commands that run into it: longer than a start takes on a busy link.
const DEADLINE: Duration = Duration::from_secs(4);
