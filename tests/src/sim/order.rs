//! What a caller of the simulation asks for, and what its handler then does. All of it is drawn from a seed.

use std::time::Duration;

use rand::Rng;
use runnel::codec::{self, Class, Command, Decode, Encode, Message, Never, UpdatePolicy};

/// One command of the workload, seen from its caller.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the handler is to do.
    pub job: Job,
    /// Which command type it is.
    pub kind: Kind,
    /// Which worker it is for.
    pub worker: usize,
    /// Its priority.
    pub class: Class,
    /// When it is no longer wanted.
    pub deadline: Option<Duration>,
    /// When its caller cancels it.
    pub cancel_after: Option<Duration>,
    /// When its caller gives it up.
    pub abandon_after: Option<Duration>,
    /// What becomes of its updates.
    pub updates: UpdatePolicy,
    /// It survives crashes of both ends.
    pub is_durable: bool,
    /// Pause of its caller after each update and piece of a body.
    pub reading_pause: Duration,
    /// How long after its submit its caller begins to look after it.
    pub look_after: Duration,
}

/// The command types of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Work`], which must not run twice.
    Once,
    /// [`Repeat`], which may.
    Idempotent,
    /// [`Note`], which runs on the engine.
    Inline,
    /// [`Keep`], whose work outlives the process that called its handler.
    Kept,
    /// [`Tell`], which may share a stream with others.
    Message,
    /// [`Unheard`], for which there is no handler.
    Unheard,
}

/// What a handler does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "codec::bincode")]
pub struct Job {
    /// Tells all commands of a run apart.
    pub number: u64,
    /// How long it takes, in milliseconds, if nothing presses back.
    pub run_ms: u64,
    /// How many updates it sends.
    pub updates: u32,
    /// Bytes of each.
    pub update_bytes: u32,
    /// Bytes of the body that it reads; 0 is none.
    pub body_bytes: u32,
    /// Bytes of the body that it writes; 0 is none.
    pub result_body_bytes: u32,
    /// Bytes of its result.
    pub result_bytes: u32,
    /// Pause after each piece of the body that it reads, in milliseconds.
    pub reading_pause_ms: u64,
    /// It does not stop when it is told to.
    pub is_deaf: bool,
    /// How it ends.
    pub ending: Ending,
}

/// How a handler ends when it is not told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "codec::bincode")]
pub enum Ending {
    /// With its result.
    Result,
    /// With an error.
    Error,
    /// With a panic.
    Panic,
}

/// A job that must not run twice.
#[derive(Debug)]
pub enum Work {}

/// A job that may run again when it was lost.
#[derive(Debug)]
pub enum Repeat {}

/// A job that goes on while its node is away, and must not run twice.
#[derive(Debug)]
pub enum Keep {}

/// Gives a number back, on the engine's thread.
#[derive(Debug)]
pub enum Note {}

/// A job that says nothing but its end, as a message. It must not run twice.
#[derive(Debug)]
pub enum Tell {}

/// A job for which no node has a handler.
#[derive(Debug)]
pub enum Unheard {}

impl Command for Work {
    const NAME: &'static str = "sim.work/1";
    type Args = Job;
    type Update = Vec<u8>;
    type Result = Vec<u8>;
}

impl Command for Repeat {
    const NAME: &'static str = "sim.repeat/1";
    const IDEMPOTENT: bool = true;
    type Args = Job;
    type Update = Vec<u8>;
    type Result = Vec<u8>;
}

impl Command for Keep {
    const NAME: &'static str = "sim.keep/1";
    type Args = Job;
    type Update = Vec<u8>;
    type Result = Vec<u8>;
}

impl Command for Note {
    const NAME: &'static str = "sim.note/1";
    type Args = u64;
    type Update = Never;
    type Result = u64;
}

impl Message for Tell {
    const NAME: &'static str = "sim.tell/1";
    type Args = Job;
}

impl Command for Unheard {
    const NAME: &'static str = "sim.unheard/1";
    type Args = Job;
    type Update = Vec<u8>;
    type Result = Vec<u8>;
}

impl Order {
    /// Draws an order for one of so many workers. Bodies and updates are of at most `bytes_max` in all.
    pub fn draw(random: &mut impl Rng, number: u64, workers: usize, bytes_max: u32) -> Self {
        let kind = match random.random_range(0..100) {
            0..50 => Kind::Once,
            50..70 => Kind::Idempotent,
            70..98 => Kind::Inline,
            _ => Kind::Unheard,
        };
        let secs = |random: &mut dyn rand::RngCore, max: u64| {
            Duration::from_millis(random.random_range(0..max * 1000))
        };
        Self {
            job: Job::draw(random, number, bytes_max),
            kind,
            worker: random.random_range(0..workers),
            class: Class::ALL[random.random_range(0..Class::ALL.len())],
            deadline: random.random_bool(0.2).then(|| secs(random, 40)),
            cancel_after: random.random_bool(0.15).then(|| secs(random, 20)),
            abandon_after: random.random_bool(0.03).then(|| secs(random, 30)),
            is_durable: false,
            updates: match random.random_range(0..10) {
                0 => UpdatePolicy::Discard,
                1 => UpdatePolicy::Store,
                _ => UpdatePolicy::Follow,
            },
            reading_pause: if random.random_bool(0.1) { Duration::from_millis(200) } else { Duration::ZERO },
            look_after: Duration::ZERO,
        }
    }

