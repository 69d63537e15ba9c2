//! A firewall that loses its state: packets of the connections from before are dropped, new ones are let through. Pure.

use std::collections::BTreeSet;

/// What tells connections apart by the ids that their packets are addressed to.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    /// Those that it has seen.
    open: BTreeSet<ConnectionId>,
    /// Those that it drops.
    cut: BTreeSet<ConnectionId>,
}

/// As long as the transport makes them.
type ConnectionId = [u8; 8];

impl Firewall {
    /// Loses its state: nothing passes any more of the connections that it has seen.
    pub(super) fn forget(&mut self) {
        self.cut.append(&mut self.open);
    }

    /// Returns whether a datagram passes. Handshakes always do.
    pub(super) fn passes(&mut self, datagram: &[u8]) -> bool {
        let Some((&first, rest)) = datagram.split_first() else { return true };
        let Some(id) = rest.first_chunk().filter(|_| first & LONG_HEADER == 0) else { return true };
        let passes = !self.cut.contains(id);
        if passes {
            self.open.insert(*id);
        }
        passes
    }
}

const LONG_HEADER: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_has_seen_is_cut_and_what_begins_anew_passes() {
        let mut firewall = Firewall::default();
        let packet = |first: u8, id: u8| [&[first][..], &[id; 8], &[7; 20]].concat();
        assert!(firewall.passes(&packet(0x40, 1)));
        firewall.forget();
        assert!(!firewall.passes(&packet(0x41, 1)));
        assert!(firewall.passes(&packet(0xc0, 1)), "a handshake");
        assert!(firewall.passes(&packet(0x40, 2)));
        firewall.forget();
        assert!(!firewall.passes(&packet(0x40, 1)));
        assert!(!firewall.passes(&packet(0x40, 2)));
    }
}
