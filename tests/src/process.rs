//! Nodes as processes of their own, to be killed and started again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use runnel::NodeHandle;
use runnel::certs::Role;
use runnel::codec::NodeId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::fleet::TestFleet;
use crate::patience::patient;
use crate::route::local;
use crate::tally::TallyFile;

/// A worker's process, started as often as it is killed.
#[derive(Debug)]
pub struct WorkerProcess {
    program: PathBuf,
    args: Vec<String>,
    name: NodeId,
    process: Child,
}

/// A controller's process, started as often as it is killed, always under the same name and address.
#[derive(Debug)]
pub struct ControllerProcess {
    program: PathBuf,
    identity: PathBuf,
    name: NodeId,
    address: SocketAddr,
    life: Life,
}

/// One process of a controller.
#[derive(Debug)]
struct Life {
    process: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    said: BTreeSet<String>,
}

impl WorkerProcess {
    /// Starts the program `test-worker` for a worker that dials `controller`.
    ///
    /// Its identity goes into `folder`; it takes at most `commands_max` commands at once.
    ///
    /// # Panics
    ///
    /// When the program cannot be started, or outside a Tokio runtime.
    pub fn start(
        program: &str,
        fleet: &TestFleet,
        folder: &Path,
        name: &str,
        controller: &NodeHandle,
        tally: &TallyFile,
        commands_max: usize,
    ) -> Self {
        let identity = folder.join(name);
        fleet.identity(name, Role::Worker).save(&identity).expect("a folder to write to");
        let args = vec![
            identity.display().to_string(),
            controller.node().to_string(),
            controller.listening()[0].to_string(),
            tally.path().display().to_string(),
            commands_max.to_string(),
        ];
        let program = PathBuf::from(program);
        let process = spawn(&program, &args);
        Self { program, args, name: name.parse().expect("a valid name"), process }
    }

    /// Returns the worker's name.
    pub fn name(&self) -> &NodeId {
        &self.name
    }

    /// Kills the process, as the system does when memory runs out, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    ///
    /// # Cancel safety
    ///
    /// It may have been killed if the future is dropped.
    pub async fn kill(&mut self) {
        patient("a killed process to end", self.process.kill())
            .await
            .expect("a process of ours can be killed");
    }

    /// Starts the process again.
    ///
    /// # Panics
    ///
    /// When the program cannot be started, or outside a Tokio runtime.
    pub fn restart(&mut self) {
        self.process = spawn(&self.program, &self.args);
    }
}

impl ControllerProcess {
    /// Starts the program `test-controller`. Its identity goes into `folder`.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    ///
    /// # Cancel safety
    ///
    /// The process ends if the future is dropped.
    pub async fn start(program: &str, fleet: &TestFleet, folder: &Path, name: &str) -> Self {
        let identity = folder.join(name);
        fleet.identity(name, Role::Controller).save(&identity).expect("a folder to write to");
        let program = PathBuf::from(program);
        let (life, address) = Life::begin(&program, &identity, local()).await;
        Self { program, identity, name: name.parse().expect("a valid name"), address, life }
    }

    /// Returns the controller's name.
    pub fn name(&self) -> &NodeId {
        &self.name
    }

    /// Returns where it listens, in each of its lives.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it submit a command, `mark` or `hold`. Returns the command's id once it is stored.
    ///
    /// # Panics
    ///
    /// When it does not.
    ///
    /// # Cancel safety
    ///
    /// The command may have been submitted if the future is dropped.
    pub async fn submit(&mut self, kind: &str, to: &NodeId) -> String {
        let order = format!("{kind} {to}\n");
        self.life.orders.write_all(order.as_bytes()).await.expect("it takes orders");
        loop {
            if let Some(id) = self.life.next_line().await.strip_prefix("stored ") {
                return id.to_owned();
            }
        }
    }

    /// Waits until it has said this line.
    ///
    /// # Panics
    ///
    /// When it never does.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn said(&mut self, line: &str) {
        while !self.has_said(line) {
            self.life.next_line().await;
        }
    }

    /// Returns whether it has said this line, as far as was read.
    pub fn has_said(&self, line: &str) -> bool {
        self.life.said.contains(line)
    }

    /// Kills the process, as the system does when memory runs out, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    ///
    /// # Cancel safety
    ///
    /// It may have been killed if the future is dropped.
    pub async fn kill(&mut self) {
        patient("a killed process to end", self.life.process.kill())
            .await
            .expect("a process of ours can be killed");
    }

    /// Starts the process again. What the older one said is forgotten.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    ///
    /// # Cancel safety
    ///
    /// The new process ends if the future is dropped.
    pub async fn restart(&mut self) {
        let (life, address) = Life::begin(&self.program, &self.identity, self.address).await;
        assert_eq!(address, self.address, "its port is free again");
        self.life = life;
    }
}

impl Life {
    async fn begin(program: &Path, identity: &Path, listen: SocketAddr) -> (Self, SocketAddr) {
        let mut command = Command::new(program);
        command.arg(identity).arg(listen.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let orders = process.stdin.take().expect("it is piped");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut life = Self { process, orders, lines, said: BTreeSet::new() };
        let first = life.next_line().await;
        let address = first.strip_prefix("listening ").expect("it says where it listens first");
        (life, address.parse().expect("an address"))
    }

    async fn next_line(&mut self) -> String {
        let line = patient("a controller's word", self.lines.next_line()).await.expect("it can be read");
        let line = line.expect("the controller goes on");
        self.said.insert(line.clone());
        line
    }
}

fn spawn(program: &Path, args: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
}
