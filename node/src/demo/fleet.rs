//! The demo's fleet: a folder, an authority, and a process for each node, the workers behind relays.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use runnel::certs::{AUTHORITY_LIFETIME, Authority, Identity, NodeKey, Role, Validity};
use runnel::relay::{Relay, RelayConfig, RelayCounts};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::folder::DemoFolder;
use runnel_client::Client;
use runnel_client::api::NodeList;

/// A fleet that runs.
pub(super) struct Fleet {
    folder: DemoFolder,
    controller: Process,
    workers: Vec<Process>,
    client: Client,
    relays: JoinSet<std::io::Result<RelayCounts>>,
    stop_relays: CancellationToken,
    /// Stops the first of the last worker's two ways to the controller.
    stop_first_way: CancellationToken,
    timers: JoinSet<()>,
}

/// A node's process.
struct Process {
    name: String,
    child: Child,
    ready: Ready,
}

/// What a node says when it is ready (node/API.md, "The socket").
#[derive(Debug, Deserialize)]
struct Ready {
    listening: Vec<SocketAddr>,
    socket: PathBuf,
}

impl Fleet {
    /// Makes the fleet and waits until all links are up.
    pub(super) async fn start(relay: &RelayConfig, seed: u64) -> anyhow::Result<Self> {
        let folder = DemoFolder::make(&std::env::temp_dir()).context("cannot make a temporary folder")?;
        let authority =
            Authority::create("demo".parse()?, Validity::starting(SystemTime::now(), AUTHORITY_LIFETIME)?)?;
        issue(&authority, folder.path(), CONTROLLER, Role::Controller)?;
        let config =
            format!("listen = [\"127.0.0.1:0\"]\n[api]\nsocket = \"api.sock\"\nended_max = {ENDED_MAX}\n");
        let controller = Process::start(folder.path(), CONTROLLER, &config).await?;
        let target = *controller.ready.listening.first().context("the controller listens nowhere")?;
        let client = Client::new(controller.ready.socket.clone());
        let (relays, stop_relays) = (JoinSet::new(), CancellationToken::new());
        let stop_first_way = stop_relays.child_token();
        let mut fleet = Self {
            folder,
            controller,
            workers: Vec::new(),
            client,
            relays,
            stop_relays,
            stop_first_way,
            timers: JoinSet::new(),
        };
        for number in 1..=WORKERS {
            let mut ways =
                vec![fleet.add_relay(target, relay, seed.wrapping_add(number), fleet.stop_relays.clone())?];
            if number == WORKERS {
                let stop = fleet.stop_first_way.clone();
                ways.insert(0, fleet.add_relay(target, relay, seed.wrapping_add(number + 1), stop)?);
            }
            fleet.add_worker(&authority, &format!("w{number}"), &ways).await?;
        }
        tokio::time::timeout(LINK_TIMEOUT, fleet.wait_for_links())
            .await
            .with_context(|| format!("not all links were up within {LINK_TIMEOUT:?}"))??;
        Ok(fleet)
    }

    fn add_relay(
        &mut self,
        target: SocketAddr,
        config: &RelayConfig,
        seed: u64,
        stop: CancellationToken,
    ) -> anyhow::Result<SocketAddr> {
        let relay = Relay::bind(SocketAddr::from(([127, 0, 0, 1], 0)), target, config.clone(), seed)?;
        let address = relay.local_addr();
        self.relays.spawn(relay.run(stop));
        Ok(address)
    }

    async fn add_worker(
        &mut self,
        authority: &Authority,
        name: &str,
        ways: &[SocketAddr],
    ) -> anyhow::Result<()> {
        let ways: Vec<_> = ways.iter().map(ToString::to_string).collect();
        let config = format!(
            "[peers]\n{CONTROLLER} = {ways:?}\n[api]\nsocket = \"api.sock\"\n[confinement]\nroot = \".\"\n"
        );
        issue(authority, self.folder.path(), name, Role::Worker)?;
        self.workers.push(Process::start(self.folder.path(), name, &config).await?);
        Ok(())
    }

