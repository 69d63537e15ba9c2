//! What a daemon's configuration file says.
//!
//! `node/config.example.toml` shows every setting with its default.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use runnel::commands::{ExecConfig, FoldersConfig};
use runnel::process::Confinement;
use runnel::supervise::SupervisionConfig;
use runnel::{Config, Policy, StoreConfig};
use serde::{Deserialize, Serialize};

/// What a daemon's configuration file says. Unknown keys are errors, and relative paths count from the file's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DaemonConfig {
    /// Folder with `node.crt`, `node.key` and `ca.crt`; the node's name is in the certificate. Default: the folder of the
    /// configuration file.
    pub(crate) identity: PathBuf,
    /// Addresses to accept links at; port 0 takes any free one. Default: none, and then this node only dials.
    pub(crate) listen: Vec<SocketAddr>,
    /// Peers to dial, each with a list of `host:port`; one with an empty list is known and not dialled. Default: none.
    pub(crate) peers: BTreeMap<String, Vec<String>>,
    /// Folder for what the node keeps between restarts, made if it is missing; each node needs one of its own. Default: none,
    /// and then nothing that was submitted outlives a restart, peers notice one only by silence, and programs end with the
    /// node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The store.
    pub(crate) store: StoreSettings,
    /// The local HTTP API.
    pub(crate) api: ApiConfig,
    /// What a worker's `exec` may run, and where. Default: anything, anywhere.
    pub(crate) confinement: Confinement,
    /// How a worker's `exec` looks after the programs that it runs.
    pub(crate) exec: ExecConfig,
    /// How much one of a worker's commands about folders may ask and answer.
    pub(crate) folders: FoldersConfig,
    /// How a worker's `exec` keeps programs that outlive the node; only with `state_dir`.
    pub(crate) supervision: SupervisionConfig,
    /// Which commands others may send. Default: controllers any, workers none.
    pub(crate) policy: Policy,
    /// Settings of the node.
    pub(crate) settings: Config,
}

/// The store: commands and outcomes that outlive a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreSettings {
    /// Whether there is a store, in the folder `store` of the `state_dir`, if there is one. Default: true. Without it
    /// commands are held in memory alone, and none is found again after a restart.
    pub(crate) enabled: bool,
    /// How it uses memory and disk.
    pub(crate) database: StoreConfig,
}

/// The local HTTP API: its socket, and what it remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiConfig {
    /// Whether the node serves the API. Default: true. Without it the command line cannot speak to this node.
    pub(crate) enabled: bool,
    /// Where its socket is. Default: `$RUNNEL_SOCKET`, else `/run/runnel/api.sock` as root, else
    /// `$XDG_RUNTIME_DIR/runnel/api.sock`, else `runnel/api.sock` in the user's folder for state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// Connections at once. Default: 64.
    ///
    /// Too low, clients wait for those who follow a command; too high, a client gone wild takes the node's memory.
    pub(crate) connections_max: usize,
    /// Longest request, bodies of commands aside, in bytes. Default: 1 MiB.
    ///
    /// Below some 500 KiB not every argument fits that may travel: in JSON a byte takes up to six.
    pub(crate) request_bytes_max: usize,
    /// What is remembered of the events of one command, in bytes. Default: 1 MiB.
    ///
    /// Too low, who comes late finds a gap in the output, and below 32 KiB every reader slows its command down; too high,
    /// few commands fill `logs_bytes_max`.
    pub(crate) log_bytes_max: usize,
    /// What is remembered of the events of all commands, in bytes. Default: 64 MiB.
    ///
    /// Too low, what ended is soon forgotten; too high, the node holds as much memory.
    pub(crate) logs_bytes_max: usize,
    /// Commands that are remembered after their end. Default: 1000.
    ///
    /// Too low, nobody can look up what became of a command; too high, they take the place of those that run.
    pub(crate) ended_max: usize,
    /// How long a command is remembered after its end. Default: 1 h.
    #[serde(with = "humantime_serde")]
    pub(crate) ended_age: Duration,
    /// How long a command waits for a client that reads its output slowly, before the client gets a gap, unless it asked
    /// to be waited for without end (`hold`). Default: 30 s.
    ///
    /// Too low, a stopped terminal loses output; too high, a forgotten client holds its command up that long.
    #[serde(with = "humantime_serde")]
    pub(crate) reader_patience: Duration,
    /// Idempotency keys that are remembered. Default: 10,000.
    ///
    /// Too low, commands with a key are refused; too high, keys take memory.
    pub(crate) keys_max: usize,
    /// How long an idempotency key is remembered. Default: 24 h.
    ///
    /// Too low, a late repetition runs a command again; too high, `keys_max` is reached.
    #[serde(with = "humantime_serde")]
    pub(crate) key_age: Duration,
    /// Bodies of durable commands that may lie on the disk until their commands have ended, in bytes. Default: 4 GiB.
    ///
    /// Too low, uploads are refused; too high, they fill the disk that the store needs.
    pub(crate) bodies_bytes_max: u64,
    /// How long a body is kept that no command names. Default: 1 h.
    ///
    /// Too low, a slow client finds its body gone; too high, what clients have given up takes the place of others'.
    #[serde(with = "humantime_serde")]
    pub(crate) body_age: Duration,
}

impl DaemonConfig {
    /// Reads a configuration file.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let mut config: Self = toml::from_str(&text)
            .with_context(|| format!("the configuration {} is wrong", path.display()))?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Returns the folder of the store, if there is to be one.
    pub(crate) fn store_folder(&self) -> Option<PathBuf> {
        self.state_dir.as_ref().filter(|_| self.store.enabled).map(|folder| folder.join(STORE_FOLDER))
    }

