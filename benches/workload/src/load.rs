//! Callers that keep a system busy, each with one command at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::measured::{Latencies, Measured, Window};
use crate::urgent;
use crate::workload::{BODY_BYTES, Kind, Workload};

/// Runs a workload and returns what came of it.
///
/// # Panics
///
/// When an answer is not what it must be.
pub(crate) async fn measure<C: Client>(client: &C, workload: &Workload) -> Measured {
    match workload.kind {
        Kind::Urgent => urgent::measure(client, workload).await,
        Kind::Bulk => {
            let bulk = keep_sending_bodies(client, workload.in_flight);
            measure_callers(bulk, workload).await
        }
        Kind::Echo { bytes } | Kind::Messages { bytes } => {
            let phase = Arc::new(AtomicU8::new(WARM_UP));
            let bytes = Bytes::from(vec![7; bytes]);
            let mut callers = JoinSet::new();
            for _ in 0..workload.in_flight {
                let (client, bytes) = (client.clone(), bytes.clone());
                callers.spawn(call(client, workload.kind, bytes, phase.clone()));
            }
            measure_callers(Callers { tasks: callers, phase }, workload).await
        }
    }
}

/// Callers under way. They stop by themselves once the measurement is over, however short it was.
pub(crate) struct Callers {
    tasks: JoinSet<Calls>,
    phase: Arc<AtomicU8>,
}

/// What one of them did while it was measured.
struct Calls {
    commands: u64,
    latencies: Latencies,
}

/// Has so many callers send bodies, each one after the other.
pub(crate) fn keep_sending_bodies<C: Client>(client: &C, in_flight: usize) -> Callers {
    let phase = Arc::new(AtomicU8::new(WARM_UP));
    let body = Bytes::from(vec![7; BODY_BYTES]);
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (client, body, phase) = (client.clone(), body.clone(), phase.clone());
        tasks.spawn(async move {
            let mut calls = Calls { commands: 0, latencies: Latencies::new() };
            loop {
                let bytes = client.body(body.clone()).await;
                assert_eq!(bytes, body.len() as u64, "the server read less than the body");
                match phase.load(Ordering::Relaxed) {
                    WARM_UP => {}
                    MEASURED => calls.commands += 1,
                    _ => return calls,
                }
            }
        });
    }
    Callers { tasks, phase }
}

async fn call<C: Client>(client: C, kind: Kind, bytes: Bytes, phase: Arc<AtomicU8>) -> Calls {
    let mut calls = Calls { commands: 0, latencies: Latencies::new() };
    let mut number = 0u64;
    loop {
        let called_at = number.is_multiple_of(LATENCY_EVERY).then(Instant::now);
        match kind {
            Kind::Messages { .. } => client.message(bytes.clone()).await,
            _ => {
                let answered = client.echo(bytes.clone()).await;
                assert_eq!(answered, bytes.len(), "the answer has the wrong length");
            }
        }
        number += 1;
        match phase.load(Ordering::Relaxed) {
            WARM_UP => {}
            MEASURED => {
                calls.commands += 1;
                if let Some(called_at) = called_at {
                    calls.latencies.record(called_at.elapsed());
                }
            }
            _ => return calls,
        }
    }
}

/// Lets callers warm up, then counts what they do.
async fn measure_callers(mut callers: Callers, workload: &Workload) -> Measured {
    sleep(workload.warm_up()).await;
    let window = Window::begin();
    callers.phase.store(MEASURED, Ordering::Relaxed);
    sleep(workload.time()).await;
    callers.phase.store(OVER, Ordering::Relaxed);
    let mut measured = window.end();
    let mut latencies = Latencies::new();
    if workload.kind == Kind::Bulk {
        // The last bodies may take long and count for nothing: what the server has received is what is measured.
        callers.tasks.shutdown().await;
    }
    while let Some(calls) = callers.tasks.join_next().await {
        let calls = calls.expect("a caller does not panic");
        measured.commands += calls.commands;
        latencies.add(&calls.latencies);
    }
    measured.latency = latencies.summary();
    measured
}

/// One of so many commands of a caller is timed: reading the clock for each would cost a fast system a twentieth.
const LATENCY_EVERY: u64 = 16;

/// Phases of a workload, in their order.
const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Answers after a second.
    #[derive(Clone)]
    struct Slow;

    impl Client for Slow {
        async fn echo(&self, bytes: Bytes) -> usize {
            sleep(Duration::from_secs(1)).await;
            bytes.len()
        }

        async fn message(&self, bytes: Bytes) {
            self.echo(bytes).await;
        }

        async fn body(&self, bytes: Bytes) -> u64 {
            self.echo(bytes).await as u64
        }

        async fn urgent(&self, bytes: Bytes) -> usize {
            self.echo(bytes).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_slower_than_the_measurement_end_with_it() {
        let kind = Kind::Echo { bytes: 64 };
        let workload = Workload { kind, in_flight: 3, warm_up_seconds: 0.1, seconds: 0.1 };
        let measured = tokio::time::timeout(Duration::from_secs(5), measure(&Slow, &workload)).await;
        assert_eq!(measured.expect("the callers end").commands, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_within_the_measurement_counts() {
        let kind = Kind::Messages { bytes: 64 };
        let workload = Workload { kind, in_flight: 3, warm_up_seconds: 0.5, seconds: 2.0 };
        assert_eq!(measure(&Slow, &workload).await.commands, 6);
    }
}
