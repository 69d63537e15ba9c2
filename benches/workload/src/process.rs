//! The life of a process, and the lines of text by which it is led.
//!
//! A server says `{"listening":"127.0.0.1:4433"}`, and answers each line with two moments, `[from, to]` in nanoseconds of
//! UNIX time, with a line of [`Served`]. A driver says `"ready"` once it is connected, and answers each line with a
//! [`Workload`] with a line of [`Measured`]. Both end with their standard input, so that none outlives who started it.

use std::future::Future;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::load::measure;
use crate::measured::{Measured, Served};
use crate::processor;
use crate::received::{POINT_INTERVAL, Timeline};
use crate::setup::Setup;
use crate::workload::Workload;

/// What a process says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// A server takes connections there.
    Listening(SocketAddr),
    /// A driver is connected.
    Ready,
    /// A driver has measured.
    Measured(Measured),
    /// What a server saw in the meantime it was asked about.
    Served(Served),
}

/// Serves until the standard input ends. `start` listens and returns where, and a guard that keeps it serving.
///
/// # Panics
///
/// When it cannot serve.
pub fn serve<F, G>(setup: &Setup, start: impl FnOnce(Setup) -> F)
where
    F: Future<Output = (SocketAddr, G)>,
{
    let (runtime, mut lines) = begin(setup);
    runtime.block_on(async {
        let (address, guard) = start(setup.clone()).await;
        say(&Line::Listening(address));
        let mut timeline = Timeline::default();
        let mut ticks = interval(POINT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => timeline.note(),
                line = lines.recv() => {
                    let Some(line) = line else { break };
                    let (from, to) = serde_json::from_str(&line).expect("a line has two moments");
                    timeline.note();
                    say(&Line::Served(timeline.between(from, to)));
                }
            }
        }
        drop(guard);
    });
}

/// Measures what it is told until the standard input ends. `connect` returns the client.
///
/// # Panics
///
/// When the server is lost or answers wrongly.
pub fn drive<F, C>(setup: &Setup, connect: impl FnOnce(Setup) -> F)
where
    F: Future<Output = C>,
    C: Client,
{
    let (runtime, mut lines) = begin(setup);
    runtime.block_on(async {
        let client = connect(setup.clone()).await;
        say(&Line::Ready);
        while let Some(line) = lines.recv().await {
            let workload: Workload = serde_json::from_str(&line).expect("a line has a workload");
            say(&Line::Measured(measure(&client, &workload).await));
        }
    });
}

/// Makes the runtime of the process, on its processor, and reads its standard input beside it.
fn begin(setup: &Setup) -> (Runtime, mpsc::Receiver<String>) {
    if let Some(core) = setup.core {
        processor::pin(core);
    }
    let (line, lines) = mpsc::channel(1);
    // It ends with the standard input; a process that fails before that ends with it.
    std::thread::spawn(move || {
        for text in io::stdin().lock().lines().map_while(Result::ok) {
            if line.blocking_send(text).is_err() {
                break;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    (runtime.expect("the system has timers"), lines)
}

/// Whoever leads the process may be gone; then the standard input ends too.
fn say(line: &Line) {
    let text = serde_json::to_string(line).expect("lines are plain");
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}