    /// Lets the first of the last worker's two ways to the controller be gone for good after a time.
    pub(super) fn lose_first_way(&mut self, after: Duration) {
        let (stop, stopped) = (self.stop_first_way.clone(), self.stop_relays.clone());
        self.timers.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => stop.cancel(),
                () = stopped.cancelled() => {}
            }
        });
    }

    async fn wait_for_links(&self) -> anyhow::Result<()> {
        loop {
            let list: NodeList = self.client.get("/v1/nodes").await?;
            let up = list.nodes.iter().filter(|node| node.link.is_some()).count();
            if up == self.workers.len() {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the way to the controller: its local HTTP API.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the workers' names.
    pub(super) fn workers(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.name.clone()).collect()
    }

    /// Returns a worker's own folder, in which its files are.
    pub(super) fn folder_of(&self, worker: &str) -> PathBuf {
        self.folder.path().join(worker)
    }

    /// Returns the file to which the executed commands themselves append.
    pub(super) fn tally_path(&self) -> PathBuf {
        tally_path(self.folder.path())
    }

    /// Stops workers, controller and relays, in this order. Returns what each relay counted.
    pub(super) async fn stop(&mut self) -> anyhow::Result<Vec<RelayCounts>> {
        for process in self.workers.iter_mut().chain([&mut self.controller]) {
            process.stop().await?;
        }
        self.stop_relays.cancel();
        let mut counts = Vec::new();
        while let Some(relay) = self.relays.join_next().await {
            counts.push(relay??);
        }
        while let Some(timer) = self.timers.join_next().await {
            timer?;
        }
        Ok(counts)
    }
}

impl Process {
    /// Starts a node with this configuration and waits until it says that it is ready.
    async fn start(folder: &Path, name: &str, config: &str) -> anyhow::Result<Self> {
        let path = folder.join(name).join("node.toml");
        std::fs::write(&path, config)?;
        let mut command = Command::new(std::env::current_exe()?);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        let mut child = command
            .arg("node")
            .arg("--config")
            .arg(&path)
            .arg("--exit-with-parent")
            .env("RUNNEL_TALLY", tally_path(folder))
            // Held by this process and closed with it, however it ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("the child has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_TIMEOUT, lines.next_line())
            .await
            .with_context(|| format!("{name} was not ready within {READY_TIMEOUT:?}"))??
            .with_context(|| format!("{name} ended before it was ready"))?;
        let ready = serde_json::from_str(&line).with_context(|| format!("{name} said {line}"))?;
        Ok(Self { name: name.to_owned(), child, ready })
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let pid = rustix::process::Pid::from_raw(pid).context("a process has no id 0")?;
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        tokio::time::timeout(STOP_TIMEOUT, self.child.wait())
            .await
            .with_context(|| format!("{} did not stop within {STOP_TIMEOUT:?}", self.name))??;
        Ok(())
    }
}

/// Makes a node's key and certificate in a folder of its own.
fn issue(authority: &Authority, folder: &Path, name: &str, role: Role) -> anyhow::Result<()> {
    let key = NodeKey::generate()?;
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(24 * 3600))?;
    let leaf = authority.issue(&key.csr()?, &name.parse()?, role, validity)?;
    let identity = Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem())?;
    let folder = folder.join(name);
    std::fs::create_dir(&folder)?;
    Ok(identity.save(&folder)?)
}

fn tally_path(folder: &Path) -> PathBuf {
    folder.join("tally")
}

const CONTROLLER: &str = "controller";

const WORKERS: u64 = 3;

/// Commands that the controller remembers after their end: more than a demo has.
const ENDED_MAX: u32 = 1_000_000;

/// Longest wait until a node is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait for the first links; each attempt takes at most 4 s.
const LINK_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for a node to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How often the controller is asked whether its links are up.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
