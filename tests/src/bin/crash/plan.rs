//! What is ordered: pure, from numbers alone.

use std::fmt::Write;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// One command before it is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// Its name, which is also its idempotency key.
    pub(super) key: String,
    pub(super) task: Task,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A durable program: it appends its id to the tally, writes lines with a pause between, and exits with this code.
    Run { exit_code: i32, pause_ms: u64, lines: u64, sabotage: Option<Sabotage> },
    /// A durable command of an idempotent type, which gives a number back.
    Ping { number: u64 },
    /// An upload of so many bytes, in memory alone: what does not come through is ordered again.
    Upload { bytes: usize },
}

/// Ways to break a promise on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// A command does not run, although it is reported as done.
    Lose,
    /// A command runs twice.
    Double,
    /// A command writes something else.
    Output,
}

impl Planned {
    /// Plans the commands of a round. Sabotage strikes the first of all.
    pub(super) fn round(round: u64, rng: &mut ChaCha8Rng, sabotage: Option<Sabotage>) -> Vec<Self> {
        let mut planned = Vec::new();
        for number in 0..RUNS_PER_ROUND {
            let task = Task::Run {
                exit_code: rng.random_range(0..4),
                pause_ms: rng.random_range(0..600),
                lines: rng.random_range(1..400),
                sabotage: sabotage.filter(|_| round == 1 && number == 0),
            };
            planned.push(Self { key: format!("run-{round}-{number}"), task });
        }
        planned.push(Self { key: format!("ping-{round}"), task: Task::Ping { number: round } });
        if round % UPLOAD_EVERY == 1 {
            let bytes = rng.random_range(1..400_000);
            planned.push(Self { key: format!("upload-{round}"), task: Task::Upload { bytes } });
        }
        planned
    }
}

impl Sabotage {
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        match word {
            "lose" => Ok(Self::Lose),
            "double" => Ok(Self::Double),
            "output" => Ok(Self::Output),
            _ => Err(format!("there is no sabotage {word}")),
        }
    }
}

/// Returns the shell script of a program: what stands in the tally is what ran.
pub(super) fn script(key: &str, task: &Task) -> String {
    let Task::Run { exit_code, pause_ms, lines, sabotage } = task else { return String::new() };
    let append = "echo \"$RUNNEL_ID\" >> tally";
    let append = match sabotage {
        Some(Sabotage::Lose) => ":".to_owned(),
        Some(Sabotage::Double) => format!("{append}; {append}"),
        Some(Sabotage::Output) | None => append.to_owned(),
    };
    let print =
        |word: &str| format!("i=0; while [ $i -lt {lines} ]; do echo \"{key} {word} $i\"; i=$((i+1)); done");
    let more = if *sabotage == Some(Sabotage::Output) { "; echo more" } else { "" };
    let pause = *pause_ms as f64 / 1e3;
    format!("{append}; {}; sleep {pause}; {}{more}; exit {exit_code}", print("before"), print("after"))
}

/// Returns what the program must write.
pub(super) fn output(key: &str, lines: u64) -> String {
    let mut text = String::new();
    for word in ["before", "after"] {
        for line in 0..lines {
            writeln!(text, "{key} {word} {line}").expect("a String takes everything");
        }
    }
    text
}

/// Returns the content of an upload.
pub(super) fn content(key: &str, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(key.as_bytes()).finalize_xof().fill(&mut content);
    content
}

const RUNS_PER_ROUND: u64 = 3;

/// Rounds from one upload to the next.
const UPLOAD_EVERY: u64 = 3;
