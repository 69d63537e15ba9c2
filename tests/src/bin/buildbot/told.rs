//! What a master tells of its builds: the other side of `peer/orders.py`.

use std::collections::HashMap;
use std::path::PathBuf;

/// Something that has happened at the master.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Told {
    /// The worker is there.
    Attached,
    /// The worker is gone.
    Detached,
    StepBegan {
        step: String,
    },
    StepEnded {
        step: String,
        result: i64,
    },
    /// A line of output came; only of builders that tell lines.
    Line {
        line: String,
    },
    /// A build has ended; what it said follows.
    BuildEnded {
        builder: String,
    },
    Build(Build),
    /// The configuration was read again.
    Configured,
}

/// A build that has ended.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Build {
    pub(crate) builder: String,
    pub(crate) result: i64,
    pub(crate) steps: Vec<Step>,
}

/// One of its steps.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) result: Option<i64>,
    /// The file with the content of each log. Lines begin with `o`, `e` or `h` for where they come from.
    pub(crate) logs: HashMap<String, PathBuf>,
}

impl Build {
    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Returns the ids of all processes that said theirs: `pid 17`.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let logs = self.steps.iter().filter_map(|step| step.log("stdio"));
        logs.flat_map(|log| log.lines().filter_map(pid_in).collect::<Vec<_>>()).collect()
    }
}

impl Step {
    /// Returns the content of a log.
    pub(crate) fn log(&self, name: &str) -> Option<String> {
        let path = self.logs.get(name)?;
        Some(std::fs::read_to_string(path).expect("the master has written it"))
    }

    /// Returns the standard output, without lines that name a process.
    pub(crate) fn output(&self) -> String {
        let log = self.log("stdio").unwrap_or_default();
        let lines = log.split_inclusive('\n').filter(|line| pid_in(line.trim_end()).is_none());
        lines.filter_map(|line| line.strip_prefix('o')).collect()
    }
}

fn pid_in(line: &str) -> Option<u32> {
    line.strip_prefix("opid ")?.parse().ok()
}

/// Returns what Buildbot calls a result.
pub(crate) fn result_name(result: Option<i64>) -> String {
    let name = match result {
        Some(SUCCESS) => "SUCCESS",
        Some(FAILURE) => "FAILURE",
        Some(EXCEPTION) => "EXCEPTION",
        Some(RETRY) => "RETRY",
        Some(CANCELLED) => "CANCELLED",
        Some(other) => return format!("result {other}"),
        None => "none",
    };
    name.to_owned()
}

pub(crate) const SUCCESS: i64 = 0;
pub(crate) const FAILURE: i64 = 2;
pub(crate) const EXCEPTION: i64 = 4;
pub(crate) const RETRY: i64 = 5;
pub(crate) const CANCELLED: i64 = 6;
