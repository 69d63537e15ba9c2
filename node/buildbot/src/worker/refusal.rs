//! Why a call of the master is refused.

use crate::jelly::Failure;

/// What is wrong with a call of the master. It goes back as an exception: the step that it was for ends with that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such method. A master asks some only to learn which worker it has.
    #[error("there is no method {method}")]
    NoSuchMethod {
        /// Its name, cut to 64 characters.
        method: String,
    },
    /// There is no such worker command.
    #[error("there is no command {command}")]
    NoSuchCommand {
        /// Its name, cut to 64 characters.
        command: String,
    },
    /// An argument is missing.
    #[error("the argument {argument} is missing")]
    Missing {
        /// Its name.
        argument: &'static str,
    },
    /// An argument is not what it has to be.
    #[error("the argument {argument} has to be {expected}")]
    Wrong {
        /// Its name.
        argument: &'static str,
        /// What it has to be, as in "a text".
        expected: &'static str,
    },
}

impl Refusal {
    pub(crate) fn no_such_method(method: &str) -> Self {
        Self::NoSuchMethod { method: method.chars().take(NAME_CHARS_MAX).collect() }
    }

    pub(crate) fn no_such_command(command: &str) -> Self {
        Self::NoSuchCommand { command: command.chars().take(NAME_CHARS_MAX).collect() }
    }

    /// Returns the same of an argument that has another name.
    pub(super) fn renamed(self, name: impl FnOnce(&'static str) -> &'static str) -> Self {
        match self {
            Self::Missing { argument } => Self::Missing { argument: name(argument) },
            Self::Wrong { argument, expected } => Self::Wrong { argument: name(argument), expected },
            refusal => refusal,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        // A master looks for the first by its name, to fall back to what older workers know.
        let class = match refusal {
            Refusal::NoSuchMethod { .. } => "twisted.spread.flavors.NoSuchMethod",
            Refusal::NoSuchCommand { .. } => "twisted.spread.pb.Error",
            Refusal::Missing { .. } | Refusal::Wrong { .. } => "builtins.ValueError",
        };
        Self::new(class, refusal.to_string())
    }
}

/// How much of a name that the peer has chosen is said back.
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_exception_of_the_class_that_a_master_expects() {
        let failure = Failure::from(Refusal::no_such_method("getSlaveInfo"));
        assert_eq!(failure.class, "twisted.spread.flavors.NoSuchMethod");
        assert_eq!(failure.value, "there is no method getSlaveInfo");
        let failure = Failure::from(Refusal::Missing { argument: "workdir" });
        assert_eq!(failure.to_string(), "builtins.ValueError: the argument workdir is missing");
    }

    #[test]
    fn long_names_are_cut() {
        let refusal = Refusal::no_such_command(&"ä".repeat(100));
        assert_eq!(refusal, Refusal::NoSuchCommand { command: "ä".repeat(64) });
    }
}
