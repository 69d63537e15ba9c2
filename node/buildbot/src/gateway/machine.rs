//! What a node tells of its machine, for the master and for paths that begin with `~`.

use std::collections::BTreeMap;

use runnel_client::api::{Happening, Stream};
use serde_json::json;

use super::config::WorkerConfig;
use super::fault::Fault;
use super::node::{Halt, Next, Node, Work, known};
use crate::worker::WorkerInfo;

/// A node's machine, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    environment: BTreeMap<String, String>,
    processors: u32,
    version: String,
    texts: BTreeMap<String, String>,
}

impl Machine {
    /// Asks the node.
    pub(super) async fn learn(node: &Node, halt: &Halt) -> Result<Self, Fault> {
        let work = Work::small("sys.info/1", json!({}));
        let info = node.call(&work, halt).await?.result;
        let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
        let processors = info["cpus"].as_u64().and_then(|cpus| u32::try_from(cpus).ok());
        let os_release =
            ask(node, halt, &json!({ "program": "/bin/cat", "args": ["/etc/os-release"] })).await?;
        let environment = ask(node, halt, &json!({ "program": "/usr/bin/env", "args": ["-0"] })).await?;
        let mut texts = os_texts(&os_release);
        texts.insert("host".to_owned(), format!("{} ({} {})", node.name, text("os"), text("arch")));
        let version = format!("runnel {}", text("version"));
        Ok(Self { environment: variables(&environment), processors: processors.unwrap_or(1), version, texts })
    }

    /// Returns the home of the user as whom the node runs.
    pub(super) fn home(&self) -> Option<String> {
        self.environment.get("HOME").cloned()
    }

    /// Returns what the master is told of the worker.
    pub(super) fn info(&self, config: &WorkerConfig) -> WorkerInfo {
        let texts = self.texts.iter().filter(|(name, _)| !config.info.contains_key(*name));
        let pair = |(name, text): (&String, &String)| (name.clone(), text.clone());
        WorkerInfo {
            environment: self.environment.iter().map(pair).collect(),
            folder: config.folder.clone(),
            processors: self.processors,
            version: self.version.clone(),
            texts: texts.chain(&config.info).map(pair).collect(),
        }
    }
}

/// Runs a program and returns what it writes to its standard output; whatever else it does is of no interest.
async fn ask(node: &Node, halt: &Halt, args: &serde_json::Value) -> Result<String, Fault> {
    let work = Work::small("exec/1", args.clone());
    let mut events = node.events(node.submit(&work).await?, halt);
    let mut said = Vec::new();
    loop {
        match events.next().await? {
            Next::Event(Happening::Output(output)) if output.stream == Stream::Stdout => {
                said.extend(output.into_octets().unwrap_or_default());
                said.truncate(SAID_BYTES_MAX);
            }
            Next::Event(Happening::Outcome { outcome }) => {
                known(outcome)?;
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
            Next::Event(_) | Next::Interrupted | Next::GivenUp => {}
        }
    }
}

/// Reads what `env -0` writes. What is the command's own is left out.
fn variables(said: &str) -> BTreeMap<String, String> {
    let pairs = said.split('\0').filter_map(|line| line.split_once('='));
    let foreign = pairs.filter(|(name, _)| *name != "RUNNEL_ID");
    foreign.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Reads os-release(5): `os_id`, `os_version_id` and so on.
fn os_texts(said: &str) -> BTreeMap<String, String> {
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let texts = pairs.filter(|(name, _)| is_name(name)).map(|(name, value)| {
        (format!("os_{}", name.to_ascii_lowercase()), value.trim_matches(['"', '\'']).to_owned())
    });
    texts.collect()
}

/// More than any environment that a program can be given by a shell.
const SAID_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_may_have_several_lines() {
        let read = variables("HOME=/home/w\0PS1=a\nb=c\0RUNNEL_ID=ctl.w1.0.1\0EMPTY=\0");
        let pairs = [("EMPTY", ""), ("HOME", "/home/w"), ("PS1", "a\nb=c")];
        assert_eq!(read, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn the_systems_names_are_in_lower_case_and_without_quotes() {
        let read = os_texts("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n# a comment=1\n");
        assert_eq!(read.get("os_id").map(String::as_str), Some("debian"));
        assert_eq!(read.get("os_pretty_name").map(String::as_str), Some("Debian GNU/Linux 13"));
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn what_the_configuration_says_wins() {
        let mut machine = Machine::default();
        machine.texts.insert("host".to_owned(), "w1".to_owned());
        let config = "folder = \"/srv/w\"\n[info]\nhost = \"a machine\"\nadmin = \"someone\"\n";
        let info = machine.info(&toml::from_str(config).unwrap());
        assert_eq!(info.folder, "/srv/w");
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(info.texts, [pair("admin", "someone"), pair("host", "a machine")]);
    }
}
