//! A simulated machine: its address, its clocks, and what its system would say. It outlives the processes on it.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use runnel::Task;
use runnel_queue::ClockReading;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A machine on the simulated network.
#[derive(Debug)]
pub struct Machine {
    address: IpAddr,
    started_at: Instant,
    state: Mutex<State>,
    /// Something has happened to addresses or routes.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    source: Option<IpAddr>,
    suspended: Duration,
    date: SystemTime,
    /// How often it was started.
    starts: u32,
    /// How long a sync of its disk takes.
    sync_delay: Duration,
    /// Tasks that wait until the machine thaws; `None` while it runs.
    frozen: Option<Vec<Waker>>,
}

/// A task that stands still while its machine is frozen.
struct Gated {
    machine: Arc<Machine>,
    task: Task,
}

impl Machine {
    /// A machine that runs, at the simulation's first day.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(address: IpAddr) -> Arc<Self> {
        let date = SystemTime::UNIX_EPOCH + FIRST_DAY;
        let state = State {
            source: Some(address),
            suspended: Duration::ZERO,
            date,
            starts: 1,
            sync_delay: Duration::from_millis(5),
            frozen: None,
        };
        let changed = Arc::new(Notify::new());
        Arc::new(Self { address, started_at: Instant::now(), state: Mutex::new(state), changed })
    }

    /// Returns where it is.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Has packets leave from another address, or from none, as far as its node is told. Its sockets are of the same
    /// machine nonetheless.
    pub fn set_source_address(&self, source: Option<IpAddr>) {
        self.lock().source = source;
    }

    /// Reports that something has happened to addresses or routes.
    pub fn report_change(&self) {
        self.changed.notify_one();
    }

    /// Wakes it up from a sleep of this length, in which no virtual time passed.
    pub fn wake_after(&self, slept: Duration) {
        self.lock().suspended += slept;
    }

    /// Sets its wall clock forward.
    pub fn step_forward(&self, step: Duration) {
        self.lock().date += step;
    }

    /// Sets its wall clock back.
    pub fn step_back(&self, step: Duration) {
        self.lock().date -= step;
    }

    /// Sets how long syncs of its disk take.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.lock().sync_delay = delay;
    }

    /// Starts it anew, as after a power cut: what its clock counts since the start means nothing from then on.
    pub fn restart(&self) {
        self.lock().starts += 1;
    }

    /// Stops all its tasks where they are, as a stopped virtual machine would: packets arrive and nobody looks.
    pub fn freeze(&self) {
        self.lock().frozen.get_or_insert_default();
    }

    /// Lets its tasks go on.
    pub fn thaw(&self) {
        let waiting = self.lock().frozen.take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    pub(super) fn source(&self) -> Option<IpAddr> {
        self.lock().source
    }

    pub(super) fn suspended(&self) -> Duration {
        self.lock().suspended
    }

    pub(super) fn sync_delay(&self) -> Duration {
        self.lock().sync_delay
    }

    /// Returns what its clocks show, as a system that knows its starts apart.
    pub(super) fn clock(&self) -> ClockReading {
        let wall = self.wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let state = self.lock();
        let machine = u128::from(state.starts);
        ClockReading { machine, uptime: self.started_at.elapsed() + state.suspended, wall }
    }

    pub(super) fn wall_clock(&self) -> SystemTime {
        self.lock().date + self.started_at.elapsed()
    }

    pub(super) fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Has a task stand still while the machine does.
    pub(super) fn gate(self: &Arc<Self>, task: Task) -> impl Future<Output = ()> + Send + use<> {
        Gated { machine: self.clone(), task }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(waiting) = &mut self.machine.lock().frozen {
            waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        self.task.as_mut().poll(cx)
    }
}

/// The date at which virtual time begins, counted from 1970.
pub(super) const FIRST_DAY: Duration = Duration::from_secs(1_800_000_000);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_frozen_machine_does_nothing_until_it_thaws() {
        let machine = Machine::new(Ipv4Addr::LOCALHOST.into());
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = ticks.clone();
        let task = machine.gate(Box::pin(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }));
        let task = tokio::spawn(task);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        machine.freeze();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 2);
        machine.thaw();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 3, "one timer was due, however long it was frozen");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_steps_and_goes_on() {
        let machine = Machine::new(Ipv4Addr::LOCALHOST.into());
        let day = Duration::from_secs(24 * 3600);
        machine.step_back(day);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(machine.wall_clock() + day, SystemTime::UNIX_EPOCH + FIRST_DAY + Duration::from_secs(5));
    }
}
