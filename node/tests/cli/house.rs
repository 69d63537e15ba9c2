//! A fleet in a temporary folder, made and run by the program itself.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::supervisors::{SUPERVISION, end_supervisors};

/// A controller `ctl`, a worker `w1`, and a name `gone` that never comes.
pub(crate) struct House {
    folder: TempDir,
    nodes: Vec<Child>,
    /// Where the controller listens.
    address: String,
    /// The controller's configuration, with the address that it listens on.
    controller: String,
    worker: String,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl House {
    /// Makes the fleet, starts both nodes and waits until commands pass.
    pub(crate) fn start() -> Self {
        let house = Self::start_with("", "");
        house.ok(&["run", "w1", "--", "true"]);
        house
    }

    /// The same with nodes that have a store.
    pub(crate) fn start_durable() -> Self {
        let house = Self::begin("state_dir = \"state\"\n", "", SUPERVISION);
        house.ok(&["run", "w1", "--", "true"]);
        house
    }

    /// Makes the fleet and starts both nodes with more in their configurations.
    pub(crate) fn start_with(more_of_ctl: &str, more_of_w1: &str) -> Self {
        Self::begin("", more_of_ctl, more_of_w1)
    }

    /// Makes the fleet and starts both nodes; `top` is what both configurations begin with.
    fn begin(top: &str, more_of_ctl: &str, more_of_w1: &str) -> Self {
        let mut house = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            nodes: Vec::new(),
            address: String::new(),
            controller: String::new(),
            worker: String::new(),
        };
        let controller = |address: &str| format!("listen = [{address:?}]\n{top}{PEERS}{more_of_ctl}");
        house.ok(&["fleet", "init", "lab"]);
        house.ok(&["fleet", "issue", "ctl", "--role", "controller"]);
        house.ok(&["fleet", "issue", "w1", "--role", "worker"]);
        let ready = house.start_node("ctl", &controller("127.0.0.1:0"));
        let address = ready["listening"][0].as_str().expect("it listens").to_owned();
        house.controller = controller(&address);
        house.address.clone_from(&address);
        fs::create_dir(house.path("work")).expect("it is new");
        house.worker = format!(
            "{top}[peers]\nctl = [{address:?}]\n[api]\nenabled = false\n[confinement]\nroot = {:?}\n{more_of_w1}",
            house.path("work")
        );
        house.start_worker();
        house
    }

    /// Kills the controller and starts it again at the same address.
    pub(crate) fn restart_controller(&mut self) {
        self.kill_controller();
        self.start_controller();
    }

    /// Kills the controller: it has no time for anything.
    pub(crate) fn kill_controller(&mut self) {
        kill(self.nodes.remove(0));
    }

    /// Stops the controller in order.
    pub(crate) fn stop_controller(&mut self) {
        stop(self.nodes.remove(0));
    }

    /// Kills the worker.
    pub(crate) fn kill_worker(&mut self) {
        kill(self.nodes.pop().expect("it runs"));
    }

    /// Stops the worker in order.
    pub(crate) fn stop_worker(&mut self) {
        stop(self.nodes.pop().expect("it runs"));
    }

    /// Starts the worker, which is not there.
    pub(crate) fn start_worker(&mut self) {
        self.start_node("w1", &self.worker.clone());
    }

    /// Starts the controller that was ended.
    pub(crate) fn start_controller(&mut self) {
        self.start_node("ctl", &self.controller.clone());
        // The newest is the last, and its place is the first.
        self.nodes.rotate_right(1);
    }

    /// Stops the worker's process in its tracks: its link looks alive for a while, and nobody answers on it.
    pub(crate) fn freeze_worker(&self) {
        signal(&self.nodes[1], Signal::STOP);
    }

    /// Lets the worker's process go on.
    pub(crate) fn thaw_worker(&self) {
        signal(&self.nodes[1], Signal::CONT);
    }

    /// Makes the command line of a node with this configuration.
    pub(crate) fn node_command(&self, name: &str, config: &str) -> Command {
        let file = self.path(name).join("node.toml");
        fs::write(&file, config).expect("the folder can be written");
        let mut node = self.command(&["node", "--exit-with-parent", "--config"]);
        node.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        node
    }

