//! A controller and a worker with stores, and what is asked of them.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use runnel::{Delivery, Handlers, Node, NodeBuilder, NodeHandle, SubmitOptions};
use runnel_benches::{Echo, Fleet};
use runnel_certs::Role;
use runnel_codec::NodeId;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::recorded::{Recorded, RecordedStore, SlowerStore, Tape};

/// Two nodes with stores and a link between them.
pub(crate) struct Pair {
    runtime: Runtime,
    controller: Node,
    worker: Node,
    tapes: [Tape; 2],
    slower_by: Duration,
}

/// How long commands took that came at a steady rate, in order of length.
pub(crate) struct Latencies {
    /// Until the caller had the id of a command that was stored.
    pub(crate) submits: Vec<Duration>,
    /// Until it had the outcome.
    pub(crate) outcomes: Vec<Duration>,
    /// How long each batch of either store took meanwhile, in order of length.
    pub(crate) batches: Vec<Duration>,
}

impl Pair {
    /// Starts both and waits for the link. Their disk is slower by so much a sync.
    ///
    /// # Errors
    ///
    /// Those of stores and nodes.
    pub(crate) fn start(folder: &Path, slower_by: Duration) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let fleet = Fleet::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tapes = [Tape::default(), Tape::default()];
        let builder = |name: &str, role, tape: &Tape| {
            let store = SlowerStore::open(&folder.join(name), slower_by)?;
            let store = Box::new(RecordedStore::new(store, tape.clone()));
            Ok::<_, Box<dyn Error + Send + Sync>>(NodeBuilder::new(fleet.identity(name, role)).store(store))
        };
        let mut handlers = Handlers::new();
        handlers.on_inline::<Echo, _>(Ok);
        let (controller, worker) = (
            builder("controller", Role::Controller, &tapes[0])?,
            builder("worker", Role::Worker, &tapes[1])?.handlers(handlers),
        );
        let (controller, worker) = runtime.block_on(async {
            let worker = worker.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).start().await?;
            let (name, address) = (worker.handle().node().clone(), worker.handle().listening()[0]);
            let controller = controller.peer(name.clone(), [address.to_string()]).start().await?;
            controller.handle().wait_for_link(&name).await?;
            Ok::<_, Box<dyn Error + Send + Sync>>((controller, worker))
        })?;
        Ok(Self { runtime, controller, worker, tapes, slower_by })
    }

    /// Keeps what both stores are told from now on.
    pub(crate) fn record(&self) -> Recorded {
        Recorded::begin(self.tapes.clone(), self.slower_by)
    }

    /// Has so many durable commands done, `in_flight` at once, and returns how long it took.
    pub(crate) fn run(&self, in_flight: usize, commands: usize) -> Duration {
        let began_at = Instant::now();
        self.runtime.block_on(async {
            let mut callers = JoinSet::new();
            for caller in 0..in_flight {
                let (handle, worker) = self.ends();
                let share = commands / in_flight + usize::from(caller < commands % in_flight);
                callers.spawn(async move {
                    for _ in 0..share {
                        echo(&handle, &worker, Delivery::Durable).await;
                    }
                });
            }
            callers.join_all().await;
        });
        began_at.elapsed()
    }

    /// Has so many commands in memory done, one after the other, and returns how long each took.
    pub(crate) fn round_trips(&self, commands: usize) -> Vec<Duration> {
        self.runtime.block_on(async {
            let (handle, worker) = self.ends();
            let mut times = Vec::new();
            for _ in 0..commands {
                times.push(echo(&handle, &worker, Delivery::Memory).await.1);
            }
            times
        })
    }

    /// Has so many durable commands a second done, whether the older ones have ended or not.
    pub(crate) fn paced(&self, rate: u32, length: Duration) -> Latencies {
        self.tapes.iter().for_each(Tape::begin_timing);
        let times = self.runtime.block_on(async {
            let (mut due, mut commands) = (pace(rate, length), JoinSet::new());
            while let Some(due_at) = due.recv().await {
                // What is taken late has waited since it was due.
                let late = due_at.elapsed();
                let (handle, worker) = self.ends();
                commands.spawn(async move {
                    let (stored, ended) = echo(&handle, &worker, Delivery::Durable).await;
                    (late + stored, late + ended)
                });
            }
            commands.join_all().await
        });
        let (mut submits, mut outcomes): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        let mut batches: Vec<_> = self.tapes.iter().flat_map(Tape::take_times).collect();
        submits.sort_unstable();
        outcomes.sort_unstable();
        batches.sort_unstable();
        Latencies { submits, outcomes, batches }
    }

    /// Stops both.
    pub(crate) fn stop(self) {
        self.runtime.block_on(async {
            self.controller.shutdown().await;
            self.worker.shutdown().await;
        });
    }

    fn ends(&self) -> (NodeHandle, NodeId) {
        (self.controller.handle().clone(), self.worker.handle().node().clone())
    }
}

/// Says when a command is due, from a thread of its own: the runtime's timers have ticks of a millisecond, and a runtime that
/// is busy must not make commands come later.
fn pace(rate: u32, length: Duration) -> mpsc::UnboundedReceiver<Instant> {
    // Bounded by the length.
    let (due, comes_due) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began_at = Instant::now();
        for number in 0.. {
            let offset = Duration::from_secs(1) * number / rate;
            if offset >= length {
                break;
            }
            std::thread::sleep(offset.saturating_sub(began_at.elapsed()));
            if due.send(Instant::now()).is_err() {
                break;
            }
        }
    });
    comes_due
}

/// Returns how long it took until the caller had the command's id, and its outcome.
async fn echo(handle: &NodeHandle, worker: &NodeId, delivery: Delivery) -> (Duration, Duration) {
    let options = SubmitOptions { delivery: Some(delivery), ..SubmitOptions::default() };
    let began_at = Instant::now();
    let command = handle.submit::<Echo>(worker, &vec![7; ARGS_BYTES], options).await;
    let command = command.expect("the queue has room");
    let stored = began_at.elapsed();
    let result = command.outcome().await.expect("it succeeds");
    assert_eq!(result.len(), ARGS_BYTES, "the answer has the wrong length");
    (stored, began_at.elapsed())
}

const ARGS_BYTES: usize = 64;
