//! What a node says of its links and queues.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use runnel_certs::Role;
use runnel_codec::{LinkNumber, NodeId};
use runnel_queue::Waiting;
use runnel_transport::{CloseReason, LinkStats, SocketStats};

/// A snapshot of a node.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The links that are up, by peer.
    pub links: Vec<LinkStatus>,
    /// Links that came up since the node started.
    pub links_total: u64,
    /// Bytes of bodies that were handed to links since the node started. What is sent again on another link counts again.
    pub body_bytes_written: u64,
    /// Messages that were handed to links in batches since the node started. What is sent again counts again.
    pub messages_batched: u64,
    /// Times the dialling sockets moved: the route to a peer changed, the machine slept, or somebody asked.
    pub moves: u64,
    /// How long the machine has slept since the node started.
    pub slept: Duration,
    /// How the last link or attempt with each peer ended, by peer: one for each that ended since the node started.
    pub ends: Vec<LinkEnd>,
    /// What the system grants the node's sockets.
    pub sockets: Vec<SocketStats>,
    /// How the store is.
    pub store: StoreStatus,
}

/// How a node's store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreStatus {
    /// There is none: everything is in memory.
    #[default]
    None,
    /// It works.
    Works,
    /// There is no room on its disk: no durable command is taken until there is, and what waits for room waits.
    Full,
    /// It has failed for good, and the node has stopped. This is what it said.
    Failed(String),
}

/// How a link, or an attempt at one, ended.
#[derive(Clone, Debug)]
pub struct LinkEnd {
    /// The peer.
    pub peer: NodeId,
    /// The link's number; `None` if it never came up.
    pub number: Option<LinkNumber>,
    /// When it ended.
    pub at: Instant,
    /// Why.
    pub reason: CloseReason,
}

/// A snapshot of one link that is up.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    /// The peer.
    pub peer: NodeId,
    /// The link's number.
    pub number: LinkNumber,
    /// Where the peer's packets come from.
    pub remote: SocketAddr,
    /// When the link came up.
    pub up_at: Instant,
    /// How long ago the last authenticated packet came.
    pub silent_for: Duration,
    /// Round trips, losses and bytes.
    pub stats: LinkStats,
}

/// A snapshot of one peer: configured, or met since the node started.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its name.
    pub node: NodeId,
    /// Its role, once it has shown its certificate.
    pub role: Option<Role>,
    /// Nothing authenticated came for too long on its link.
    pub is_suspect: bool,
    /// The link that is up.
    pub link: Option<LinkStatus>,
    /// Since when there is no link; `None` while there is one.
    pub unreachable_since: Option<Instant>,
    /// Links to it that came up since the node started.
    pub links_total: u64,
    /// How the last link or attempt ended, if one did.
    pub end: Option<LinkEnd>,
    /// Commands for it that are on no stream.
    pub queued: usize,
    /// Commands for it whose head is on a stream.
    pub in_flight: usize,
}

/// How a peer can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// A link is up.
    Up,
    /// A link is up, and nothing authenticated came on it for too long.
    Suspect,
    /// There is no link.
    Down,
}

/// How one peer can be reached, and nothing that takes long to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerReach {
    /// Its name.
    pub node: NodeId,
    /// Whether there is a link.
    pub state: PeerState,
    /// Links to it that came up since the node started.
    pub links_total: u64,
}

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the send queue says.
    pub waiting: Waiting,
    /// Since when its receiver has had no link; `None` while there is one.
    pub unreachable_since: Option<Instant>,
}

impl PeerStatus {
    /// Returns how it can be reached.
    pub fn state(&self) -> PeerState {
        PeerState::new(self.link.is_some(), self.is_suspect)
    }
}

impl PeerState {
    pub(crate) fn new(has_link: bool, is_suspect: bool) -> Self {
        match (has_link, is_suspect) {
            (false, _) => Self::Down,
            (true, true) => Self::Suspect,
            (true, false) => Self::Up,
        }
    }
}

impl Status {
    /// Returns the link to `peer`, if one is up.
    pub fn link(&self, peer: &NodeId) -> Option<&LinkStatus> {
        self.links.iter().find(|link| link.peer == *peer)
    }

    /// Returns how the last link or attempt with `peer` ended.
    pub fn end(&self, peer: &NodeId) -> Option<&LinkEnd> {
        self.ends.iter().find(|end| end.peer == *peer)
    }
}
