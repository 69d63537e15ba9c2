//! The processes: a controller and a worker, their supervisors, and the relay between them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use runnel::certs::Role;
use runnel::relay::PathConfig;
use runnel_tests::daemon::{build_program, daemon, ready};
use runnel_tests::fleet::TestFleet;
use runnel_tests::patience::patient;
use runnel_tests::route::Route;
use rustix::process::{Pid, Signal, getsid, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use super::api::Api;

/// The processes and their files.
pub(super) struct World {
    folder: TempDir,
    program: PathBuf,
    controller: Option<Child>,
    worker: Option<Child>,
    /// It ends with the world.
    _route: Route,
    /// Folders of programs whose supervisor was killed, by name.
    pub(super) bereft: BTreeSet<String>,
    pub(super) kills: Kills,
}

/// How often what was killed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kills {
    pub(super) controllers: u64,
    pub(super) workers: u64,
    pub(super) supervisors: u64,
}

impl World {
    /// Builds the program, makes a fleet in a temporary folder and starts its daemons.
    pub(super) async fn start(seed: u64) -> Self {
        let program = build_program().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fleet = TestFleet::today();
        for (name, role) in [("ctl", Role::Controller), ("w1", Role::Worker)] {
            fleet.identity(name, role).save(&folder.path().join(name)).expect("a folder to write to");
        }
        fs::create_dir(folder.path().join("work")).expect("it is new");
        write_controller(folder.path(), "127.0.0.1:0");
        let (controller, ready) = spawn(&program, folder.path(), "ctl").await;
        let address = ready["listening"][0].as_str().expect("it listens").to_owned();
        write_controller(folder.path(), &address);
        let route = Route::to(address.parse().expect("an address"), path(), seed);
        write_worker(folder.path(), &route);
        let (worker, _) = spawn(&program, folder.path(), "w1").await;
        Self {
            folder,
            program,
            controller: Some(controller),
            worker: Some(worker),
            _route: route,
            bereft: BTreeSet::new(),
            kills: Kills::default(),
        }
    }

    pub(super) async fn kill_controller(&mut self) {
        self.kills.controllers += kill(self.controller.take()).await;
    }

    pub(super) async fn kill_worker(&mut self) {
        self.kills.workers += kill(self.worker.take()).await;
    }

    /// Kills one of the supervisors that are at work, if there is one.
    pub(super) fn kill_supervisor(&mut self, rng: &mut ChaCha8Rng) {
        let supervisors = self.supervisors();
        if supervisors.is_empty() {
            return;
        }
        let (pid, name) = &supervisors[rng.random_range(0..supervisors.len())];
        // It may just have ended by itself. Noted before: whoever reads the result must know.
        self.bereft.insert(name.clone());
        if kill_process(*pid, Signal::KILL).is_ok() {
            self.kills.supervisors += 1;
        }
    }

    pub(super) async fn start_controller(&mut self) {
        self.controller = Some(spawn(&self.program, self.folder.path(), "ctl").await.0);
    }

    /// Starts the daemons that are not there.
    pub(super) async fn start_missing(&mut self) {
        if self.controller.is_none() {
            self.start_controller().await;
        }
        if self.worker.is_none() {
            self.worker = Some(spawn(&self.program, self.folder.path(), "w1").await.0);
        }
    }

    /// Ends the daemons in order, the worker first.
    pub(super) async fn end(mut self) {
        for mut daemon in [self.worker.take(), self.controller.take()].into_iter().flatten() {
            kill_process(pid_of(&daemon), Signal::TERM).expect("it runs");
            patient("a daemon to stop", daemon.wait()).await.expect("it is our child");
        }
    }

    /// Returns the supervisors at work for this world: their processes and the names of their folders.
    pub(super) fn supervisors(&self) -> Vec<(Pid, String)> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let exec = self.exec_folder();
        let found = entries.flatten().filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let mut words = line.split('\0').skip(1);
            let folder = (words.next()? == "supervise").then(|| words.next()).flatten()?;
            let name = Path::new(folder).strip_prefix(&exec).ok()?;
            // Its program has the same line for a moment: until it is executed it is a copy of its supervisor.
            let is_supervisor = getsid(Some(pid)).is_ok_and(|session| session == pid);
            is_supervisor.then(|| Some((pid, name.to_str()?.to_owned()))).flatten()
        });
        let mut supervisors: Vec<_> = found.collect();
        supervisors.sort_by(|one, other| one.1.cmp(&other.1));
        supervisors
    }

    /// Returns the folder of the worker's programs, below which each has one.
    pub(super) fn exec_folder(&self) -> PathBuf {
        self.folder.path().join("w1/state/exec")
    }

    /// Returns the folder in which programs run.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn api(&self) -> Api {
        Api { socket: self.folder.path().join("ctl/api.sock") }
    }
}

/// Starts a daemon and waits until it is ready.
async fn spawn(program: &Path, folder: &Path, name: &str) -> (Child, Value) {
    let mut command = daemon(program, &folder.join(name).join("node.toml"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut daemon = command.spawn().expect("the program was built");
    let stdout = daemon.stdout.take().expect("it is piped");
    let said = ready(stdout).await;
    (daemon, said)
}

async fn kill(daemon: Option<Child>) -> u64 {
    let Some(mut daemon) = daemon else { return 0 };
    patient("a killed daemon to end", daemon.kill()).await.expect("it is our child");
    1
}

fn pid_of(daemon: &Child) -> Pid {
    daemon.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).expect("it was not waited for")
}

fn write_controller(folder: &Path, address: &str) {
    let socket = folder.join("ctl/api.sock");
    let config = format!(
        "listen = [{address:?}]\nstate_dir = \"state\"\n[peers]\nw1 = []\n\
         [api]\nsocket = {socket:?}\nended_max = 100000\n{LIVENESS}"
    );
    fs::write(folder.join("ctl/node.toml"), config).expect("the folder can be written");
}

fn write_worker(folder: &Path, route: &Route) {
    let config = format!(
        "state_dir = \"state\"\n[peers]\nctl = [\"{}\"]\n[api]\nenabled = false\n[confinement]\nroot = {:?}\n{LIVENESS}",
        route.address(),
        folder.join("work")
    );
    fs::write(folder.join("w1/node.toml"), config).expect("the folder can be written");
}

fn path() -> PathConfig {
    PathConfig {
        loss: 0.02,
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(3),
        ..PathConfig::default()
    }
}

/// A daemon learns soon that the other was killed.
const LIVENESS: &str = "[settings.liveness]\nowed_interval = \"200ms\"\nidle_interval = \"200ms\"\n";
