//! Nodes that follow supervised programs as processes of their own, to be killed and started again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::patience::patient;

/// A process that follows a supervised program. What it said is remembered from one of its lives to the next.
#[derive(Debug)]
pub struct Follower {
    program: PathBuf,
    folder: PathBuf,
    name: String,
    process: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said while it was given orders.
    heard: VecDeque<String>,
    /// The record that this process says next, once it has said one.
    next: Option<u64>,
    /// Where in the output each record begins.
    begins: Vec<usize>,
    /// All output, as it was said.
    pub output: Vec<u8>,
    /// The number of its last record.
    pub number: u64,
}

impl Follower {
    /// Starts the program `test-supervised`, which follows the program `name` of the supervision in `folder`.
    ///
    /// # Panics
    ///
    /// When the program cannot be started, or outside a Tokio runtime.
    pub fn start(program: &str, folder: &Path, name: &str) -> Self {
        let program = PathBuf::from(program);
        let (process, orders, lines) = spawn(&program, folder, name);
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Self {
            program,
            folder,
            name,
            process,
            orders,
            lines,
            heard: VecDeque::new(),
            next: None,
            begins: Vec::new(),
            output: Vec::new(),
            number: 0,
        }
    }

    /// Reads until the program has ended, or until `is_enough` of what it said so far. Returns the last line if it was
    /// one about the end.
    ///
    /// # Panics
    ///
    /// When a record is missing, or comes twice.
    ///
    /// # Cancel safety
    ///
    /// A line may be lost if the future is dropped.
    pub async fn read_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> Option<String> {
        while !is_enough(&self.output) {
            let line = match self.heard.pop_front() {
                Some(line) => line,
                None => patient("a word of a follower", self.lines.next_line())
                    .await
                    .expect("it says text")
                    .expect("it was not killed yet"),
            };
            let Some(output) = line.strip_prefix("output ") else { return Some(line) };
            let words: Vec<&str> = output.split(' ').collect();
            let [number, _, hex] = words[..] else { panic!("an event is not understood: {line}") };
            self.take(number.parse().expect("a number"), &from_hex(hex));
        }
        None
    }

    /// Takes a record, which may be one that an earlier life of the process has said.
    fn take(&mut self, number: u64, bytes: &[u8]) {
        assert_eq!(number, *self.next.get_or_insert(number), "records come in order, each once");
        self.next = Some(number + 1);
        if number > self.number {
            assert_eq!(number, self.number + 1, "nothing is let go of that was not read");
            self.number = number;
            self.begins.push(self.output.len());
            self.output.extend(bytes);
        } else {
            let begin = self.begins[usize::try_from(number - 1).expect("it was counted here")];
            assert!(self.output[begin..].starts_with(bytes), "record {number} is another now");
        }
    }

    /// Reads until the program has ended, and returns what was said of that.
    ///
    /// # Panics
    ///
    /// When a record is missing, or comes twice.
    ///
    /// # Cancel safety
    ///
    /// A line may be lost if the future is dropped.
    pub async fn read_to_end(&mut self) -> String {
        self.read_until(|_| false).await.expect("nothing is enough")
    }

    /// Gives it an order.
    ///
    /// # Panics
    ///
    /// When it does not take orders.
    ///
    /// # Cancel safety
    ///
    /// The order may have been given in part if the future is dropped.
    pub async fn order(&mut self, order: &str) {
        let order = format!("{order}\n");
        let mut giving =
            pin!(patient("a follower to take an order", self.orders.write_all(order.as_bytes())));
        loop {
            // It may have much to say before it listens.
            tokio::select! {
                given = &mut giving => return given.expect("it takes orders"),
                line = self.lines.next_line() => {
                    self.heard.push_back(line.expect("it says text").expect("it was not killed yet"));
                }
            }
        }
    }

    /// Kills the process, and starts another.
    ///
    /// # Panics
    ///
    /// When it cannot be killed or started.
    ///
    /// # Cancel safety
    ///
    /// It may have been killed if the future is dropped.
    pub async fn kill_and_restart(&mut self) {
        patient("a killed process to end", self.process.kill())
            .await
            .expect("a process of ours can be killed");
        self.next = None;
        self.heard.clear();
        (self.process, self.orders, self.lines) = spawn(&self.program, &self.folder, &self.name);
    }

    /// Lets it settle the program, and waits until both are gone.
    ///
    /// # Panics
    ///
    /// When that fails.
    ///
    /// # Cancel safety
    ///
    /// It goes on if the future is dropped.
    pub async fn settle(mut self) {
        self.order("settle").await;
        let status = patient("a follower to settle", self.process.wait()).await.expect("it was started here");
        assert!(status.success(), "{status}");
    }
}

fn spawn(program: &Path, folder: &Path, name: &str) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(program);
    command.arg("follow").arg(folder).arg(name).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process =
        command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    let orders = process.stdin.take().expect("it is a pipe");
    let lines = BufReader::new(process.stdout.take().expect("it is a pipe")).lines();
    (process, orders, lines)
}

/// Returns bytes as hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns bytes from hexadecimal digits.
///
/// # Panics
///
/// When they are none.
#[must_use]
pub fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits are ASCII");
            u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
        })
        .collect()
}
