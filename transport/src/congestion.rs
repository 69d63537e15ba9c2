//! How the rate of a link is found: quinn's controllers, and one of ours that aims at a short queue.
//!
//! Loss-based control fills the bottleneck's buffer, where an urgent command then waits, and collapses where packets are
//! lost at random. [`DelayTarget`] keeps about 10 ms of queue instead. Start at `delay_target.rs`; `base_rtt.rs` says what
//! the path takes without a queue, `round.rs` what one round trip has shown, `competition.rs` how a share is held beside
//! senders that fill the buffer.
//!
//! # The algorithm
//!
//! Once a round trip, the shortest round-trip time in it less the base, the shortest seen, is the *queueing*.
//!
//! - *Startup*: the window grows by what is acknowledged until there is a queue, and then becomes what the path carried
//!   in the last round (slow start with an early exit by delay, as HyStart++, RFC 9406).
//! - *Steady*: below the target the window grows, by at most half of the room that is left; above it, it shrinks to what
//!   would have caused the target's queue (as FAST and Swift do). The target is longer for small windows (Swift's flow
//!   scaling): who has less takes more, so that senders of this kind come to equal shares.
//! - A lost packet is no sign of congestion, unless one in ten is lost over about ten rounds and in each of the last five:
//!   bursts end by themselves.
//! - *Draining*: where the base was not seen for 10 s the window is halved, until it is seen again or two rounds have not
//!   shown it: then the path has become longer. Senders that share a path see the base at the same time, and so drain at
//!   the same time (as BBR's). Half a window leaves the path idle for a round trip in all, the better part of what a sender
//!   alone on its path does not use. So who found the base where it was takes a *glance* first the next time, one round with
//!   an eighth less than the path holds: on 20 Mbit/s and 50 ms it idles for 12 ms instead of 50 to 60 (`--bin urgent`). A glance
//!   that does not find the base there, later or sooner, is followed by the halves. The first look is never a glance: who came
//!   to a path in use takes its queue for a part of the base, and finds out only where all drain deep enough together.
//! - *Competing*: a queue that stays although the window has shrunk for four rounds and was halved for two is of
//!   others who fill the buffer. Then the window follows CUBIC (RFC 9438), and is halved every 5 s to see whether they
//!   are still there (the mode switch is Copa's, found out in another way). It ends after eight rounds without a queue, and for
//!   30 s a long queue of two rounds is enough to come back with the window that was held.
//! - Rounds in which the application sent less than the window allows neither grow nor shrink it.
//!
//! Sources: Brakmo and Peterson, *TCP Vegas* (1995); Wei et al., *FAST TCP* (2006); Cardwell et al., *BBR* (2016); Arun and
//! Balakrishnan, *Copa* (2018); Kumar et al., *Swift* (2020); RFC 9002, 9406, 9438.

mod base_rtt;
mod competition;
mod delay_target;
mod round;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

use self::delay_target::DelayTarget;

/// Makes controllers that aim at a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelayTargetFactory {
    /// How long packets shall queue.
    pub(crate) queueing: Duration,
}

/// [`DelayTarget`] as quinn takes it.
#[derive(Clone, Debug)]
struct DelayTargetController {
    target: DelayTarget,
    initial_window: u64,
    mtu: u64,
    /// Bytes in flight at the last acknowledgement, and what was sent since: not less than there are.
    in_flight: u64,
    /// The least that the window is until the next acknowledgement. Copies share it: quinn gives out nothing else.
    reserve: Arc<AtomicU64>,
}

/// Lets one packet more onto the path of this controller, a copy of what a connection has, although its window is full.
/// quinn counts heartbeats against the window too, and in silence nothing empties it but time.
pub(crate) fn admit_probe(controller: Box<dyn Controller>) {
    if let Ok(controller) = controller.into_any().downcast::<DelayTargetController>() {
        let room = controller.in_flight + controller.mtu + 1;
        controller.reserve.store(room, Ordering::Relaxed);
    }
}

impl ControllerFactory for DelayTargetFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let mtu = u64::from(current_mtu);
        let target = DelayTarget::new(now, self.queueing, mtu);
        let initial_window = target.window();
        Box::new(DelayTargetController { target, initial_window, mtu, in_flight: 0, reserve: Arc::default() })
    }
}

impl Controller for DelayTargetController {
    fn on_sent(&mut self, _now: Instant, bytes: u64, _last_packet_number: u64) {
        self.in_flight += bytes;
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        self.target.handle_ack(now, sent, bytes, app_limited);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, _app_limited: bool, _largest: Option<u64>) {
        self.in_flight = in_flight;
        self.reserve.store(0, Ordering::Relaxed);
        self.target.handle_acks_end(now);
    }

    fn on_congestion_event(&mut self, now: Instant, _sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.target.handle_loss(now, lost_bytes, is_persistent);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.target.handle_mtu(self.mtu);
    }

    fn window(&self) -> u64 {
        self.target.window().max(self.reserve.load(Ordering::Relaxed))
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Returns a whole number of bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a byte is none, and none is less than none"
)]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}
