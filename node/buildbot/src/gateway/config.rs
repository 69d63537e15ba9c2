//! What a gateway is told by its configuration file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits::Limits;

/// The configuration of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the master listens for workers of the protocol below: a host and a port. The connection is not encrypted, so
    /// the gateway belongs on the master's machine.
    pub master: String,
    /// What the master speaks there, `pb` or `msgpack`. Default: `pb`.
    ///
    /// Over `msgpack` a Buildbot 4.3 master cannot send files to workers, so steps that download fail.
    #[serde(default)]
    pub protocol: MasterProtocol,
    /// The socket of the local node's API. Default: where the command line looks.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// The gateway's name among those that use the same node: what another of this name has left is ended at the start.
    /// Default: `buildbot`.
    #[serde(default = "default_name")]
    pub name: String,
    /// How long a node may be away while it runs a command before its builds are given up and tried again elsewhere.
    /// Default: 5 min.
    ///
    /// Lower, builds begin again after short outages; higher, a build waits longer for a node that never comes back.
    #[serde(default = "default_node_patience", with = "humantime_serde")]
    pub node_patience: Duration,
    /// How long a node may be away that runs nothing before its worker leaves the master. Default: 10 s.
    ///
    /// Lower, a worker comes and goes with each outage; higher, builds are given to a node that is not there.
    #[serde(default = "default_idle_patience", with = "humantime_serde")]
    pub idle_patience: Duration,
    /// How long a command that was interrupted may take to end, beside its `sigtermTime`, before the master is told that it
    /// has. Default: 30 s. It
    /// is ended all the same, once its node can be reached.
    #[serde(default = "default_interrupt_patience", with = "humantime_serde")]
    pub interrupt_patience: Duration,
    /// Longest pause between attempts to reach the master. Default: 1 min. The first is a second.
    #[serde(default = "default_reconnect_max", with = "humantime_serde")]
    pub reconnect_max: Duration,
    /// How much output may wait for the master, in bytes for each command, before the program is held back. Default: 256
    /// KiB.
    #[serde(default = "default_output_bytes_max")]
    pub output_bytes_max: usize,
    /// How often output of a command goes to the master that comes in small pieces. Default: 100 ms. What comes alone goes at
    /// once, and so does what fills a message.
    ///
    /// Lower, the master writes more and smaller pieces into its database, which makes it slow; higher, output is seen later.
    #[serde(default = "default_output_interval", with = "humantime_serde")]
    pub output_interval: Duration,
    /// Longest file that is downloaded, and longest archive of a folder that is uploaded, in bytes: they are kept in a
    /// temporary file until they have arrived. Default: 16 GiB. Uploads of files need none.
    #[serde(default = "default_spool_bytes_max")]
    pub spool_bytes_max: u64,
    /// Bounds on what the master may make the gateway hold.
    #[serde(default)]
    pub limits: Limits,
    /// The nodes that are workers, by name.
    pub workers: BTreeMap<String, WorkerConfig>,
}

/// A protocol between Buildbot's masters and workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MasterProtocol {
    /// Perspective Broker, which every master speaks: `pb` in its `c['protocols']`.
    #[default]
    Pb,
    /// MessagePack over WebSocket: `msgpack_experimental_v7` in its `c['protocols']`.
    Msgpack,
}

/// A node that is a worker.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// The worker's name at the master. Default: the node's.
    #[serde(default)]
    pub name: Option<String>,
    /// A file with the worker's password, readable for its owner alone. Relative to the configuration file.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The variable of the gateway's environment that has the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// The folder on the node that holds the builders' folders: an absolute path.
    pub folder: String,
    /// What the master shows of the worker beside what the node tells, such as `admin` and `host`.
    #[serde(default)]
    pub info: BTreeMap<String, String>,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There are no workers.
    #[error("there is no [workers.NODE]: a gateway needs at least one node")]
    NoWorkers,
    /// The protocol has no place for the worker's name.
    #[error("the worker's name {name:?} has a colon in it, which cannot be said over msgpack")]
    Colon {
        /// What is given.
        name: String,
    },
    /// A folder is relative.
    #[error("the folder of {node} has to be an absolute path, not {folder:?}")]
    RelativeFolder {
        /// The node.
        node: String,
        /// What is given.
        folder: String,
    },
    /// There is no password, or there are two.
    #[error("{node} needs either a password_file or a password_env")]
    NoPassword {
        /// The node.
        node: String,
    },
    /// The variable is not set, or is no text.
    #[error("the password of {node} should be in the variable {variable}, which is not set")]
    NoVariable {
        /// The node.
        node: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("cannot read the password of {node} from {}: {source}", path.display())]
    Unreadable {
        /// The node.
        node: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("others may read the password of {node}; run: chmod 600 {}", path.display())]
    Exposed {
        /// The node.
        node: String,
        /// The file.
        path: PathBuf,
    },
    /// The name cannot be part of the keys of commands.
    #[error(
        "the gateway's name has to be 1 to 32 letters, digits, dots, dashes and underscores, not {name:?}"
    )]
    Name {
        /// What is given.
        name: String,
    },
}