    /// Draws an order for a message to one of so many workers.
    pub fn draw_message(random: &mut impl Rng, number: u64, workers: usize) -> Self {
        let drawn = Self::draw(random, number, workers, 0);
        let job = Job {
            run_ms: drawn.job.run_ms,
            is_deaf: drawn.job.is_deaf,
            ending: drawn.job.ending,
            ..Job::short(number)
        };
        Self { job, kind: Kind::Message, updates: UpdatePolicy::Discard, ..drawn }
    }

    /// An order that only asks for a sign of life.
    pub fn note(number: u64, worker: usize, class: Class) -> Self {
        Self { kind: Kind::Inline, class, ..Self::plain(Job::short(number), worker) }
    }

    /// An order for a job, without anything that could end it early.
    pub fn plain(job: Job, worker: usize) -> Self {
        Self {
            job,
            kind: Kind::Once,
            worker,
            class: Class::Normal,
            deadline: None,
            cancel_after: None,
            abandon_after: None,
            updates: UpdatePolicy::Follow,
            is_durable: false,
            reading_pause: Duration::ZERO,
            look_after: Duration::ZERO,
        }
    }
}

impl Job {
    /// A job that ends at once and brings back nothing but its number.
    pub fn short(number: u64) -> Self {
        Self {
            number,
            run_ms: 0,
            updates: 0,
            update_bytes: 0,
            body_bytes: 0,
            result_body_bytes: 0,
            result_bytes: 8,
            reading_pause_ms: 0,
            is_deaf: false,
            ending: Ending::Result,
        }
    }

    fn draw(random: &mut impl Rng, number: u64, bytes_max: u32) -> Self {
        let sizes = [0, 1, 100, 1_500, 20_000, bytes_max];
        let size = |random: &mut dyn rand::RngCore| {
            let top = sizes[random.random_range(1..sizes.len())];
            random.random_range(0..=top.min(bytes_max))
        };
        let updates = if random.random_bool(0.4) { random.random_range(1..30) } else { 0 };
        Self {
            number,
            run_ms: if random.random_bool(0.3) {
                random.random_range(0..20_000)
            } else {
                random.random_range(0..300)
            },
            updates,
            update_bytes: (size(random) / updates.max(1)).min(UPDATE_BYTES_MAX),
            body_bytes: if random.random_bool(0.15) { size(random) } else { 0 },
            result_body_bytes: if random.random_bool(0.15) { size(random) } else { 0 },
            result_bytes: if random.random_bool(0.1) { size(random) } else { 8 },
            reading_pause_ms: if random.random_bool(0.1) { 200 } else { 0 },
            is_deaf: random.random_bool(0.1),
            ending: match random.random_range(0..20) {
                0 => Ending::Error,
                1 => Ending::Panic,
                _ => Ending::Result,
            },
        }
    }

    /// Returns the content of an update: it begins with its place, if there is room.
    pub fn update(&self, index: u32) -> Vec<u8> {
        let mut content = content(self.number ^ (u64::from(index) << 40), 0, self.update_bytes as usize);
        let place = index.to_le_bytes();
        let len = content.len().min(place.len());
        content[..len].copy_from_slice(&place[..len]);
        content
    }

    /// Returns its result.
    pub fn result(&self) -> Vec<u8> {
        content(self.number ^ RESULT, 0, self.result_bytes as usize)
    }

    /// Returns a piece of the body that it reads.
    pub fn body(&self, offset: usize, len: usize) -> Vec<u8> {
        content(self.number ^ BODY, offset, len)
    }

    /// Returns a piece of the body that it writes.
    pub fn result_body(&self, offset: usize, len: usize) -> Vec<u8> {
        content(self.number ^ RESULT_BODY, offset, len)
    }
}

/// Bytes that say where they belong: no two places of no two streams look alike for long.
fn content(stream: u64, offset: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let mixed = (stream.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at as u64 >> 3))
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed >> (8 * (at & 7))).to_le_bytes()[0]
    };
    (offset..offset + len).map(byte).collect()
}

/// Below the 64 KiB of an encoded record.
const UPDATE_BYTES_MAX: u32 = 60_000;

const RESULT: u64 = 1 << 60;
const BODY: u64 = 2 << 60;
const RESULT_BODY: u64 = 3 << 60;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn pieces_of_a_body_are_those_of_the_whole() {
        let job = Job { body_bytes: 100, ..Job::short(7) };
        let whole = job.body(0, 100);
        assert_eq!([job.body(0, 33), job.body(33, 67)].concat(), whole);
        assert_ne!(job.result_body(0, 100), whole);
        assert_ne!(Job::short(8).body(0, 100), whole);
    }

    #[test]
    fn all_kinds_of_orders_are_drawn() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let orders: Vec<_> = (0..500).map(|number| Order::draw(&mut random, number, 3, 100_000)).collect();
        for kind in [Kind::Once, Kind::Idempotent, Kind::Inline, Kind::Unheard] {
            assert!(orders.iter().any(|order| order.kind == kind), "{kind:?}");
        }
        for ending in [Ending::Result, Ending::Error, Ending::Panic] {
            assert!(orders.iter().any(|order| order.job.ending == ending), "{ending:?}");
        }
        assert!(orders.iter().any(|order| order.job.body_bytes > 0 && order.cancel_after.is_some()));
    }
}
