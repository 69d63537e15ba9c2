//! The objects of the peer that this side holds.

use std::collections::HashMap;

use crate::ids::RemoteId;

/// References that have come and were not given back.
///
/// The peer counts each time that it sends a reference; the application holds each time that it sees one. The two
/// differ where the peer refers twice to a value with a reference in it, or where the value was not read. When the
/// application lets go of its last, all that the peer has counted goes back at once.
#[derive(Debug)]
pub(super) struct References {
    max: usize,
    held: HashMap<RemoteId, Held>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    counted: u64,
    holds: u64,
}

/// How often a reference goes back to the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GiveBack {
    pub(super) remote: RemoteId,
    pub(super) times: u64,
}

impl References {
    pub(super) fn new(max: usize) -> Self {
        Self { max, held: HashMap::new() }
    }

    pub(super) fn is_held(&self, remote: RemoteId) -> bool {
        self.held.contains_key(&remote)
    }

    pub(super) fn is_over_limit(&self) -> bool {
        self.held.len() > self.max
    }

    /// Takes what has come with a value and what the application sees of it. Returns what it does not see at all.
    pub(super) fn arrive(&mut self, counted: &[RemoteId], seen: &[RemoteId]) -> Vec<GiveBack> {
        for remote in counted {
            self.held.entry(*remote).or_default().counted += 1;
        }
        for remote in seen {
            self.held.entry(*remote).or_default().holds += 1;
        }
        counted.iter().filter_map(|&remote| self.unheld(remote)).collect()
    }

    /// Lets go of one hold. Returns what goes back to the peer if it was the last.
    pub(super) fn release(&mut self, remote: RemoteId) -> Option<GiveBack> {
        let held = self.held.get_mut(&remote)?;
        held.holds = held.holds.saturating_sub(1);
        self.unheld(remote)
    }

    fn unheld(&mut self, remote: RemoteId) -> Option<GiveBack> {
        let held = *self.held.get(&remote)?;
        if held.holds > 0 {
            return None;
        }
        self.held.remove(&remote);
        Some(GiveBack { remote, times: held.counted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RemoteId = RemoteId::from_wire(1);
    const B: RemoteId = RemoteId::from_wire(2);

    #[test]
    fn what_was_counted_goes_back_with_the_last_hold() {
        let mut references = References::new(10);
        assert_eq!(references.arrive(&[A, A], &[A, A]), []);
        assert_eq!(references.arrive(&[A], &[A]), []);
        assert_eq!(references.release(A), None);
        assert_eq!(references.release(A), None);
        assert!(references.is_held(A));
        assert_eq!(references.release(A), Some(GiveBack { remote: A, times: 3 }));
        assert!(!references.is_held(A));
        assert_eq!(references.release(A), None);
    }

    #[test]
    fn a_value_that_was_copied_goes_back_once() {
        let mut references = References::new(10);
        assert_eq!(references.arrive(&[A], &[A, A]), []);
        assert_eq!(references.release(A), None);
        assert_eq!(references.release(A), Some(GiveBack { remote: A, times: 1 }));
    }

    #[test]
    fn what_nobody_sees_goes_back_at_once() {
        let mut references = References::new(10);
        assert_eq!(references.arrive(&[A, B, A], &[B]), [GiveBack { remote: A, times: 2 }]);
        assert!(references.is_held(B));
    }

    #[test]
    fn there_is_a_limit() {
        let mut references = References::new(1);
        references.arrive(&[A, A], &[A, A]);
        assert!(!references.is_over_limit());
        references.arrive(&[B], &[B]);
        assert!(references.is_over_limit());
    }
}
