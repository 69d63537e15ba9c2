//! What a server has received, as a line through time, so that it can be asked about a past measurement of the other
//! process: the two share the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::measured::Served;
use crate::processor;

/// Counts bytes of bodies as they are read.
pub fn count_received(bytes: usize) {
    RECEIVED.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Points of the line, a few milliseconds apart.
#[derive(Debug, Default)]
pub(crate) struct Timeline(Vec<Point>);

#[derive(Clone, Copy, Debug)]
struct Point {
    nanos: u64,
    body_bytes: f64,
    processor_micros: f64,
}

impl Timeline {
    /// Notes how things are.
    pub(crate) fn note(&mut self) {
        let point = Point {
            nanos: unix_nanos(),
            body_bytes: RECEIVED.load(Ordering::Relaxed) as f64,
            processor_micros: processor::time().as_secs_f64() * 1e6,
        };
        if self.0.len() == POINTS_MAX {
            self.0.remove(0);
        }
        self.0.push(point);
    }

    /// Returns what happened between two moments, in nanoseconds of UNIX time.
    pub(crate) fn between(&self, from: u64, to: u64) -> Served {
        let ((from_bytes, from_micros), (to_bytes, to_micros)) = (self.at(from), self.at(to));
        Served { body_bytes: to_bytes - from_bytes, processor_micros: to_micros - from_micros }
    }

    /// Bytes and microseconds at a moment, on the straight line between the points around it.
    fn at(&self, nanos: u64) -> (f64, f64) {
        let next = self.0.partition_point(|point| point.nanos < nanos);
        let (Some(after), Some(before)) = (self.0.get(next).or(self.0.last()), self.0.get(next.max(1) - 1))
        else {
            return (0.0, 0.0);
        };
        let gap = after.nanos.saturating_sub(before.nanos).max(1) as f64;
        let part = (nanos.saturating_sub(before.nanos) as f64 / gap).min(1.0);
        let on_line = |from: f64, to: f64| from + (to - from) * part;
        (
            on_line(before.body_bytes, after.body_bytes),
            on_line(before.processor_micros, after.processor_micros),
        )
    }
}

pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Time between points.
pub(crate) const POINT_INTERVAL: Duration = Duration::from_millis(10);

/// Points that are kept: those of ten minutes.
const POINTS_MAX: usize = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_points_is_on_a_straight_line() {
        let point = |nanos, body_bytes| Point { nanos, body_bytes, processor_micros: body_bytes / 10.0 };
        let timeline = Timeline(vec![point(100, 0.0), point(200, 1000.0), point(300, 1000.0)]);
        let check = |from, to, body_bytes: f64| {
            let served = timeline.between(from, to);
            assert!((served.body_bytes - body_bytes).abs() < 1e-6, "{served:?}");
            assert!((served.processor_micros - body_bytes / 10.0).abs() < 1e-6, "{served:?}");
        };
        check(100, 300, 1000.0);
        check(150, 200, 500.0);
        check(125, 250, 750.0);
        check(0, 400, 1000.0);
    }

    #[test]
    fn an_empty_line_has_nothing() {
        let served = Timeline::default().between(0, 1);
        assert_eq!(served, Served { body_bytes: 0.0, processor_micros: 0.0 });
    }
}
