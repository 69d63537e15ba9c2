//! Commands on their way: each is ordered, again if its order was cut off, and followed to its outcome.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use runnel_tests::patience::patient;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::api::Api;
use super::plan::{Planned, Task, content, script};
use super::world::World;

/// What became of one command.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) planned: Planned,
    pub(super) round: u64,
    /// The ids under which it was stored: one, if keys hold. None for uploads, which have no key.
    pub(super) ids: Vec<String>,
    pub(super) outcome: Value,
    pub(super) output: String,
    /// How often it was ordered.
    pub(super) attempts: u64,
}

/// All commands, those under way and those that have ended.
pub(super) struct Orders {
    client: Client,
    under_way: JoinSet<Order>,
    /// How many of each round are under way.
    open: std::collections::BTreeMap<u64, u64>,
    results: Vec<Order>,
}

/// How to order.
#[derive(Clone, Debug)]
struct Client {
    program: PathBuf,
    api: Api,
    work: PathBuf,
}

impl Orders {
    pub(super) fn new(world: &World) -> Self {
        let client = Client { program: world.program().to_owned(), api: world.api(), work: world.work() };
        Self { client, under_way: JoinSet::new(), open: Default::default(), results: Vec::new() }
    }

    /// Begins a command; it goes on by itself.
    pub(super) fn begin(&mut self, planned: Planned, round: u64) {
        *self.open.entry(round).or_default() += 1;
        let client = self.client.clone();
        let order = Order {
            planned,
            round,
            ids: Vec::new(),
            outcome: Value::Null,
            output: String::new(),
            attempts: 0,
        };
        self.under_way.spawn(client.drive(order));
    }

    /// Lets commands go on for a while.
    pub(super) async fn work_for(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(ended) = self.under_way.join_next() => self.end(ended.expect("an order does not panic")),
            }
        }
    }

    /// Waits until the commands of this round and of all before have ended.
    pub(super) async fn catch_up(&mut self, round: u64) {
        while self.open.first_key_value().is_some_and(|(first, _)| *first <= round) {
            let waiting_for = format!("a command to end, of {:?}", self.open);
            let ended = patient(&waiting_for, self.under_way.join_next()).await;
            self.end(ended.expect("some are open").expect("an order does not panic"));
        }
    }

    /// Returns how many have ended.
    pub(super) fn ended(&self) -> usize {
        self.results.len()
    }

    /// Waits for all, and returns them.
    pub(super) async fn finish(mut self) -> Vec<Order> {
        self.catch_up(u64::MAX).await;
        self.results
    }

    fn end(&mut self, order: Order) {
        let open = self.open.get_mut(&order.round).expect("it was begun");
        *open -= 1;
        if *open == 0 {
            self.open.remove(&order.round);
        }
        self.results.push(order);
    }
}

impl Client {
    /// Orders a command until there is an outcome.
    async fn drive(self, mut order: Order) -> Order {
        loop {
            order.attempts += 1;
            let has_ended = match order.planned.task.clone() {
                Task::Run { .. } => self.run(&mut order).await,
                Task::Ping { number } => self.ping(&mut order, number).await,
                Task::Upload { bytes } => self.upload(&mut order, bytes).await,
            };
            if has_ended {
                return order;
            }
            sleep(AGAIN_DELAY).await;
        }
    }

    async fn run(&self, order: &mut Order) -> bool {
        let Planned { key, task } = &order.planned;
        let script = script(key, task);
        let (_, lines) =
            self.call(&["run", "w1", "--key", key, "--cwd", ".", "--", "sh", "-c", &script]).await;
        order.output.clear();
        for line in &lines {
            if let Some(id) = line["id"].as_str()
                && !order.ids.iter().any(|known| known == id)
            {
                order.ids.push(id.to_owned());
            }
            match line["event"].as_str() {
                Some("output") => order.output.push_str(line["text"].as_str().unwrap_or_default()),
                Some("gap") => order.output.push_str("(gap)"),
                Some("outcome") => order.outcome = line["outcome"].clone(),
                _ => {}
            }
        }
        !order.outcome.is_null()
    }

    async fn ping(&self, order: &mut Order, number: u64) -> bool {
        if let Some(id) = self.api.ping(&order.planned.key, number).await
            && !order.ids.contains(&id)
        {
            order.ids.push(id);
        }
        if let Some(id) = order.ids.last()
            && let Some(outcome) = self.api.outcome(id).await
        {
            order.outcome = outcome;
        }
        !order.outcome.is_null()
    }

    /// What is in memory alone may be lost with either daemon, and it is said: then it is brought again.
    async fn upload(&self, order: &mut Order, bytes: usize) -> bool {
        let source = self.work.with_file_name(&order.planned.key);
        std::fs::write(&source, content(&order.planned.key, bytes)).expect("the folder can be written");
        let target = format!("w1:{}", order.planned.key);
        let source = source.to_str().expect("a temporary folder has a plain name");
        let (code, lines) = self.call(&["put", "--replace", source, &target]).await;
        if code == Some(0) {
            order.outcome = lines.last().map(|line| line["outcome"].clone()).unwrap_or_default();
            // Another attempt that is still on its way must not take its place while it is looked at.
            order.output = std::fs::read(self.work.join(&order.planned.key))
                .map(|content| blake3::hash(&content).to_string())
                .unwrap_or_default();
        }
        code == Some(0)
    }

    /// Calls the program and returns its exit code and what it said.
    async fn call(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let (verb, rest) = arguments.split_first().expect("a verb");
        let mut command = Command::new(&self.program);
        command.args([verb, "--json"]).args(rest).env("RUNNEL_SOCKET", &self.api.socket);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.expect("the program was built");
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (output.status.code(), lines)
    }
}

/// From one attempt to the next.
const AGAIN_DELAY: Duration = Duration::from_millis(50);
