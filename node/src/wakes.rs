//! Waking callers: once for all that the engine has told them in a turn.
//!
//! A wake across threads is a system call, and at a high rate these calls cost the engine's thread more than anything
//! else it does. So whoever waits on the application's runtime is only noted by the engine, and [`Wakes::deliver`], a
//! task on that runtime, wakes them all where a wake is cheap. Those who wait on any other runtime are woken directly.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Handle, Id};

/// The callers' end. All clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes(Arc<Shared>);

/// The engine's end. When it is dropped, everybody is woken who was noted, and the delivery ends.
#[derive(Debug)]
#[must_use = "wakes that are closed at once gather nothing"]
pub(crate) struct WakeNotes {
    shared: Arc<Shared>,
    /// Those noted since the last flush. Bounded by the number of tasks that wait.
    noted: Vec<Waker>,
}

/// A task that waits for the engine.
#[derive(Debug)]
pub(crate) struct Waiter {
    task: Waker,
    /// It waits where wakes are delivered.
    is_gathered: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The runtime on which wakes are delivered, once that has begun.
    runtime: OnceLock<Id>,
}

#[derive(Debug, Default)]
struct State {
    /// Those to be woken by the next delivery.
    due: Vec<Waker>,
    deliverer: Option<Waker>,
    is_closed: bool,
}

/// Ends the gathering if delivery ends.
struct Delivery<'a>(&'a Wakes);

impl Wakes {
    /// Makes the engine's end.
    pub(crate) fn notes(&self) -> WakeNotes {
        WakeNotes { shared: self.0.clone(), noted: Vec::new() }
    }

    /// Takes note of who waits here for the engine.
    pub(crate) fn waiter(&self, task: &Waker) -> Waiter {
        let runtime = self.0.runtime.get();
        let is_gathered =
            runtime.is_some_and(|runtime| Handle::try_current().is_ok_and(|here| here.id() == *runtime));
        Waiter { task: task.clone(), is_gathered }
    }

    /// Wakes those who were noted, after each flush, until the engine's end is dropped.
    pub(crate) async fn deliver(self) {
        let _delivery = Delivery(&self);
        self.0.runtime.get_or_init(|| Handle::current().id());
        Rounds { shared: &self.0, due: Vec::new() }.await;
    }
}

impl WakeNotes {
    /// Returns the callers' end.
    pub(crate) fn wakes(&self) -> Wakes {
        Wakes(self.shared.clone())
    }

    /// Has a waiter woken: by the next flush, or at once if it does not wait where wakes are delivered.
    pub(crate) fn wake(&mut self, waiter: Waiter) {
        if waiter.is_gathered {
            self.noted.push(waiter.task);
        } else {
            waiter.wake();
        }
    }

    /// Has everybody woken who was noted.
    pub(crate) fn flush(&mut self) {
        if self.noted.is_empty() {
            return;
        }
        let deliverer = {
            let mut state = self.shared.lock();
            if !state.is_closed {
                state.due.append(&mut self.noted);
            }
            state.deliverer.take()
        };
        if let Some(deliverer) = deliverer {
            deliverer.wake();
        }
        // Without delivery they are still here.
        self.noted.drain(..).for_each(Waker::wake);
    }
}

impl Waiter {
    /// Wakes it directly.
    pub(crate) fn wake(self) {
        self.task.wake();
    }
}

impl Drop for WakeNotes {
    fn drop(&mut self) {
        self.flush();
        self.shared.close();
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        self.0.0.close();
    }
}

/// Rounds of wakes, until the gathering is closed.
struct Rounds<'a> {
    shared: &'a Shared,
    /// Empty between rounds; kept for its capacity.
    due: Vec<Waker>,
}

impl Future for Rounds<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared;
        let is_closed = {
            let mut state = shared.lock();
            state.deliverer = Some(cx.waker().clone());
            std::mem::swap(&mut state.due, &mut self.due);
            state.is_closed
        };
        self.due.drain(..).for_each(Waker::wake);
        if is_closed { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on wakes go directly.
    fn close(&self) {
        let (due, deliverer) = {
            let mut state = self.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.due), state.deliverer.take())
        };
        due.into_iter().chain(deliverer).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use tokio::task::yield_now;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn wakes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Lets every task that can go on do so.
    async fn settle() {
        for _ in 0..8 {
            yield_now().await;
        }
    }

    fn waiting(wakes: &Wakes) -> (Arc<Count>, Waiter) {
        let count = Arc::new(Count::default());
        let waiter = wakes.waiter(&Waker::from(count.clone()));
        (count, waiter)
    }

    #[tokio::test]
    async fn who_was_noted_is_woken_by_the_flush() {
        let wakes = Wakes::default();
        let mut notes = wakes.notes();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        for _ in 0..2 {
            let (count, waiter) = waiting(&wakes);
            notes.wake(waiter);
            settle().await;
            assert_eq!(count.wakes(), 0, "it has only been noted");
            notes.flush();
            assert_eq!(count.wakes(), 0, "it is woken on its own runtime");
            settle().await;
            assert_eq!(count.wakes(), 1);
        }
        drop(notes);
        delivery.await.expect("it has ended");
    }

    #[tokio::test]
    async fn who_was_noted_is_woken_when_the_engine_ends() {
        let wakes = Wakes::default();
        let mut notes = wakes.notes();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        let (count, waiter) = waiting(&wakes);
        notes.wake(waiter);
        drop(notes);
        delivery.await.expect("it has ended");
        assert_eq!(count.wakes(), 1);
    }

    #[tokio::test]
    async fn without_delivery_wakes_go_directly() {
        let wakes = Wakes::default();
        let mut notes = wakes.notes();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        let (due, waiter) = waiting(&wakes);
        notes.wake(waiter);
        notes.flush();
        let (noted, waiter) = waiting(&wakes);
        notes.wake(waiter);
        delivery.abort();
        settle().await;
        assert_eq!(due.wakes(), 1, "the end of the delivery wakes them");
        notes.flush();
        assert_eq!(noted.wakes(), 1);
    }

    #[test]
    fn on_another_runtime_wakes_go_directly() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (home, elsewhere) = (runtime(), runtime());
        let wakes = Wakes::default();
        let mut notes = wakes.notes();
        home.spawn(wakes.clone().deliver());
        home.block_on(settle());
        let (count, waiter) = elsewhere.block_on(async { waiting(&wakes) });
        notes.wake(waiter);
        assert_eq!(count.wakes(), 1, "home does not run meanwhile");
    }
}