impl Config {
    /// Checks what the types do not say.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.chars().all(is_name_char) {
            return Err(ConfigError::Name { name: self.name.clone() });
        }
        if self.workers.is_empty() {
            return Err(ConfigError::NoWorkers);
        }
        for (node, worker) in &self.workers {
            let name = worker.name.as_ref().unwrap_or(node);
            if self.protocol == MasterProtocol::Msgpack && name.contains(':') {
                return Err(ConfigError::Colon { name: name.clone() });
            }
            if !worker.folder.starts_with('/') {
                let (node, folder) = (node.clone(), worker.folder.clone());
                return Err(ConfigError::RelativeFolder { node, folder });
            }
        }
        Ok(())
    }
}

impl WorkerConfig {
    /// Reads the password of this worker, which is that of `node`. A file counts from `folder`; the end of its last line
    /// does not belong to it.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn password(&self, node: &str, folder: &Path) -> Result<String, ConfigError> {
        let node = node.to_owned();
        match (&self.password_file, &self.password_env) {
            (Some(path), None) => read_password(node, folder.join(path)),
            (None, Some(variable)) => std::env::var(variable)
                .map_err(|_| ConfigError::NoVariable { node, variable: variable.clone() }),
            _ => Err(ConfigError::NoPassword { node }),
        }
    }
}

fn read_password(node: String, path: PathBuf) -> Result<String, ConfigError> {
    let read = || {
        let is_exposed = fs::metadata(&path)?.permissions().mode() & 0o077 != 0;
        Ok((is_exposed, fs::read_to_string(&path)?))
    };
    match read() {
        Ok((true, _)) => Err(ConfigError::Exposed { node, path }),
        Ok((false, text)) => Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned()),
        Err(source) => Err(ConfigError::Unreadable { node, path, source }),
    }
}

fn default_name() -> String {
    "buildbot".to_owned()
}

fn default_node_patience() -> Duration {
    Duration::from_secs(300)
}

fn default_idle_patience() -> Duration {
    Duration::from_secs(10)
}

fn default_interrupt_patience() -> Duration {
    Duration::from_secs(30)
}

fn default_reconnect_max() -> Duration {
    Duration::from_secs(60)
}

fn default_output_bytes_max() -> usize {
    256 << 10
}

fn default_output_interval() -> Duration {
    Duration::from_millis(100)
}

fn default_spool_bytes_max() -> u64 {
    16 << 30
}

/// It is the beginning of the keys of commands, of which 128 bytes are allowed.
const NAME_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    const WORKER: &str = "master = \"127.0.0.1:9989\"\n[workers.w1]\nfolder = \"/srv/w\"\n";

    #[test]
    fn what_is_not_said_has_its_default() {
        let config = config(WORKER);
        assert_eq!(config.node_patience, Duration::from_secs(300));
        assert_eq!(config.name, "buildbot");
        config.check().unwrap();
    }

    #[test]
    fn mistakes_are_named() {
        assert!(toml::from_str::<Config>(&WORKER.replace("folder", "fodler")).is_err());
        let relative = config(&WORKER.replace("/srv/w", "w")).check().unwrap_err();
        assert_eq!(relative.to_string(), "the folder of w1 has to be an absolute path, not \"w\"");
        let named = config(&format!("name = \"a/b\"\n{WORKER}")).check().unwrap_err();
        assert!(matches!(named, ConfigError::Name { .. }));
        let nobody = config("master = \"127.0.0.1:9989\"\nworkers = {}\n").check().unwrap_err();
        assert!(matches!(nobody, ConfigError::NoWorkers));
    }

    #[test]
    fn the_protocol_is_pb_unless_another_is_said() {
        assert_eq!(config(WORKER).protocol, MasterProtocol::Pb);
        let named = format!("protocol = \"msgpack\"\n{WORKER}name = \"a:b\"\n");
        assert_eq!(config(&named).protocol, MasterProtocol::Msgpack);
        assert!(matches!(config(&named).check(), Err(ConfigError::Colon { .. })));
        config(&named.replace("msgpack", "pb")).check().unwrap();
        assert!(toml::from_str::<Config>(&named.replace("msgpack", "ssh")).is_err());
    }

    #[test]
    fn a_password_is_read_from_a_file_that_nobody_else_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&format!("{WORKER}password_file = \"w1.password\"\n"));
        let password = || config.workers["w1"].password("w1", folder.path());
        assert!(matches!(password(), Err(ConfigError::Unreadable { .. })));
        let path = folder.path().join("w1.password");
        fs::write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(password(), Err(ConfigError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password().unwrap(), "secret");
    }

    #[test]
    fn there_is_one_place_for_a_password() {
        let worker = &config(WORKER).workers["w1"];
        assert!(matches!(worker.password("w1", Path::new("")), Err(ConfigError::NoPassword { .. })));
        let worker = WorkerConfig { password_env: Some("RUNNEL_NO_SUCH".to_owned()), ..worker.clone() };
        assert!(matches!(worker.password("w1", Path::new("")), Err(ConfigError::NoVariable { .. })));
    }
}
