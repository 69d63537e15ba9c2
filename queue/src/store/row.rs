//! What a node remembers on its disk: rows, each with a key of its own.
//!
//! The queues decide what is stored; a store only keeps rows. A [`Change`] writes a row, over any older one of its key, or
//! deletes it. All changes of a batch become durable together or not at all, so that rows that depend on each other never
//! come apart. Together the rows are all that a queue needs to go on after a crash.

use std::time::Duration;

use bytes::Bytes;
use runnel_codec::{
    Class, CommandKey, CommandName, Epoch, Lineage, NodeId, Outcome, Reach, Settled, StoreProcess,
    UpdatePolicy,
};

use crate::clock::ClockReading;

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a row, over any older one of the same key.
    Put(Row),
    /// Deletes a row; nothing happens if there is none.
    Delete(RowKey),
}

/// What a row is about. Rows sort by kind, then peer, epoch and numbers: related ones lie together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// The store itself: there is one such row.
    Store,
    /// A node that this one sends to.
    Receiver(NodeId),
    /// A command to that node.
    Command(NodeId, CommandKey),
    /// How far that command has come.
    Progress(NodeId, CommandKey),
    /// An update of that command, by its number, that nobody has taken yet.
    Update(NodeId, CommandKey, u64),
    /// How that command ended.
    Outcome(NodeId, CommandKey),
    /// A node that sends to this one.
    Sender(NodeId),
    /// A command of that node whose handler was called, or that never starts.
    Run(NodeId, CommandKey),
    /// What a handler gave to be found again by.
    Token(NodeId, CommandKey),
    /// An update of a command that has ended, by its number, that its sender does not hold yet.
    Output(NodeId, CommandKey, u64),
    /// A piece of a result's body, by its offset in bytes, that its sender does not hold yet.
    ResultPiece(NodeId, CommandKey, u64),
}

/// A row of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The store itself.
    Store(StoreRow),
    /// A node that this one sends to.
    Receiver(NodeId, ReceiverRow),
    /// A command to that node. It is written once and deleted when the command has ended.
    Command(NodeId, CommandKey, Box<CommandRow>),
    /// How far that command has come.
    Progress(NodeId, CommandKey, ProgressRow),
    /// An update of that command that nobody has taken yet.
    Update(NodeId, CommandKey, u64, Bytes),
    /// How that command ended, until somebody has taken it.
    Outcome(NodeId, CommandKey, OutcomeRow),
    /// A node that sends to this one.
    Sender(NodeId, SenderRow),
    /// A command of that node whose handler was called, or that never starts.
    Run(NodeId, CommandKey, Box<RunRow>),
    /// What a handler gave to be found again by.
    Token(NodeId, CommandKey, Bytes),
    /// An update of a command that has ended.
    Output(NodeId, CommandKey, u64, Bytes),
    /// A piece of a result's body of a command that has ended.
    ResultPiece(NodeId, CommandKey, u64, Bytes),
}

/// The store itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRow {
    /// Under which its durable commands are numbered; a new one means that everything older is gone.
    pub epoch: Epoch,
    /// The processes that have had it. Each notes itself before it says anything.
    pub lineage: Lineage,
}

/// What a sender remembers of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverRow {
    /// The last number given to a command by each process that gave any. Numbers go on from here and are never used again.
    pub sent: Vec<Reach>,
    /// Which of them are settled.
    pub settled: Settled,
    /// The receiver epoch that it had when it was last met.
    pub receiver: Option<Epoch>,
    /// The highest position of its journal that it ever claimed, and by which process of its store: a lower one tells of a
    /// restored backup.
    pub journaled: Reach,
}

/// A command in the send queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// Its priority.
    pub class: Class,
    /// Its type.
    pub name: CommandName,
    /// Its type declares that running it again does no harm.
    pub idempotent: bool,
    /// Encoded arguments.
    pub args: Bytes,
    /// Inline payload.
    pub payload: Bytes,
    /// From what its body can be produced again, as its node understands it; `None` if it has no body.
    pub body: Option<Bytes>,
    /// Bytes of the body that the node holds until the command has ended.
    pub body_held_bytes: u64,
    /// The caller reads a body of the result.
    pub wants_result_body: bool,
    /// What becomes of its updates.
    pub updates: UpdatePolicy,
    /// When it is no longer wanted.
    pub deadline: Option<StoredDeadline>,
    /// Under which it may be submitted again without being stored twice.
    pub idempotency: Option<Idempotency>,
    /// What its node wants to know of it later; the queue does not look into it.
    pub label: Bytes,
}

