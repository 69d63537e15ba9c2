//! The command types that a node knows, so that a head's name is looked up instead of allocated.

use std::sync::Arc;

use crate::error::NameError;
use crate::head::CommandName;

/// A fixed set of names of command types. Cheap to clone; the empty set is the default.
#[derive(Clone, Debug, Default)]
pub struct KnownNames(Arc<[CommandName]>);

impl KnownNames {
    /// Returns the name for `text`: the known one, or else a new one.
    pub(crate) fn intern(&self, text: &str) -> Result<CommandName, NameError> {
        match self.0.binary_search_by(|name| name.as_str().cmp(text)) {
            Ok(index) => Ok(self.0[index].clone()),
            Err(_) => text.parse(),
        }
    }
}

impl FromIterator<CommandName> for KnownNames {
    fn from_iter<I: IntoIterator<Item = CommandName>>(names: I) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_shared_and_others_are_checked() {
        let exec: CommandName = "exec/1".parse().unwrap();
        let known: KnownNames =
            ["fs.put/1".parse().unwrap(), exec.clone(), exec.clone()].into_iter().collect();
        let found = known.intern("exec/1").unwrap();
        assert!(std::ptr::eq(found.as_str(), exec.as_str()), "no new allocation");
        assert_eq!(known.intern("exec/2").unwrap().as_str(), "exec/2");
        assert_eq!(known.intern("exec"), Err(NameError::NotACommandName));
    }
}
