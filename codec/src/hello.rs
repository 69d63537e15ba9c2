//! The hello: what two nodes tell each other first on every link.

use std::time::Duration;

use crate::head::CommandName;
use crate::id::{Epoch, FleetId, LinkNumber, Seq};
use crate::lineage::{Lineage, Reach};

/// Most command types in a hello.
pub const HELLO_COMMANDS_MAX: usize = 1024;

/// Most epochs with settled marks in a hello.
pub const HELLO_SETTLED_MAX: usize = 256;

/// Bit of [`Hello::features`]: it takes messages in batches, and frames that answer them.
pub const FEATURE_BATCHES: u64 = 0x1;

/// What a node says first on a link: the dialler in a hello, the acceptor in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The fleet it belongs to.
    pub fleet: FleetId,
    /// The link's number: proposed by the dialler, confirmed by the acceptor.
    pub link: LinkNumber,
    /// Epoch of its process. `Memory` commands are numbered and journaled under it.
    pub boot: Epoch,
    /// Epoch of its store, if it has one. `Durable` commands are numbered under it.
    pub store: Option<Epoch>,
    /// Epoch of its durable journal towards this peer, if it has one.
    pub receiver: Option<Epoch>,
    /// The peer's boot epoch that it last met; `None` if never.
    pub expected_boot: Option<Epoch>,
    /// The peer's receiver epoch that its durable commands are bound to; `None` if never met.
    pub expected_receiver: Option<Epoch>,
    /// The processes that have had its store; none without one.
    pub lineage: Lineage,
    /// How far the numbers reach that processes of its store gave to stored durable commands for this peer, at most
    /// [`REACHES_MAX`](crate::REACHES_MAX), oldest first.
    pub sent: Vec<Reach>,
    /// How far they brought its durable journal towards this peer, in the same way.
    pub journaled: Vec<Reach>,
    /// What it has settled as a sender towards this peer, one entry for each of its epochs, at most
    /// [`HELLO_SETTLED_MAX`].
    pub settled: Vec<Settled>,
    /// Command types that it understands, at most [`HELLO_COMMANDS_MAX`].
    pub commands: Vec<CommandName>,
    /// Bits of optional features that it understands; unknown bits are ignored.
    pub features: u64,
    /// QUIC connection flow control that it grants, in bytes.
    pub receive_window: u64,
    /// Longest arguments that it takes in a head, in bytes.
    pub args_bytes_max: u32,
    /// Longest inline payload that it takes, in bytes.
    pub payload_bytes_max: u32,
}

/// What the acceptor says to a hello. Every other refusal is a close code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // There is one for each link, and its frame has it in a box.
pub enum HelloAnswer {
    /// The link is up.
    Welcome(Hello),
    /// The proposed number is not above the highest known; the dialler proposes again.
    TooLow {
        /// The highest number that the acceptor knows.
        highest: LinkNumber,
    },
}

/// Which commands of one sender epoch are settled: all up to a low mark, and ranges above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The epoch that numbered the commands.
    pub epoch: Epoch,
    /// Every number up to this one is settled; `None`: not even the first.
    pub low: Option<Seq>,
    /// Settled ranges above the low mark, both ends included, ascending, neither touching nor overlapping.
    pub ranges: Vec<(Seq, Seq)>,
}

/// Why a node asks its peer to send nothing new on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAwayReason {
    /// It is shutting down.
    Shutdown,
    /// It restarts with another version.
    Upgrade,
    /// An operator paused it.
    Pause,
}

/// A request to send nothing new on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Why.
    pub reason: GoAwayReason,
    /// When to come again, in whole milliseconds on the wire.
    pub retry_after: Duration,
}

impl GoAwayReason {
    const ALL: [Self; 3] = [Self::Shutdown, Self::Upgrade, Self::Pause];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}
