//! What a node may be in its fleet.

use std::fmt;
use std::str::FromStr;

use crate::error::RoleError;

/// What a node is in its fleet, as its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Decides: sends commands to workers.
    Controller,
    /// Does: runs the commands of controllers.
    Worker,
}

impl Role {
    /// Returns the word that stands in certificates and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Worker => "worker",
        }
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(word: &str) -> Result<Self, RoleError> {
        match word {
            "controller" => Ok(Self::Controller),
            "worker" => Ok(Self::Worker),
            _ => Err(RoleError { role: word.to_owned() }),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_shown() {
        for role in [Role::Controller, Role::Worker] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
    }

    #[test]
    fn other_words_are_no_roles() {
        for word in ["", "Worker", "admin", "worker "] {
            assert_eq!(word.parse::<Role>(), Err(RoleError { role: word.to_owned() }));
        }
    }
}
