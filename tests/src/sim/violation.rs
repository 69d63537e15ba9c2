//! What must never happen, and what is said when it did.

use std::fmt;
use std::time::Duration;

/// What must hold in every run. The numbers are those of the list of invariants that the simulation works through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// S1: no accepted command is lost.
    NothingLost,
    /// S2: a handler is called once; again only if its command is idempotent and the first call was lost.
    NothingTwice,
    /// S4: a command has one outcome, and it is the receiver's.
    OneOutcome,
    /// S5: an outcome is true: of the handler, of its absence, or of what nobody can know.
    TrueOutcome,
    /// S6: nothing is said before it is on the disk.
    DurableFirst,
    /// S7: updates and bodies arrive as they were sent.
    SameBytes,
    /// S8: nothing runs that an earlier process sent, or that was meant for one.
    NoGhosts,
    /// S10: an urgent command goes through a ready link at once.
    UrgentFirst,
    /// S11: credit comes back.
    CreditReturns,
    /// S12: tasks, sockets and ports come back.
    NoLeaks,
    /// S14: nothing panics.
    NoPanic,
    /// L1: once faults have stopped, something soon goes through.
    SoonBack,
    /// L2: once faults have stopped, every command has an outcome.
    AllEnd,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// When, in virtual time since the beginning.
    pub at: Duration,
    /// What was seen.
    pub text: String,
}

impl Invariant {
    fn name(self) -> &'static str {
        match self {
            Self::NothingLost => "S1 nothing is lost",
            Self::NothingTwice => "S2 nothing runs twice",
            Self::OneOutcome => "S4 one outcome",
            Self::TrueOutcome => "S5 outcomes are true",
            Self::DurableFirst => "S6 durable before it is said",
            Self::SameBytes => "S7 the same bytes",
            Self::NoGhosts => "S8 nothing of earlier processes",
            Self::UrgentFirst => "S10 urgent first",
            Self::CreditReturns => "S11 credit comes back",
            Self::NoLeaks => "S12 nothing leaks",
            Self::NoPanic => "S14 no panic",
            Self::SoonBack => "L1 soon back",
            Self::AllEnd => "L2 all end",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3} s: {}", self.invariant, self.at.as_secs_f64(), self.text)
    }
}
