//! How many orders there are, and of what size. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;

use super::order::{Kind, Order};

/// What the callers of one controller ask for.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    /// Orders a second.
    pub(super) per_second: f64,
    /// The host of the first worker.
    pub(super) first_worker: usize,
    /// How many workers there are.
    pub(super) workers: usize,
    /// Bytes of one body, at most.
    pub(super) bytes_max: u32,
    /// Some of them are durable.
    pub(super) is_durable: bool,
    /// Some callers are late, and some bodies are read slowly.
    pub(super) is_tight: bool,
    /// Numbers all orders of a run.
    pub(super) numbers: Numbers,
}

/// Gives out numbers, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(Arc<AtomicU64>);

impl Workload {
    /// Draws the pause before the next order: orders come by themselves, not in step.
    pub(super) fn draw_pause(&self, random: &mut impl Rng) -> Duration {
        let luck: f64 = random.random_range(1e-6..1.0);
        Duration::from_secs_f64(-luck.ln() / self.per_second.max(1e-3))
    }

    /// Draws the next messages: some at once, to one worker and of one class, as whoever reports much does.
    pub(super) fn draw_messages(&self, random: &mut impl Rng) -> Vec<Order> {
        let first = Order::draw_message(random, self.numbers.next(), self.workers);
        let (worker, class) = (first.worker, first.class);
        let more = random.random_range(1..MESSAGES_MAX);
        let others = std::iter::repeat_with(|| Order {
            worker,
            class,
            ..Order::draw_message(random, self.numbers.next(), self.workers)
        });
        let mut orders: Vec<_> = std::iter::once(first).chain(others.take(more)).collect();
        for order in &mut orders {
            order.worker += self.first_worker;
            order.is_durable = self.is_durable && random.random_bool(0.6);
        }
        orders
    }

    /// Draws the next order.
    pub(super) fn draw_order(&self, random: &mut impl Rng) -> Order {
        let mut order = Order::draw(random, self.numbers.next(), self.workers, self.bytes_max);
        order.worker += self.first_worker;
        order.is_durable = self.is_durable && random.random_bool(0.6);
        if order.kind == Kind::Once && order.job.number.is_multiple_of(KEPT_EVERY) {
            order.kind = Kind::Kept;
            // What was on its way of it would be lost with the process.
            order.job.result_body_bytes = 0;
        }
        if self.is_tight && order.kind != Kind::Inline && random.random_bool(0.2) {
            (order.job.body_bytes, order.job.reading_pause_ms) = (SLOW_BODY_BYTES, SLOW_READING_MS);
        }
        if self.is_tight && order.is_durable && random.random_bool(0.3) {
            order.look_after = Duration::from_millis(random.random_range(0..20_000));
        }
        order
    }
}

/// Most messages that come at once.
const MESSAGES_MAX: usize = 30;

/// One in so many of the commands that must not run twice outlives its worker's process.
const KEPT_EVERY: u64 = 4;

/// Some windows of a tight world, so that links are lost in the middle of it.
const SLOW_BODY_BYTES: u32 = 40_000;

/// Pause after each piece of such a body, of which there are about twenty.
const SLOW_READING_MS: u64 = 150;

impl Numbers {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns how many were given out.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
