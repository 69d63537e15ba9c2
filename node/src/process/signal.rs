//! The signals that end a process, by their names.

use std::fmt;
use std::str::FromStr;

use rustix::process::Signal;

/// A signal that is sent to a process to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSignal(Signal);

/// The name of a signal is not known here: use one of `kill -l`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signal {name} is not known")]
pub struct UnknownSignal {
    /// The name as it was given.
    pub name: String,
}

impl EndSignal {
    /// Ends what does not clean up first.
    pub const TERM: Self = Self(Signal::TERM);
    /// Ends everything, at once.
    pub const KILL: Self = Self(Signal::KILL);

    /// Returns the name, without `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, signal)| *signal == self.0).map_or("KILL", |(name, _)| name)
    }

    pub(super) fn signal(self) -> Signal {
        self.0
    }
}

/// Reads a name such as `INT`; `SIGINT` is the same.
impl FromStr for EndSignal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, signal)| Self(*signal)).ok_or_else(|| UnknownSignal { name: text.to_owned() })
    }
}

impl fmt::Display for EndSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}

/// All that every Unix has; only these can be made here.
const NAMES: [(&str, Signal); 28] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("PROF", Signal::PROF),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STOP", Signal::STOP),
    ("SYS", Signal::SYS),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("VTALRM", Signal::VTALARM),
    ("WINCH", Signal::WINCH),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_with_or_without_sig() {
        for (name, signal) in NAMES {
            assert_eq!(name.parse(), Ok(EndSignal(signal)));
            assert_eq!(format!("SIG{name}").parse(), Ok(EndSignal(signal)));
            assert_eq!(EndSignal(signal).name(), name);
        }
    }

    #[test]
    fn what_is_no_signal_is_refused_by_its_name() {
        for name in ["", "SIG", "9", "int", "SIGSIGINT", "RTMIN"] {
            assert_eq!(name.parse::<EndSignal>(), Err(UnknownSignal { name: name.to_owned() }));
        }
    }
}
