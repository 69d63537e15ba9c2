//! Urgent requests beside bodies that fill the path.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::client::Client;
use crate::load::keep_sending_bodies;
use crate::measured::{Latencies, Measured, Window};
use crate::workload::Workload;

/// Sends a request at every tick, whether the one before is answered or not, so that a stall is felt by all that fall
/// into it.
pub(crate) async fn measure<C: Client>(client: &C, workload: &Workload) -> Measured {
    let bodies = keep_sending_bodies(client, workload.in_flight);
    sleep(workload.warm_up()).await;
    let window = Window::begin();
    let until = Instant::now() + workload.time();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    loop {
        let due_at = ticks.tick().await;
        if due_at >= until {
            break;
        }
        requests.spawn(request(client.clone(), due_at));
    }
    let mut measured = window.end();
    measured.commands = requests.len() as u64;
    let mut latencies = Latencies::new();
    while let Some(latency) = requests.join_next().await {
        latencies.record(latency.expect("a request does not panic"));
    }
    drop(bodies);
    measured.latency = latencies.summary();
    measured
}

/// Returns the time from when it was due until its answer came, or the patience if none did.
async fn request<C: Client>(client: C, due_at: Instant) -> Duration {
    let answered = timeout(PATIENCE, client.urgent(Bytes::from_static(&[7; URGENT_BYTES]))).await;
    if let Ok(bytes) = answered {
        assert_eq!(bytes, URGENT_BYTES, "the answer has the wrong length");
    }
    due_at.elapsed()
}

const URGENT_BYTES: usize = 100;
const INTERVAL: Duration = Duration::from_millis(20);

/// A request without an answer counts as one that took so long.
const PATIENCE: Duration = Duration::from_secs(10);