    /// Returns the folder of updates that memory cannot hold, if the node may keep anything.
    pub(super) fn spill_folder(&self) -> Option<PathBuf> {
        self.state_dir.as_ref().map(|folder| folder.join(SPILL_FOLDER))
    }

    /// Returns the folder of the bodies of durable commands, if there is a store. It is not the store's own.
    pub(super) fn bodies_folder(&self) -> Option<PathBuf> {
        self.store_folder().map(|folder| folder.with_file_name(BODIES_FOLDER))
    }

    /// Returns the settings of the node. Its queue has to keep the output that a log keeps, and as much again that is on
    /// its way: else a command would wait for ever for its log to let go of something.
    pub(super) fn node_settings(&self) -> Config {
        let mut settings = self.settings.clone();
        let kept = &mut settings.send_queue.updates_kept_bytes_max;
        *kept = (*kept).max(2 * self.api.log_bytes_max as u64);
        settings
    }

    /// Makes relative paths count from `folder`.
    fn resolve(&mut self, folder: &Path) {
        self.identity = folder.join(&self.identity);
        for path in
            [&mut self.state_dir, &mut self.api.socket, &mut self.confinement.root].into_iter().flatten()
        {
            *path = folder.join(&*path);
        }
    }
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            identity: PathBuf::from("."),
            listen: Vec::new(),
            peers: BTreeMap::new(),
            state_dir: None,
            store: StoreSettings::default(),
            api: ApiConfig::default(),
            confinement: Confinement::default(),
            exec: ExecConfig::default(),
            folders: FoldersConfig::default(),
            supervision: SupervisionConfig::default(),
            policy: Policy::default(),
            settings: Config::default(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { enabled: true, database: StoreConfig::default() }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: None,
            connections_max: 64,
            request_bytes_max: 1 << 20,
            log_bytes_max: 1 << 20,
            logs_bytes_max: 64 << 20,
            ended_max: 1000,
            ended_age: Duration::from_secs(3600),
            reader_patience: Duration::from_secs(30),
            keys_max: 10_000,
            key_age: Duration::from_secs(24 * 3600),
            bodies_bytes_max: 4 << 30,
            body_age: Duration::from_secs(3600),
        }
    }
}

/// Name of the store's folder, in the state folder.
const STORE_FOLDER: &str = "store";

/// Name of the folder with bodies, in the state folder.
const BODIES_FOLDER: &str = "bodies";

/// Name of the folder with updates that memory cannot hold, in the state folder.
const SPILL_FOLDER: &str = "spill";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toml::{Table, Value};

    use super::*;

    const EXAMPLE: &str = include_str!("../../config.example.toml");

    /// The names of all settings, by their whole path.
    fn names(table: &Table, path: &str, names: &mut BTreeSet<String>) {
        for (name, value) in table {
            let path = format!("{path}{name}");
            match value {
                Value::Table(table) if !table.is_empty() => self::names(table, &format!("{path}."), names),
                _ => {
                    names.insert(path);
                }
            }
        }
    }

    #[test]
    fn the_example_holds_the_defaults_and_nothing_else() {
        let example: DaemonConfig = toml::from_str(EXAMPLE).expect("the example is valid");
        assert_eq!(example, DaemonConfig::default());
    }

    #[test]
    fn the_example_names_every_setting() {
        let written = Table::try_from(DaemonConfig::default()).expect("the defaults can be written");
        let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
        names(&written, "", &mut expected);
        names(&toml::from_str(EXAMPLE).expect("the example is valid"), "", &mut found);
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "missing in config.example.toml: {missing:?}");
        // What has no default stands there as a comment.
        for name in ["state_dir", "socket", "allowed_programs", "root", "role", "nodes", "commands"] {
            assert!(EXAMPLE.contains(&format!("# {name} = ")), "{name} is not described");
        }
    }

    #[test]
    fn relative_paths_count_from_the_folder_of_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("node.toml");
        std::fs::write(&file, "[api]\nsocket = \"api.sock\"\n[confinement]\nroot = \"/srv\"\n")
            .expect("written");
        let config = DaemonConfig::load(&file).expect("it is valid");
        assert_eq!(config.identity, folder.path().join("."));
        assert_eq!(config.api.socket, Some(folder.path().join("api.sock")));
        assert_eq!(config.confinement.root, Some(PathBuf::from("/srv")));
    }

    #[test]
    fn the_store_is_in_the_state_folder_unless_it_is_switched_off() {
        let read = |text: &str| toml::from_str::<DaemonConfig>(text).expect("it is valid").store_folder();
        assert_eq!(read(""), None);
        assert_eq!(read("state_dir = \"/a\"\n"), Some(PathBuf::from("/a/store")));
        assert_eq!(read("state_dir = \"/a\"\n[store]\nenabled = false\n"), None);
    }

    #[test]
    fn the_queue_keeps_at_least_twice_what_a_log_keeps() {
        let kept = |text: &str| {
            let config: DaemonConfig = toml::from_str(text).expect("it is valid");
            config.node_settings().send_queue.updates_kept_bytes_max
        };
        assert_eq!(kept("[api]\nlog_bytes_max = 5000000\n"), 10_000_000);
        assert_eq!(kept("[settings.send_queue]\nupdates_kept_bytes_max = 9000000\n"), 9_000_000);
    }

    #[test]
    fn a_misspelt_setting_is_an_error_that_names_it() {
        let error = toml::from_str::<DaemonConfig>("[api]\nsockets = \"x\"\n").expect_err("it is wrong");
        assert!(error.to_string().contains("sockets"), "{error}");
    }
}
