//! A fleet of real daemons with a gateway: a controller and the gateway beside the master, a worker behind the network.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runnel::certs::Role;
use runnel_tests::daemon::{daemon, ready};
use runnel_tests::fleet::TestFleet;
use serde_json::Value;
use tokio::process::Command;

use crate::network::{Place, Ways};
use crate::program::Program;

/// The daemons and the gateway.
#[derive(Debug)]
pub(crate) struct Fleet {
    runnel: PathBuf,
    folder: PathBuf,
    controller: Program,
    worker: Option<Program>,
    gateway: Option<Program>,
}

/// What the gateway is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GatewaySettings {
    /// What the master speaks.
    pub(crate) protocol: &'static str,
    /// How long a node may be away in mid-build.
    pub(crate) node_patience: Duration,
}

impl Fleet {
    /// Starts everything, for a master at this address. Builds go into a folder beside those of the daemons.
    pub(crate) async fn start(
        runnel: &Path,
        ways: &mut Ways,
        folder: &Path,
        master: SocketAddr,
        gateway: &GatewaySettings,
    ) -> Self {
        let fleet = TestFleet::today();
        for (name, role) in [("ctl", Role::Controller), ("w1", Role::Worker)] {
            fleet.identity(name, role).save(&folder.join(name)).expect("a folder to write to");
        }
        write_controller(folder, SocketAddr::new(ways.master_address(), 0));
        let (controller, said) = start(runnel, ways, Place::Master, folder, "ctl").await;
        let listening = said["listening"][0].as_str().expect("it listens").parse().expect("an address");
        write_worker(folder, ways.route_to(listening));
        let (worker, _) = start(runnel, ways, Place::Worker, folder, "w1").await;
        write_gateway(folder, master, gateway);
        let gateway = start_gateway(runnel, ways, folder);
        let (runnel, folder) = (runnel.to_owned(), folder.to_owned());
        Self { runnel, folder, controller, worker: Some(worker), gateway: Some(gateway) }
    }

    /// Kills the worker's daemon and starts another.
    pub(crate) async fn restart_worker(&mut self, ways: &Ways) {
        kill(self.worker.take()).await;
        self.worker = Some(start(&self.runnel, ways, Place::Worker, &self.folder, "w1").await.0);
    }

    /// Kills the gateway and starts another.
    pub(crate) async fn restart_gateway(&mut self, ways: &Ways) {
        kill(self.gateway.take()).await;
        self.gateway = Some(start_gateway(&self.runnel, ways, &self.folder));
    }

    pub(crate) async fn end(self) {
        for program in [self.gateway, self.worker, Some(self.controller)].into_iter().flatten() {
            program.end().await;
        }
    }
}

async fn kill(program: Option<Program>) {
    program.expect("it runs").kill().await;
}

async fn start(runnel: &Path, ways: &Ways, place: Place, folder: &Path, name: &str) -> (Program, Value) {
    let mut command = daemon(runnel, &folder.join(name).join("node.toml"));
    let log = folder.join(format!("{name}.log"));
    let (program, stdout) = Program::start(ways, place, &mut command, &log);
    (program, ready(stdout).await)
}

fn start_gateway(runnel: &Path, ways: &Ways, folder: &Path) -> Program {
    let mut command = Command::new(runnel);
    command.args(["gateway", "buildbot", "--config"]).arg(folder.join("gateway.toml"));
    command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or("info".to_owned()));
    let (program, mut stdout) =
        Program::start(ways, Place::Master, &mut command, &folder.join("gateway.log"));
    // Its standard output stays open as long as it runs.
    tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    program
}

fn write_controller(folder: &Path, address: SocketAddr) {
    let socket = folder.join("ctl/api.sock");
    let config = format!(
        "listen = [\"{address}\"]\nstate_dir = \"state\"\n[peers]\nw1 = []\n[api]\nsocket = {socket:?}\n"
    );
    fs::write(folder.join("ctl/node.toml"), config).expect("the folder can be written");
}

fn write_worker(folder: &Path, controller: SocketAddr) {
    let config =
        format!("state_dir = \"state\"\n[peers]\nctl = [\"{controller}\"]\n[api]\nenabled = false\n");
    fs::write(folder.join("w1/node.toml"), config).expect("the folder can be written");
}

fn write_gateway(folder: &Path, master: SocketAddr, settings: &GatewaySettings) {
    let GatewaySettings { protocol, node_patience } = settings;
    let config = format!(
        "master = \"{master}\"\nprotocol = \"{protocol}\"\nnode_patience = \"{node_patience:?}\"\nsocket = {:?}\n\
         [workers.w1]\nname = \"worker1\"\npassword_file = \"password\"\nfolder = {:?}\n",
        folder.join("ctl/api.sock"),
        folder.join("builds")
    );
    fs::write(folder.join("gateway.toml"), config).expect("the folder can be written");
    let mut options = fs::File::options();
    let password = options.write(true).create_new(true).mode(0o600).open(folder.join("password"));
    password.and_then(|mut file| file.write_all(b"secret\n")).expect("the folder can be written");
}
