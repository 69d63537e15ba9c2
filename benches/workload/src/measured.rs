//! What came of a workload.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::processor;
use crate::received::unix_nanos;

/// What the driving process saw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// When the measurement began, in nanoseconds of UNIX time.
    pub from_nanos: u64,
    /// When it ended, in nanoseconds of UNIX time.
    pub to_nanos: u64,
    /// Requests, messages or bodies that ended meanwhile.
    pub commands: u64,
    /// How long a part of them took; of bodies nothing.
    pub latency: Option<Latency>,
    /// Processor time of this process meanwhile, in microseconds.
    pub processor_micros: u64,
}

/// What the serving process saw between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Bytes of bodies that came.
    pub body_bytes: f64,
    /// Processor time of this process, in microseconds.
    pub processor_micros: f64,
}

/// How long commands took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were looked at.
    pub count: u64,
    /// The median, in microseconds.
    pub p50_micros: u64,
    /// 99 of 100 were not longer, in microseconds.
    pub p99_micros: u64,
    /// The longest, in microseconds.
    pub max_micros: u64,
}

/// A measurement under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    from_nanos: u64,
    processor_before: Duration,
}

/// Latencies as they come.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Measured {
    /// Returns how long was measured, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to_nanos.saturating_sub(self.from_nanos) as f64 / 1e9
    }
}

impl Window {
    /// Begins.
    pub(crate) fn begin() -> Self {
        Self { from_nanos: unix_nanos(), processor_before: processor::time() }
    }

    /// Ends; commands and latencies are to be filled in.
    pub(crate) fn end(self) -> Measured {
        let processor = processor::time().saturating_sub(self.processor_before);
        Measured {
            from_nanos: self.from_nanos,
            to_nanos: unix_nanos(),
            commands: 0,
            latency: None,
            processor_micros: u64::try_from(processor.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(SIGNIFICANT_DIGITS).expect("so many digits are allowed"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos.max(1)).expect("the histogram grows");
    }

    pub(crate) fn add(&mut self, others: &Self) {
        self.0.add(&others.0).expect("the histogram grows");
    }

    /// Returns nothing if there were none.
    pub(crate) fn summary(&self) -> Option<Latency> {
        let micros = |nanos: u64| nanos.div_ceil(1000);
        (!self.0.is_empty()).then(|| Latency {
            count: self.0.len(),
            p50_micros: micros(self.0.value_at_quantile(0.5)),
            p99_micros: micros(self.0.value_at_quantile(0.99)),
            max_micros: micros(self.0.max()),
        })
    }
}

const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_summed_up_in_microseconds() {
        let (mut latencies, mut others) = (Latencies::new(), Latencies::new());
        assert_eq!(latencies.summary(), None);
        (1..=99).for_each(|_| latencies.record(Duration::from_micros(100)));
        others.record(Duration::from_millis(5));
        latencies.add(&others);
        let summary = latencies.summary().expect("there are some");
        assert_eq!(summary.count, 100);
        assert!((100..=101).contains(&summary.p50_micros), "{summary:?}");
        assert!((100..=101).contains(&summary.p99_micros), "{summary:?}");
        assert!((5000..=5010).contains(&summary.max_micros), "{summary:?}");
    }
}
