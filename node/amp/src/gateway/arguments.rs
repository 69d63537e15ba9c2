//! Reading the arguments of a command, each once and strictly.

use bytes::Bytes;

use super::refusal::Refusal;
use crate::amp_box::AmpBox;
use crate::value::{ValueError, read_boolean, read_number, read_text};

/// The arguments that have not been read.
#[derive(Debug)]
pub(super) struct Arguments(AmpBox);

impl Arguments {
    pub(super) fn new(arguments: AmpBox) -> Self {
        Self(arguments)
    }

    pub(super) fn bytes(&mut self, key: &str) -> Option<Bytes> {
        self.0.take(key)
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        self.read(key, read_text)
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<u64>, Refusal> {
        self.read(key, read_number)
    }

    /// Reads a flag; one that is left out is not set.
    pub(super) fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        self.read(key, read_boolean).map(Option::unwrap_or_default)
    }

    /// Reads a command's id, which has to be there.
    pub(super) fn id(&mut self) -> Result<String, Refusal> {
        let id = needed("id", self.text("id")?)?;
        let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.chars().all(is_good) {
            return Err(Refusal::new(
                "bad-id",
                format!("{:?} is no id", id.chars().take(80).collect::<String>()),
            ));
        }
        Ok(id)
    }

    /// Reads an argument if it is there.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&[u8]) -> Result<T, ValueError>,
    ) -> Result<Option<T>, Refusal> {
        let value = self.0.take(key).map(|value| read(&value)).transpose();
        value.map_err(|error| Refusal::bad_arguments(format!("`{key}`: {error}")))
    }

    /// Refuses arguments that nobody has read.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0.iter().next() {
            None => Ok(()),
            Some((key, _)) => {
                let key = String::from_utf8_lossy(key);
                Err(Refusal::bad_arguments(format!(
                    "`{key}` is no argument of this command; AMP.md lists them"
                )))
            }
        }
    }
}

/// Returns an argument that has to be there.
pub(super) fn needed<T>(key: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::bad_arguments(format!("`{key}` is missing")))
}

/// Far above the longest id of a command.
const ID_BYTES_MAX: usize = 300;
