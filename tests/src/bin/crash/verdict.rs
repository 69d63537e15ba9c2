//! The judgement: what the programs themselves wrote down, against what was told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use runnel_tests::tally::TallyFile;
use serde_json::{Value, json};

use super::orders::Order;
use super::plan::{Task, content, output};
use super::world::World;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) commands: usize,
    /// Commands by what was told of them.
    pub(super) outcomes: BTreeMap<String, usize>,
    /// Orders that had to be repeated.
    pub(super) repeated: u64,
    /// Programs whose supervisor was killed before they had ended.
    pub(super) bereft: usize,
    pub(super) lost: Vec<String>,
    pub(super) doubled: Vec<String>,
    pub(super) wrong: Vec<String>,
}

impl Verdict {
    /// Judges all commands. `kept` is what a later controller tells of them.
    pub(super) fn judge(orders: &[Order], kept: &BTreeMap<String, Value>, world: &World) -> Self {
        let mut verdict = Self { commands: orders.len(), ..Self::default() };
        let runs = TallyFile::new(world.work().join("tally")).all().expect("the tally can be read");
        let mut ids = BTreeSet::new();
        for order in orders {
            *verdict.outcomes.entry(words(&order.outcome)).or_default() += 1;
            // A ping is asked for again and again until it has ended.
            if !matches!(order.planned.task, Task::Ping { .. }) {
                verdict.repeated += order.attempts - 1;
            }
            let id = order.ids.first().cloned().unwrap_or_default();
            match &order.planned.task {
                Task::Upload { bytes } => verdict.judge_upload(order, *bytes),
                Task::Ping { number } => verdict.judge_ping(order, *number),
                Task::Run { .. } => {
                    let is_bereft = world.bereft.contains(&folder_name(&id));
                    verdict.judge_run(order, &id, runs.get(&id).copied().unwrap_or(0), is_bereft);
                }
            }
            if !matches!(order.planned.task, Task::Upload { .. }) {
                verdict.check(order.ids.len() == 1, order, "one key gave several ids");
                verdict.check(
                    kept.get(&id) == Some(&order.outcome),
                    order,
                    "a later process tells otherwise",
                );
                ids.insert(id);
            }
        }
        for stranger in runs.keys().filter(|id| !ids.contains(*id)) {
            verdict.wrong.push(format!("{stranger} ran, and nobody ordered it"));
        }
        for open in kept.iter().filter(|(_, outcome)| outcome.is_null()) {
            verdict.wrong.push(format!("{} has no outcome", open.0));
        }
        verdict.judge_remains(world);
        verdict
    }

    /// Returns whether nothing is wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }

    /// Says it all in one object.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "event": "summary", "passed": self.is_clean(), "commands": self.commands, "outcomes": self.outcomes,
            "repeated": self.repeated, "bereft": self.bereft, "lost": self.lost, "doubled": self.doubled,
            "wrong": self.wrong,
        })
    }

    fn judge_run(&mut self, order: &Order, id: &str, runs: u64, is_bereft: bool) {
        let Task::Run { exit_code, lines, .. } = order.planned.task else { return };
        let expected = output(&order.planned.key, lines);
        if runs > 1 {
            self.doubled.push(id.to_owned());
        }
        match order.outcome["kind"].as_str() {
            Some("done") if order.outcome["exit_code"] == exit_code => {
                if runs == 0 {
                    self.lost.push(id.to_owned());
                }
                let is_whole = blake3::hash(order.output.as_bytes()) == blake3::hash(expected.as_bytes());
                self.check(is_whole, order, "its output is not that of an undisturbed run");
            }
            // Its worker may have died before the program was started, and then it never is.
            Some("unknown") if !is_bereft => {
                self.check(runs == 0, order, "it ran under a supervisor that nobody killed");
            }
            Some("unknown" | "failed") if is_bereft => {
                self.bereft += 1;
                self.check(expected.starts_with(&order.output), order, "its output is not a beginning");
            }
            _ => self.check(false, order, "it should not end like this"),
        }
    }

    fn judge_ping(&mut self, order: &Order, number: u64) {
        let is_right = order.outcome["kind"] == "done" && order.outcome["result"]["number"] == number;
        self.check(is_right, order, "an idempotent command has its result");
    }

    fn judge_upload(&mut self, order: &Order, bytes: usize) {
        let hash = blake3::hash(&content(&order.planned.key, bytes)).to_string();
        self.check(order.output == hash, order, "what was brought is not what is there");
    }

    /// Nothing is left of any program.
    fn judge_remains(&mut self, world: &World) {
        for (pid, name) in world.supervisors() {
            self.wrong.push(format!("the supervisor {pid:?} of {name} is left"));
        }
        let folders = fs::read_dir(world.exec_folder()).into_iter().flatten().flatten();
        self.wrong.extend(folders.map(|folder| format!("the folder {:?} is left", folder.file_name())));
    }

    fn check(&mut self, holds: bool, order: &Order, fault: &str) {
        if !holds {
            let Order { planned, round, ids, outcome, output, .. } = order;
            let output = output.len();
            self.wrong.push(format!(
                "{fault}: {planned:?} of round {round}, ids {ids:?}, outcome {outcome}, {output} bytes of output"
            ));
        }
    }
}

/// Returns the name of the folder in which a supervisor keeps a command's program.
fn folder_name(id: &str) -> String {
    blake3::hash(id.as_bytes()).to_hex()[..32].to_owned()
}

fn words(outcome: &Value) -> String {
    match (outcome["kind"].as_str().unwrap_or("none"), outcome["reason"].as_str()) {
        (kind, Some(reason)) => format!("{kind} ({reason})"),
        (kind, None) => kind.to_owned(),
    }
}
