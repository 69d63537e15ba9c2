//! The process of `tests/peer/master.py`.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::environment::{Environment, peer_folder};

/// A master, which ends with this.
pub(crate) struct Master {
    pub(crate) port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    process: Child,
    folder: tempfile::TempDir,
}

/// What the master tells of a build.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Build {
    pub(crate) builder: String,
    pub(crate) result: i64,
    steps: Vec<Step>,
}

/// What the master tells of a step.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Step {
    name: String,
    result: i64,
    /// The content of each log. Lines of the log "stdio" begin with `o`, `e` or `h` for where they come from.
    pub(crate) logs: HashMap<String, String>,
}

impl Master {
    /// Starts a master and waits until it listens, or says why there is none.
    pub(crate) async fn start() -> Option<Self> {
        let python = BUILDBOT.python()?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        std::fs::write(folder.path().join("source"), source()).expect("a file can be written");
        let mut process = Command::new(python)
            .arg(peer_folder().join("master.py"))
            .arg(folder.path())
            // It leaves the archive of a folder whose upload did not end in its temporary folder.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the environment's Python runs");
        let stdout = process.stdout.take().expect("it is piped");
        let lines = BufReader::new(stdout).lines();
        let mut master = Self { port: 0, lines, process, folder };
        let port = master.line_after("PBServerFactory starting on ").await;
        master.port = port.parse().expect("a port");
        Some(master)
    }

    /// Waits until so many builds have finished.
    pub(crate) async fn builds(&mut self, count: usize) -> Vec<Build> {
        let mut builds = Vec::new();
        while builds.len() < count {
            let told = self.line_after("BUILD ").await;
            builds.push(serde_json::from_str(&told).expect("it is told as JSON"));
        }
        builds
    }

    /// Ends the process, so that nothing is written to its folder when that is removed.
    pub(crate) async fn stop(mut self) {
        self.process.kill().await.expect("it runs");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder().join(path)).expect("the file is there")
    }

    /// Reads up to a line with some words in it, and returns what follows them.
    async fn line_after(&mut self, words: &str) -> String {
        let mut seen = Vec::new();
        while let Some(line) = self.lines.next_line().await.expect("readable output") {
            if let Some((_, rest)) = line.split_once(words) {
                return rest.to_owned();
            }
            seen.push(line);
        }
        panic!("the master has ended:\n{}", seen.join("\n"));
    }
}

impl Build {
    #[track_caller]
    pub(crate) fn step(&self, name: &str, result: i64) -> &Step {
        let step = self.steps.iter().find(|step| step.name == name);
        let step = step.unwrap_or_else(|| panic!("there is no step {name}: {self:?}"));
        assert_eq!(step.result, result, "{step:?}");
        step
    }
}

impl Step {
    #[track_caller]
    pub(crate) fn log(&self, name: &str) -> &str {
        self.logs.get(name).unwrap_or_else(|| panic!("there is no log {name}: {self:?}"))
    }
}

/// A file of the master, longer than two blocks.
pub(crate) fn source() -> Vec<u8> {
    (0..1_500_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 7 == 0)]).collect()
}

static BUILDBOT: Environment = Environment::new("buildbot");
