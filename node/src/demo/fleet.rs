//! The demo's fleet: a folder, an authority, a controller, and workers as processes behind relays.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use runnel::certs::{AUTHORITY_LIFETIME, Authority, Identity, NodeKey, Role, Validity};
use runnel::codec::NodeId;
use runnel::relay::{Relay, RelayConfig, RelayCounts};
use runnel::{Node, NodeBuilder, NodeHandle, Status};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A fleet that runs.
pub(super) struct Fleet {
    folder: TempDir,
    controller: Option<Node>,
    handle: NodeHandle,
    /// Being watched, the status is kept fresh.
    status: watch::Receiver<Arc<Status>>,
    workers: Vec<Worker>,
    relays: JoinSet<std::io::Result<RelayCounts>>,
    stop_relays: CancellationToken,
}

/// A worker's process.
struct Worker {
    name: NodeId,
    process: Child,
}

impl Fleet {
    /// Makes the fleet and waits until all links are up.
    pub(super) async fn start(relay: &RelayConfig, seed: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let authority =
            Authority::create("demo".parse()?, Validity::starting(SystemTime::now(), AUTHORITY_LIFETIME)?)?;
        let identity = issue(&authority, folder.path(), "controller", Role::Controller)?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let controller = NodeBuilder::new(identity).listen(local).start().await?;
        let handle = controller.handle().clone();
        let target = handle.listening()[0];
        let mut fleet = Self {
            folder,
            controller: Some(controller),
            status: handle.status(),
            handle,
            workers: Vec::new(),
            relays: JoinSet::new(),
            stop_relays: CancellationToken::new(),
        };
        for number in 1..=WORKERS {
            let relay = Relay::bind(local, target, relay.clone(), seed.wrapping_add(number))?;
            let address = relay.local_addr();
            fleet.relays.spawn(relay.run(fleet.stop_relays.clone()));
            fleet.add_worker(&authority, &format!("w{number}"), address)?;
        }
        for worker in &fleet.workers {
            tokio::time::timeout(LINK_TIMEOUT, fleet.handle.wait_for_link(&worker.name))
                .await
                .with_context(|| format!("no link to {} within {LINK_TIMEOUT:?}", worker.name))??;
        }
        Ok(fleet)
    }

    fn add_worker(
        &mut self,
        authority: &Authority,
        name: &str,
        controller: SocketAddr,
    ) -> anyhow::Result<()> {
        issue(authority, self.folder.path(), name, Role::Worker)?;
        let folder = self.folder.path().join(name);
        let config = folder.join("node.toml");
        let text = format!("[peers]\ncontroller = [\"{controller}\"]\n[api]\nsocket = \"api.sock\"\n");
        std::fs::write(&config, text)?;
        let mut command = Command::new(std::env::current_exe()?);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        let process = command
            .arg("node")
            .arg("--config")
            .arg(&config)
            .arg("--exit-with-parent")
            .env("RUNNEL_TALLY", self.tally_path())
            // Held by this process and closed with it, however it ends.
            .stdin(Stdio::piped())
            // Each says there that it is ready; the demo waits for the links instead.
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a worker")?;
        self.workers.push(Worker { name: name.parse()?, process });
        Ok(())
    }

    /// Returns the controller's handle.
    pub(super) fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Returns the workers' names.
    pub(super) fn workers(&self) -> impl Iterator<Item = &NodeId> {
        self.workers.iter().map(|worker| &worker.name)
    }

    /// Returns the file to which the executed commands themselves append.
    pub(super) fn tally_path(&self) -> PathBuf {
        self.folder.path().join("tally")
    }

    /// Returns what the controller says of its links.
    pub(super) fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Stops workers, controller and relays, in this order. Returns what each relay counted.
    pub(super) async fn stop(&mut self) -> anyhow::Result<Vec<RelayCounts>> {
        for worker in &mut self.workers {
            if let Some(pid) = worker.process.id().and_then(|id| i32::try_from(id).ok()) {
                let pid = rustix::process::Pid::from_raw(pid).context("a process has no id 0")?;
                rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            }
            tokio::time::timeout(STOP_TIMEOUT, worker.process.wait())
                .await
                .with_context(|| format!("{} did not stop within {STOP_TIMEOUT:?}", worker.name))??;
        }
        if let Some(controller) = self.controller.take() {
            controller.shutdown().await;
        }
        self.stop_relays.cancel();
        let mut counts = Vec::new();
        while let Some(relay) = self.relays.join_next().await {
            counts.push(relay??);
        }
        Ok(counts)
    }
}

/// Makes a node's key and certificate in a folder of its own.
fn issue(authority: &Authority, folder: &Path, name: &str, role: Role) -> anyhow::Result<Identity> {
    let key = NodeKey::generate()?;
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(24 * 3600))?;
    let leaf = authority.issue(&key.csr()?, &name.parse()?, role, validity)?;
    let identity = Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem())?;
    let folder = folder.join(name);
    std::fs::create_dir(&folder)?;
    identity.save(&folder)?;
    Ok(identity)
}

const WORKERS: u64 = 3;

/// Longest wait for the first links; each attempt takes at most 4 s.
const LINK_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for a worker to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
