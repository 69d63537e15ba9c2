//! Callers that keep a pair busy.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Somebody who sends commands one after the other.
pub trait Caller: Send + Sized + 'static {
    /// Sends one command, waits for its answer and checks it.
    fn call(&mut self) -> impl Future<Output = ()> + Send;
}

/// Has `callers` send so many commands in all, each at once when its last is answered, and returns the time it took.
///
/// # Panics
///
/// When a caller does.
pub fn run<C: Caller>(runtime: &Runtime, callers: &mut Vec<C>, commands: u64) -> Duration {
    let count = callers.len() as u64;
    runtime.block_on(async {
        let started_at = Instant::now();
        let mut tasks = JoinSet::new();
        for (mut caller, number) in callers.drain(..).zip(0..) {
            let share = commands / count + u64::from(number < commands % count);
            tasks.spawn(async move {
                for _ in 0..share {
                    caller.call().await;
                }
                caller
            });
        }
        while let Some(caller) = tasks.join_next().await {
            callers.push(caller.expect("a caller does not panic"));
        }
        started_at.elapsed()
    })
}

/// Makes the runtime of the callers: they share the thread of the bench.
pub(crate) fn callers_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has timers")
}
