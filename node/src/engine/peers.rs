//! What the engine remembers of a peer between links.

use std::time::Instant;

use runnel_certs::Role;
use runnel_codec::{Epoch, LinkNumber, NodeId};
use runnel_queue::LinkUp;

use super::boots::BootHistory;
use super::link_set::LinkIndex;
use crate::status::LinkEnd;

/// One peer: how to reach it, which link is up, and how far link numbers have come.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Where to dial it; empty if only it dials us.
    pub(super) addresses: Vec<String>,
    /// The link that is up, or presumed to come up.
    pub(super) link: Option<LinkIndex>,
    /// Its role, once it has shown its certificate.
    pub(super) role: Option<Role>,
    /// The epoch of its process that was last met.
    pub(super) boot: Option<Epoch>,
    /// The last link to that process, and what may arrive there unread, in bytes.
    pub(super) met: Option<(LinkUp, u64)>,
    /// Which of its processes were met lately.
    pub(super) boots: BootHistory,
    /// How the last link or attempt ended.
    pub(super) end: Option<LinkEnd>,
    /// When its last link went down; `None` if there was none yet.
    pub(super) down_at: Option<Instant>,
    /// Links to it that came up.
    pub(super) links_total: u64,
    /// The highest link number proposed or accepted so far.
    highest: Option<LinkNumber>,
    /// The number of our own proposal that has not been answered.
    proposed: Option<LinkNumber>,
}

impl Peer {
    /// A peer that is dialled at these addresses.
    pub(super) fn dialled(addresses: Vec<String>) -> Self {
        Self { addresses, ..Self::default() }
    }

    /// Takes the next number to propose; `None` once the numbers are used up.
    pub(super) fn propose(&mut self) -> Option<LinkNumber> {
        let number = match self.highest {
            None => LinkNumber::FIRST,
            Some(highest) => highest.next()?,
        };
        self.highest = Some(number);
        self.proposed = Some(number);
        Some(number)
    }

    /// Decides on a peer's proposal (PROTOCOL "Link numbers"): a higher number is taken, and an equal one if our own
    /// dial of that number is unanswered and the dialler's name is smaller.
    ///
    /// # Errors
    ///
    /// The highest number known, above which the dialler is to propose again.
    pub(super) fn accept(
        &mut self,
        number: LinkNumber,
        dialler: &NodeId,
        acceptor: &NodeId,
    ) -> Result<(), LinkNumber> {
        if let Some(highest) = self.highest {
            let wins_tie = number == highest && self.proposed == Some(number) && dialler < acceptor;
            if number <= highest && !wins_tie {
                return Err(highest);
            }
        }
        self.highest = Some(number);
        self.proposed = None;
        Ok(())
    }

    /// Takes note of the answer to our proposal, or that it will not come.
    pub(super) fn answered(&mut self) {
        self.proposed = None;
    }

    /// Takes note of a number that the peer knows.
    pub(super) fn learn(&mut self, number: LinkNumber) {
        self.highest = self.highest.max(Some(number));
    }

    /// Returns the highest number known.
    pub(super) fn highest(&self) -> Option<LinkNumber> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u64) -> LinkNumber {
        LinkNumber::from_wire(n).expect("not 0")
    }

    fn node(name: &str) -> NodeId {
        name.parse().expect("a valid name")
    }

    #[test]
    fn a_higher_number_is_taken_and_a_lower_one_is_not() {
        let mut peer = Peer::default();
        assert_eq!(peer.accept(number(3), &node("b"), &node("a")), Ok(()));
        assert_eq!(peer.accept(number(3), &node("b"), &node("a")), Err(number(3)));
        assert_eq!(peer.accept(number(2), &node("b"), &node("a")), Err(number(3)));
        assert_eq!(peer.accept(number(4), &node("b"), &node("a")), Ok(()));
    }

    #[test]
    fn of_two_simultaneous_dials_the_smaller_name_wins() {
        let (a, b) = (node("a"), node("b"));
        let (mut b_at_a, mut a_at_b) = (Peer::default(), Peer::default());
        let (from_a, from_b) = (b_at_a.propose().expect("a number"), a_at_b.propose().expect("a number"));
        assert_eq!(from_a, from_b);
        assert_eq!(a_at_b.accept(from_a, &a, &b), Ok(()), "b takes a's dial");
        assert_eq!(b_at_a.accept(from_b, &b, &a), Err(from_b), "a refuses b's dial");
    }

    #[test]
    fn an_answered_dial_is_no_tie() {
        let mut peer = Peer::default();
        let proposed = peer.propose().expect("a number");
        peer.answered();
        assert_eq!(peer.accept(proposed, &node("a"), &node("b")), Err(proposed));
    }

    #[test]
    fn after_too_low_the_next_proposal_is_above() {
        let mut peer = Peer::default();
        peer.propose();
        peer.learn(number(7));
        assert_eq!(peer.propose(), Some(number(8)));
    }
}
