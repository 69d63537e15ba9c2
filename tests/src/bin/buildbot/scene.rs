//! A master and its worker, with a network between them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runnel_benches::emulated::LinkError;
use tempfile::TempDir;
use tokio::process::Command;

use crate::environment::{Environment, peer_folder};
use crate::fleet::{Fleet, GatewaySettings};
use crate::master::{InVain, Master};
use crate::network::{Network, Place, Ways};
use crate::program::Program;

/// What every scene is made of.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) environment: Environment,
    /// The program `runnel`.
    pub(crate) runnel: PathBuf,
    /// A repository for Git, if there is Git.
    pub(crate) repository: Option<PathBuf>,
}

/// Whose worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Buildbot's own.
    Reference,
    /// A node of a fleet behind the gateway.
    Runnel,
    /// The same, and the master speaks its other protocol.
    Msgpack,
}

impl Kind {
    /// What the master speaks with it, as the gateway's configuration names it.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Reference | Self::Runnel => "pb",
            Self::Msgpack => "msgpack",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "reference",
            Self::Runnel => "runnel",
            Self::Msgpack => "msgpack",
        })
    }
}

/// A master and its worker at work.
pub(crate) struct Scene {
    pub(crate) master: Master,
    pub(crate) ways: Ways,
    pub(crate) worker: Worker,
    folder: TempDir,
}

pub(crate) enum Worker {
    Reference(Box<Program>),
    Runnel(Box<Fleet>),
}

/// Why there is no scene.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SceneError {
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("the worker does not come: see {}", folder.display())]
    NoWorker { folder: PathBuf },
}

impl Scene {
    /// Starts everything and waits until the worker has come to the master.
    pub(crate) async fn start(stage: &Stage, kind: Kind, network: &Network) -> Result<Self, SceneError> {
        Self::start_patient(stage, kind, network, NODE_PATIENCE).await
    }

    /// The same, with a gateway that lets a node be away for so long.
    pub(crate) async fn start_patient(
        stage: &Stage,
        kind: Kind,
        network: &Network,
        node_patience: Duration,
    ) -> Result<Self, SceneError> {
        let mut ways = network.start()?;
        let folder = tempfile::Builder::new().prefix("runnel-buildbot-").tempdir().expect("a folder");
        let home = folder.path().join("master");
        std::fs::create_dir(&home).expect("the folder is new");
        std::fs::write(home.join("source"), source(1_500_000)).expect("a file can be written");
        std::fs::write(home.join("measured"), source(20_000_000)).expect("a file can be written");
        let repository = stage.repository.as_ref().map(|path| format!("file://{}", path.display()));
        let repository = repository.unwrap_or_default();
        let protocol = kind.protocol();
        let mut master = Master::start(&stage.environment, &ways, &home, &repository, protocol).await;
        let worker = match kind {
            Kind::Reference => {
                Worker::Reference(Box::new(start_reference(stage, &ways, folder.path(), &master)))
            }
            Kind::Runnel | Kind::Msgpack => {
                let settings = GatewaySettings { protocol, node_patience };
                let started =
                    Fleet::start(&stage.runnel, &mut ways, folder.path(), master.address, &settings);
                Worker::Runnel(Box::new(started.await))
            }
        };
        if master.attached().await == Err(InVain) {
            return Err(SceneError::NoWorker { folder: folder.keep() });
        }
        Ok(Self { master, ways, worker, folder })
    }

    /// Returns the fleet, of a scene that has one.
    pub(crate) fn fleet(&mut self) -> (&mut Fleet, &Ways) {
        match &mut self.worker {
            Worker::Runnel(fleet) => (fleet, &self.ways),
            Worker::Reference(_) => panic!("the reference worker is no fleet"),
        }
    }

    /// Returns a file in the folder of a builder on the worker.
    pub(crate) fn worker_path(&self, builder: &str, name: &str) -> PathBuf {
        self.folder.path().join("builds").join(builder).join(name)
    }

    /// Ends everything. Returns the folder if it is kept.
    pub(crate) async fn end(self, keeps: bool) -> Option<PathBuf> {
        match self.worker {
            Worker::Reference(program) => program.end().await,
            Worker::Runnel(fleet) => fleet.end().await,
        }
        self.master.end().await;
        keeps.then(|| self.folder.keep())
    }
}

fn start_reference(stage: &Stage, ways: &Ways, folder: &Path, master: &Master) -> Program {
    let mut command = Command::new(&stage.environment.python);
    command.arg(peer_folder().join("worker.py")).arg(folder.join("builds"));
    command.arg(master.address.ip().to_string()).arg(master.address.port().to_string());
    let (program, mut stdout) = Program::start(ways, Place::Worker, &mut command, &folder.join("worker.err"));
    let log = tokio::fs::File::create(folder.join("worker.log"));
    tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut log.await?).await });
    program
}

/// The gateway's default.
const NODE_PATIENCE: Duration = Duration::from_secs(300);

/// The content of a file of the master: nothing in it repeats soon.
pub(crate) fn source(bytes: usize) -> Vec<u8> {
    let numbers = (0_u32..).map(|number| number.wrapping_mul(0x9e37_79b9));
    numbers.flat_map(u32::to_le_bytes).take(bytes).collect()
}
