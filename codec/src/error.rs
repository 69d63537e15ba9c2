//! What can be wrong with names and with bytes from a peer.

/// Why a text is not the name that it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A name of a node or fleet has 1 to 63 characters.
    #[error("a name has 1 to 63 characters, not {len}")]
    Length {
        /// Characters found.
        len: usize,
    },
    /// A name has only lower-case letters, digits and hyphens.
    #[error("a name has only a-z, 0-9 and '-', unlike the character at position {position}")]
    Character {
        /// Offset of the first wrong character.
        position: usize,
    },
    /// A name neither starts nor ends with a hyphen.
    #[error("a name neither starts nor ends with '-'")]
    Hyphen,
    /// A command's id is `sender.receiver.epoch.seq`.
    #[error("a command's id looks like controller.worker.5f3a9c0e12345678.42")]
    NotACommandId,
    /// A command type is a name and a version.
    #[error("a command type looks like exec/1: a-z, 0-9, '.', '_', '-', then '/' and a version")]
    NotACommandName,
    /// A class is one of five words.
    #[error("a class is one of urgent, high, normal, low, bulk")]
    NotAClass,
}
