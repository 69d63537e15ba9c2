//! How many bytes below Urgent may be in flight on a link.

use runnel_codec::Class;
use serde::{Deserialize, Serialize};

/// Bounds of the budget of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Smallest budget, in bytes. Default: 64 KiB.
    ///
    /// Too low, a new link is slow to fill; too high, a slow link queues seconds of bulk before urgent commands.
    pub bytes_min: u64,
    /// Budget in congestion windows. Default: 2.
    ///
    /// Below 1 the link is not filled; above, more waits in the transport, out of reach of the scheduler.
    pub windows: u32,
    /// Budget in congestion windows on a path that loses one packet of a hundred or more. Default: 6.
    ///
    /// What comes behind a lost packet is taken only when that has come again. Too low, bulk does not fill a lossy path.
    pub windows_lossy: u32,
    /// Rate to which a node keeps what it sends below Urgent, in bytes per second, on each link; 0: none. Default: 0.
    ///
    /// For metered links. Commands count with their bodies, updates and results, urgent ones only with what travels as
    /// High. It is for one direction: the other is kept to the peer's setting. Packets take a few percent more than what is
    /// counted, and what is lost travels again. Too low, bulk takes long; too high, it costs.
    pub bulk_rate_max: u64,
}

/// What the budget is made of, as the transport measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// Of a thousand packets, how many are lost.
    pub loss_permille: u32,
    /// Bytes that the transport holds unacknowledged at most.
    pub send_window: u64,
    /// Bytes that the peer's transport holds unread at most.
    pub peer_receive_window: u64,
}

/// The budget of one link at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    bytes: u64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { bytes_min: 64 << 10, windows: 2, windows_lossy: 6, bulk_rate_max: 0 }
    }
}

impl Budget {
    /// Computes the budget (PROTOCOL "Bytes"): some congestion windows, within both ends' windows less what urgent
    /// commands need.
    pub fn new(config: &BudgetConfig, link: LinkView) -> Self {
        let more = u64::from(config.windows_lossy.saturating_sub(config.windows));
        let permille = u64::from(config.windows) * 1000
            + more * u64::from(link.loss_permille.min(LOSSY_PERMILLE)) * 1000 / u64::from(LOSSY_PERMILLE);
        let wanted = link.congestion_window.saturating_mul(permille) / 1000;
        let sendable = link.send_window.saturating_sub(SEND_RESERVE_BYTES);
        let receivable = link.peer_receive_window.saturating_sub(RECEIVE_RESERVE_BYTES);
        Self { bytes: wanted.min(sendable).min(receivable).max(config.bytes_min) }
    }

    /// Returns how many bytes of a class may be written when this many are in flight. Urgent ones always may.
    pub fn available(self, in_flight: u64, class: Class) -> u64 {
        let percent = match class {
            Class::Urgent => return u64::MAX,
            Class::High => 100,
            Class::Normal => 90,
            Class::Low => 80,
            Class::Bulk => 70,
        };
        (self.bytes / 100 * percent).saturating_sub(in_flight)
    }

    /// Returns how long a piece of a body may be, in bytes, at a rate in bytes per second: what the link carries in
    /// 20 ms, so that an urgent command never waits longer behind one, and at least what is worth a frame.
    pub fn piece_bytes(bytes_per_second: u64) -> u64 {
        (bytes_per_second / 50).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }
}

/// From which loss on a path counts as lossy.
const LOSSY_PERMILLE: u32 = 10;

const SEND_RESERVE_BYTES: u64 = 1 << 20;
const RECEIVE_RESERVE_BYTES: u64 = 2 << 20;
const PIECE_BYTES_MIN: u64 = 4 << 10;
const PIECE_BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkView = LinkView {
        congestion_window: 100_000,
        loss_permille: 0,
        send_window: 10 << 20,
        peer_receive_window: 16 << 20,
    };

    #[test]
    fn lower_classes_leave_room_for_higher_ones() {
        let budget = Budget::new(&BudgetConfig::default(), LINK);
        let available: Vec<_> = Class::ALL.map(|class| budget.available(0, class)).to_vec();
        assert_eq!(available, [u64::MAX, 200_000, 180_000, 160_000, 140_000]);
        assert_eq!(budget.available(150_000, Class::Bulk), 0);
        assert_eq!(budget.available(150_000, Class::High), 50_000);
    }

    #[test]
    fn a_path_that_loses_packets_has_room_for_what_waits_behind_them() {
        let bytes =
            |loss_permille| Budget::new(&BudgetConfig::default(), LinkView { loss_permille, ..LINK }).bytes;
        assert_eq!([0, 5, 10, 500].map(bytes), [200_000, 400_000, 600_000, 600_000]);
    }

    #[test]
    fn pieces_take_20_ms_of_the_link() {
        assert_eq!([0, 1_250_000, 1 << 40].map(Budget::piece_bytes), [4 << 10, 25_000, 64 << 10]);
    }

    #[test]
    fn it_stays_within_both_windows_and_above_the_minimum() {
        let budget = |link| Budget::new(&BudgetConfig::default(), link).bytes;
        assert_eq!(budget(LinkView { congestion_window: 1 << 30, ..LINK }), 9 << 20);
        assert_eq!(budget(LinkView { congestion_window: 1 << 30, send_window: 1 << 40, ..LINK }), 14 << 20);
        assert_eq!(budget(LinkView { congestion_window: 1, ..LINK }), 64 << 10);
    }
}
