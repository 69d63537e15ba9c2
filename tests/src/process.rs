//! Workers as processes of their own, to be killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use runnel::NodeHandle;
use runnel::certs::Role;
use runnel::codec::NodeId;
use tokio::process::{Child, Command};

use crate::fleet::TestFleet;
use crate::patience::patient;
use crate::tally::TallyFile;

/// A worker's process, started as often as it is killed.
#[derive(Debug)]
pub struct WorkerProcess {
    program: PathBuf,
    args: Vec<String>,
    name: NodeId,
    process: Child,
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

fn spawn(program: &Path, args: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
}
