//! The demo's commands: what each runs, and whether it said what it should.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use runnel::codec::{Class, CommandId, NodeId};
use runnel::commands::{Exec, ExecArgs, ExecResult, ExecStatus, ExecUpdate};
use runnel::{NodeHandle, NotDone, Progress, Submission, SubmitOptions};
use tokio::task::JoinSet;

use super::fleet::Fleet;
use super::{DemoArgs, Sabotage};

/// All commands of a demo.
pub(super) struct Workload {
    handle: NodeHandle,
    workers: Vec<NodeId>,
    commands: u32,
    sabotage: Option<Sabotage>,
}

/// What became of one command.
#[derive(Debug)]
pub(super) struct CommandResult {
    pub(super) id: CommandId,
    pub(super) class: Class,
    /// From the submit to the outcome.
    pub(super) latency: Duration,
    /// Whether exit code and output are what the id demands; `Err` says what is wrong.
    pub(super) verdict: Result<(), String>,
    /// Whether the exit code was meant to be other than 0, and was.
    pub(super) is_failure: bool,
    /// Bytes of its standard output.
    pub(super) output_bytes: usize,
}

impl Workload {
    pub(super) fn new(args: &DemoArgs, fleet: &Fleet) -> Self {
        Self {
            handle: fleet.handle().clone(),
            workers: fleet.workers().cloned().collect(),
            commands: args.commands,
            sabotage: args.sabotage,
        }
    }

    /// Submits all commands at once and waits for all outcomes.
    pub(super) async fn run(self) -> anyhow::Result<Vec<CommandResult>> {
        let mut running = JoinSet::new();
        for number in 0..self.commands {
            let class = Class::ALL[number as usize % Class::ALL.len()];
            let worker = &self.workers[number as usize % self.workers.len()];
            let code = if number % 10 == 7 { 1 + number % 100 } else { 0 };
            let sabotage = self.sabotage.filter(|_| number == self.commands / 2);
            let options = SubmitOptions { class, ..SubmitOptions::default() };
            let submitted_at = Instant::now();
            let submission = self
                .handle
                .submit::<Exec>(worker, &shell(code, sabotage), options)
                .await
                .context("a command was not stored")?;
            running.spawn(follow(submission, class, code, submitted_at));
        }
        let mut results = Vec::new();
        while let Some(result) = running.join_next().await {
            results.push(result?);
        }
        Ok(results)
    }
}

async fn follow(
    mut submission: Submission<Exec>,
    class: Class,
    code: u32,
    submitted_at: Instant,
) -> CommandResult {
    let id = submission.id().clone();
    let mut stdout = Vec::new();
    while let Some(progress) = submission.progress().await {
        if let Ok(Progress::Update(ExecUpdate::Stdout(bytes))) = progress {
            stdout.extend(bytes);
        }
    }
    let outcome = submission.outcome().await;
    CommandResult {
        verdict: judge(&id, code, &stdout, outcome),
        latency: submitted_at.elapsed(),
        is_failure: code != 0,
        output_bytes: stdout.len(),
        id,
        class,
    }
}

fn judge(
    id: &CommandId,
    code: u32,
    stdout: &[u8],
    outcome: Result<ExecResult, NotDone>,
) -> Result<(), String> {
    let status = outcome.map_err(|error| error.to_string())?.status;
    if status != ExecStatus::Code(i32::try_from(code).unwrap_or(i32::MAX)) {
        return Err(format!("it should have exited with {code}, not {status:?}"));
    }
    if blake3::hash(stdout) != blake3::hash(expected_output(id).as_bytes()) {
        return Err(format!("its {} bytes of output are not those of its id", stdout.len()));
    }
    Ok(())
}

/// The command: it appends its id and a nonce to the tally, then writes lines made of its id.
fn shell(code: u32, sabotage: Option<Sabotage>) -> ExecArgs {
    let append = "read nonce < /proc/sys/kernel/random/uuid; echo \"$RUNNEL_ID $nonce\" >> \"$RUNNEL_TALLY\"";
    let append = match sabotage {
        None => append.to_owned(),
        Some(Sabotage::Lose) => ":".to_owned(),
        Some(Sabotage::Double) => format!("{append}; {append}"),
    };
    let script = format!(
        "{append}; i=1; while [ $i -le {LINES} ]; do echo \"$i $RUNNEL_ID\"; i=$((i+1)); done; exit {code}"
    );
    ExecArgs { program: "/bin/sh".to_owned(), args: vec!["-c".to_owned(), script], ..ExecArgs::default() }
}

fn expected_output(id: &CommandId) -> String {
    let mut text = String::new();
    for line in 1..=LINES {
        writeln!(text, "{line} {id}").expect("a String takes everything");
    }
    text
}

/// Lines that each command writes: some 10 KiB.
const LINES: usize = 250;