    fn start_node(&mut self, name: &str, config: &str) -> Value {
        let mut node = self.node_command(name, config).spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = node.stdout.take().expect("it is piped");
        self.nodes.push(node);
        BufReader::new(stdout).read_line(&mut line).expect("it can be read");
        serde_json::from_str(&line).expect("the node says that it is ready")
    }

    /// Returns where the controller listens.
    #[allow(dead_code, reason = "tests with a worker of their own use it")]
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns a file or folder of the house.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a command line of the program, in the folder of the house.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command(self.folder.path(), args)
    }

    /// Runs a command line to its end.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(self.spawn(args))
    }

    /// Runs a command line to its end, with something to read.
    #[track_caller]
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = self.piped(args).stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        end(child)
    }

    /// Runs a command line that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.stdout
    }

    /// Checks how a command line ends.
    #[track_caller]
    pub(crate) fn check(&self, args: &[&str], code: i32, said: &str) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{args:?}: {ended:?}");
        ended
    }

    /// Starts a command line whose outputs are piped.
    #[track_caller]
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.piped(args).spawn().expect("the program starts")
    }

    /// Submits a shell script that goes on by itself, and returns the command's id once it has printed a line.
    #[track_caller]
    pub(crate) fn start_script(&self, script: &str) -> String {
        let id = self.ok(&["run", "w1", "--detach", "--", "sh", "-c", script]).trim().to_owned();
        let mut logs = self.spawn(&["logs", "-f", &id]);
        read_line(&mut logs);
        logs.kill().and_then(|()| logs.wait()).expect("it can be ended");
        id
    }

    /// Starts a command line out of a shell script that ends with it, as its arguments.
    pub(crate) fn wrapped(&self, script: &str, args: &[&str]) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_runnel")]).args(args);
        shell.env("RUNNEL_SOCKET", self.path("api.sock"));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.spawn().expect("there is a shell")
    }

    fn piped(&self, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Best effort: a test that failed says so by itself. The worker goes first and in order, so that it ends its
        // programs.
        while let Some(mut node) = self.nodes.pop() {
            if !self.nodes.is_empty() {
                try_signal(&node, Signal::CONT).and_then(|()| try_signal(&node, Signal::TERM)).ok();
            } else {
                node.kill().ok();
            }
            node.wait().ok();
        }
        end_supervisors(&self.path("w1/state"));
    }
}

/// Makes a command line of the program, in a folder.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("env");
    // Whoever runs the tests in the background, or under nohup, has them ignored, and what is ignored is inherited.
    command.args(["--default-signal=HUP,INT", env!("CARGO_BIN_EXE_runnel")]);
    command.args(args).current_dir(folder).env("RUNNEL_SOCKET", folder.join("api.sock"));
    command.env("RUST_LOG", "error").env_remove("NOTIFY_SOCKET");
    command
}

/// Waits for the first line of a program's output.
#[track_caller]
pub(crate) fn read_line(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().expect("it is piped");
    // One by one: what comes after the line is for others to read.
    let (mut line, mut octet) = (Vec::new(), [0]);
    while stdout.read(&mut octet).expect("it can be read") == 1 && octet != *b"\n" {
        line.extend(octet);
    }
    String::from_utf8(line).expect("text")
}

/// Sends a signal to a program that runs.
#[track_caller]
pub(crate) fn signal(child: &Child, signal: Signal) {
    try_signal(child, signal).expect("it runs");
}

fn try_signal(child: &Child, signal: Signal) -> rustix::io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("it has an id");
    kill_process(pid, signal)
}

fn kill(mut node: Child) {
    node.kill().and_then(|()| node.wait()).expect("it can be ended");
}

fn stop(mut node: Child) {
    signal(&node, Signal::TERM);
    assert!(node.wait().expect("it is our child").success());
}

/// Waits for the end of a program.
#[track_caller]
pub(crate) fn end(child: Child) -> Ended {
    let output = child.wait_with_output().expect("it ends");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Whom the controller knows.
const PEERS: &str = "[peers]\nw1 = []\ngone = []\n";
