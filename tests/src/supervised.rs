//! Nodes that follow supervised programs as processes of their own, to be killed and started again.

use std::path::{Path, PathBuf};
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
        let (process, orders, lines) = spawn(&program, folder, name, 1);
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Self { program, folder, name, process, orders, lines, output: Vec::new(), number: 0 }
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
            let line = patient("a word of a follower", self.lines.next_line()).await;
            let line = line.expect("it says text").expect("it was not killed yet");
            let Some(output) = line.strip_prefix("output ") else { return Some(line) };
            let words: Vec<&str> = output.split(' ').collect();
            let [number, _, hex] = words[..] else { panic!("an event is not understood: {line}") };
            assert_eq!(number.parse(), Ok(self.number + 1), "records come in order, each once");
            self.number += 1;
            self.output.extend(from_hex(hex));
        }
        None
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
        let line = format!("{order}\n");
        patient("a follower to take an order", self.orders.write_all(line.as_bytes()))
            .await
            .expect("it takes orders");
    }

    /// Kills the process, and starts another that goes on behind what was read.
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
        let next = self.number + 1;
        (self.process, self.orders, self.lines) = spawn(&self.program, &self.folder, &self.name, next);
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

fn spawn(
    program: &Path,
    folder: &Path,
    name: &str,
    first: u64,
) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(program);
    command.arg("follow").arg(folder).args([name, &first.to_string()]).kill_on_drop(true);
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
