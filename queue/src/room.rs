//! What a link can take now.

use runnel_codec::{Class, ClassMap};

/// What a link can take now, until it is said anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Streams that can be opened.
    pub places: usize,
    /// Bytes of each class that may be written.
    pub budget: ClassMap<u64>,
    /// Longest piece of a body, in bytes: see [`Budget::piece_bytes`](crate::Budget::piece_bytes).
    pub piece_bytes: u64,
}

impl Room {
    /// Returns how long a piece of a class may be now; `None` if the budget is used up.
    pub(crate) fn piece(&self, class: Class) -> Option<u64> {
        let budget = self.budget[class];
        (budget > 0).then(|| self.piece_bytes.max(1).min(budget.max(PIECE_BYTES_MIN)))
    }

    /// Takes what was written from the budget of all classes below Urgent.
    pub(crate) fn use_bytes(&mut self, bytes: u64) {
        for class in &Class::ALL[1..] {
            self.budget[*class] = self.budget[*class].saturating_sub(bytes);
        }
    }
}

/// The last piece before the budget is used up may be as long as this, so that there are no crumbs.
const PIECE_BYTES_MIN: u64 = 4 << 10;
