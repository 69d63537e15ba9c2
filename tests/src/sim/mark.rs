//! Rare paths that a set of runs must have gone: what was never reached was never tested.
//!
//! Marks are seen from outside, in outcomes, signs of progress, link changes and counts of the network: nodes know nothing
//! of them.

/// A rare path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A command was sent again, and its receiver knew it.
    KnownAgain,
    /// A command went on over another link than the one on which it started.
    Resumed,
    /// A message was answered on another link than the one on which it started.
    MessageResumed,
    /// Messages shared a stream.
    Batched,
    /// A link went on after its NAT forgot it, and so did a command on it.
    ResumedAfterRebind,
    /// A peer learned of a restart by a stateless reset.
    ResetReceived,
    /// A link was suspect, and was heard again.
    TrustedAgain,
    /// A link ended by silence.
    TimedOut,
    /// A newer link replaced an older one.
    Replaced,
    /// A cloned node was refused.
    DuplicateRefused,
    /// A command was unknown because its receiver lost its memory.
    UnknownStateLost,
    /// A command was unknown because its caller gave it up.
    UnknownAbandoned,
    /// An idempotent command was run again after its receiver lost its memory.
    RunAgain,
    /// A handler was found by its token, and went on.
    RecoveredByToken,
    /// A command that had left was cancelled before it started: the receiver's word.
    CancelledBeforeStart,
    /// A command was cancelled while it ran.
    CancelledRunning,
    /// A command that had left ran out of time before it started: the receiver's word.
    ExpiredBeforeStart,
    /// A command ran out of time while it ran.
    DeadlineWhileRunning,
    /// A deadline passed while nobody knew.
    Overdue,
    /// A command was rejected.
    Rejected,
    /// A handler panicked.
    Panicked,
    /// A receiver was too full for a command.
    Busy,
    /// A caller was refused because the send queue was full.
    QueueFull,
    /// A command was held back after link upon link had died, and was released.
    HeldBack,
    /// A handler was held up by a caller who does not read.
    HeldUp,
    /// A body went on over another link than the one on which it began.
    BodyResumed,
    /// A body was read again by another run, of a later process.
    BodySentAgain,
    /// A node was told to stop, and did so in order.
    Stopped,
    /// A durable command was found by the process after its sender's.
    Recovered,
    /// The outcome of a durable command was kept over the end of its sender's process.
    OutcomeKept,
    /// A durable command was unknown because its handler was lost with its process.
    HandlerLost,
    /// A node said that no space is left for its store.
    StoreFull,
    /// A store went on after a failed sync.
    StoreReloaded,
    /// A durable command ran of a sender's new store, at a receiver that had run some of an older one.
    StoreFenced,
    /// A store that was restored from a backup was refused by a peer that knew more of it.
    StoreRegressed,
    /// A command had no outcome in a backup, and was unknown once that was restored.
    UnknownRestored,
    /// Packets found the queue of a path full.
    PacketsDropped,
    /// Packets came twice.
    PacketsDuplicated,
    /// Packets met a NAT that had forgotten their port.
    RefusedByNat,
}

impl Mark {
    /// All of them: each must be hit in a full set of runs.
    pub const ALL: [Self; 39] = [
        Self::KnownAgain,
        Self::Resumed,
        Self::MessageResumed,
        Self::Batched,
        Self::ResumedAfterRebind,
        Self::ResetReceived,
        Self::TrustedAgain,
        Self::TimedOut,
        Self::Replaced,
        Self::DuplicateRefused,
        Self::UnknownStateLost,
        Self::UnknownAbandoned,
        Self::RunAgain,
        Self::RecoveredByToken,
        Self::CancelledBeforeStart,
        Self::CancelledRunning,
        Self::ExpiredBeforeStart,
        Self::DeadlineWhileRunning,
        Self::Overdue,
        Self::Rejected,
        Self::Panicked,
        Self::Busy,
        Self::QueueFull,
        Self::HeldBack,
        Self::HeldUp,
        Self::BodyResumed,
        Self::BodySentAgain,
        Self::Stopped,
        Self::Recovered,
        Self::OutcomeKept,
        Self::HandlerLost,
        Self::StoreFull,
        Self::StoreReloaded,
        Self::StoreFenced,
        Self::StoreRegressed,
        Self::UnknownRestored,
        Self::PacketsDropped,
        Self::PacketsDuplicated,
        Self::RefusedByNat,
    ];
}
