//! What a worker tells of itself when it is attached.

use super::Command;
use crate::jelly::Value;

/// The answer to `getWorkerInfo`. The master uses it for properties, for paths of its own, and to refuse steps that the
/// worker does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    /// The environment of the machine on which commands run: the master looks up `HOME` and `PATH` in it.
    pub environment: Vec<(String, String)>,
    /// The folder that holds the builders' folders, absolute, on that machine.
    pub folder: String,
    /// How many processors the machine has.
    pub processors: u32,
    /// The worker's version, for people.
    pub version: String,
    /// What else is known, as in `admin`, `host` and `os_id`: all of it becomes properties. A name that is taken by the
    /// above is left out.
    pub texts: Vec<(String, String)>,
}

impl WorkerInfo {
    /// Returns the answer as the master wants it.
    pub fn into_value(self) -> Value {
        let environment = self.environment.into_iter().map(|(name, value)| (name.into(), value.into()));
        let own = [
            ("environ", Value::Dict(environment.collect())),
            ("system", "posix".into()),
            ("basedir", self.folder.into()),
            ("numcpus", Value::Int(self.processors.into())),
            ("version", self.version.into()),
            ("worker_commands", Command::versions()),
            // Folders that no builder has are not removed. Over one of the protocols the master would do it.
            ("delete_leftover_dirs", Value::Bool(false)),
        ];
        let is_free = |name: &str| own.iter().all(|(taken, _)| *taken != name);
        let texts: Vec<_> = self.texts.into_iter().filter(|(name, _)| is_free(name)).collect();
        let texts = texts.into_iter().map(|(name, text)| (Value::Text(name), Value::Text(text)));
        Value::Dict(own.map(|(name, value)| (name.into(), value)).into_iter().chain(texts).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_what_a_master_looks_up() {
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let info = WorkerInfo {
            environment: vec![pair("HOME", "/home/w")],
            folder: "/srv/w".to_owned(),
            processors: 2,
            version: "1".to_owned(),
            texts: vec![pair("admin", "someone"), pair("basedir", "/etc")],
        };
        let value = info.into_value();
        assert_eq!(value.get("environ").and_then(|environ| environ.get("HOME")), Some(&"/home/w".into()));
        assert_eq!(value.get("basedir"), Some(&"/srv/w".into()));
        assert_eq!(value.get("admin"), Some(&"someone".into()));
        assert_eq!(
            value.get("worker_commands").and_then(|commands| commands.get("shell")),
            Some(&"3.3".into())
        );
        assert_eq!(value.get("delete_leftover_dirs"), Some(&Value::Bool(false)));
    }
}
