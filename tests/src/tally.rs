//! The independent count: which commands ran how often, by the word of their handlers alone. Runnel never reads it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use runnel::codec::CommandId;

/// Where the handlers of one process note their calls. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

/// Where the handlers of any process append their calls: it survives them.
#[derive(Clone, Debug)]
pub struct TallyFile(PathBuf);

impl Tally {
    /// Notes one call of the handler of `id`.
    pub fn note(&self, id: &CommandId) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *runs.entry(id.to_string()).or_default() += 1;
    }

    /// Returns how often the handler of `id` was called.
    pub fn runs(&self, id: &CommandId) -> u64 {
        self.all().get(&id.to_string()).copied().unwrap_or(0)
    }

    /// Returns the number of calls of each command that had any.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TallyFile {
    /// A tally in this file, which comes to be with the first call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Appends one call of the handler of `id`: a line shorter than what the system writes in one piece.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn note(&self, id: &CommandId) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        file.write_all(format!("{id}\n").as_bytes())
    }

    /// Returns the number of calls of each command that had any.
    ///
    /// # Errors
    ///
    /// Those of the file, except that it may not be there yet.
    pub fn all(&self) -> io::Result<BTreeMap<String, u64>> {
        let text = match std::fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let mut runs = BTreeMap::new();
        for line in text.lines() {
            *runs.entry(line.to_owned()).or_default() += 1;
        }
        Ok(runs)
    }
}