/// The name that a caller gives a command, so that submitting it again yields the same command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The name, unique among the caller's commands to one receiver.
    pub key: String,
    /// Hash of what the command is. Another under the same name is a mistake of its caller.
    pub fingerprint: [u8; 32],
}

/// A deadline that outlives the process, and the machine's suspension and restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredDeadline {
    /// Time that was left.
    pub remaining: Duration,
    /// The clocks when that was so.
    pub read_at: ClockReading,
}

/// How far a command has come at its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressRow {
    /// The receiver epoch that it is bound to: from then on it may have left.
    pub bound: Option<Epoch>,
    /// Its caller wants it cancelled.
    pub is_cancelled: bool,
    /// Its receiver has said that it has started. That may be stored late, or never.
    pub has_started: bool,
    /// How many processes of its receiver may have run it and are gone.
    pub runs: u32,
    /// Updates that the caller has taken.
    pub updates: u64,
    /// Bytes of these.
    pub update_bytes: u64,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    /// Its priority.
    pub class: Class,
    /// Its type.
    pub name: CommandName,
    /// How it ended.
    pub outcome: Outcome,
    /// When that was stored.
    pub ended_at: ClockReading,
    /// Somebody has taken it: only its idempotency key is still of use.
    pub is_taken: bool,
    /// The name that its caller gave it.
    pub idempotency: Option<Idempotency>,
    /// What its node wanted to know of it later.
    pub label: Bytes,
}

/// What a receiver remembers of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderRow {
    /// The epoch of its store, if it ever named one.
    pub store: Option<Epoch>,
    /// The newest process of that store that was met.
    pub process: Option<StoreProcess>,
    /// Which of its commands are settled.
    pub settled: Vec<Settled>,
    /// Stores that it had before, each as often as it was replaced: should one come back, nothing of it is known here.
    pub fenced: Vec<Epoch>,
    /// How often its commands were forgotten: each time makes a new receiver epoch towards it.
    pub generation: u64,
    /// How far each process of this node brought the journal of its commands: by one with each batch that concerns them.
    pub journaled: Vec<Reach>,
    /// When it last had a link.
    pub met_at: ClockReading,
}

/// A command whose handler was called, or that never starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// What its head said; `None` for one that was never accepted.
    pub accepted: Option<AcceptedRow>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// How often its handler was called.
    pub runs: u32,
    /// Updates that its sender held when it ended, and their bytes: the rest are rows of their own.
    pub updates: (u64, u64),
}

/// What a receiver remembers of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRow {
    /// Its priority.
    pub class: Class,
    /// Its type.
    pub name: CommandName,
    /// Its type declares that running it again does no harm.
    pub idempotent: bool,
    /// What becomes of its updates.
    pub updates: UpdatePolicy,
    /// A body came with it.
    pub has_body: bool,
    /// Its sender reads a body of the result.
    pub wants_result_body: bool,
    /// Length and hash of that body, once it is complete.
    pub result_end: Option<(u64, [u8; 32])>,
    /// When it is no longer wanted.
    pub deadline: Option<StoredDeadline>,
}

impl StoreRow {
    /// A store that no process has had.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, lineage: Lineage::default() }
    }
}

impl Row {
    /// Returns the key that this row is stored under.
    pub fn key(&self) -> RowKey {
        match self {
            Self::Store(_) => RowKey::Store,
            Self::Receiver(peer, _) => RowKey::Receiver(peer.clone()),
            Self::Command(peer, key, _) => RowKey::Command(peer.clone(), *key),
            Self::Progress(peer, key, _) => RowKey::Progress(peer.clone(), *key),
            Self::Update(peer, key, number, _) => RowKey::Update(peer.clone(), *key, *number),
            Self::Outcome(peer, key, _) => RowKey::Outcome(peer.clone(), *key),
            Self::Sender(peer, _) => RowKey::Sender(peer.clone()),
            Self::Run(peer, key, _) => RowKey::Run(peer.clone(), *key),
            Self::Token(peer, key, _) => RowKey::Token(peer.clone(), *key),
            Self::Output(peer, key, number, _) => RowKey::Output(peer.clone(), *key, *number),
            Self::ResultPiece(peer, key, offset, _) => RowKey::ResultPiece(peer.clone(), *key, *offset),
        }
    }
}
