//! Waking callers: once for all that the engine has told them in a turn.
//!
//! A wake across threads is a system call, and at a high rate these calls cost the engine's thread more than anything
//! else it does. So whoever waits for the engine from the application's runtime waits through [`Wakes::gather`]: the
//! engine then only notes who is to be woken, and [`Wakes::deliver`], a task on that runtime, wakes them all where a
//! wake is cheap. Those who wait on any other runtime are woken directly.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::{Handle, Id};

/// Who is to be woken. All clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes(Arc<Shared>);

/// Wakes everybody when it is dropped, and has all later wakes go directly.
#[derive(Debug)]
#[must_use = "wakes that are closed at once gather nothing"]
pub(crate) struct WakesGuard(Wakes);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The runtime on which they are delivered, once that has begun.
    runtime: OnceLock<Id>,
}

#[derive(Debug, Default)]
struct State {
    /// Those noted since the last delivery. Bounded by the number of tasks that wait.
    noted: Vec<Waker>,
    deliverer: Option<Waker>,
    /// The engine is in a turn, and flushes at its end.
    is_in_turn: bool,
    is_closed: bool,
}

/// Stands in for the waker of a task.
struct Noted {
    shared: Arc<Shared>,
    task: Waker,
}

/// Ends the gathering if delivery ends.
struct Delivery<'a>(&'a Wakes);

impl Wakes {
    /// Waits for `future`, whose wakes come from the engine.
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    pub(crate) async fn gather<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut noted: Option<(Waker, Waker)> = None;
        std::future::poll_fn(|cx| {
            if !self.is_delivered_here() {
                return future.as_mut().poll(cx);
            }
            let (_, waker) = match noted.take() {
                Some(known) if known.0.will_wake(cx.waker()) => noted.insert(known),
                _ => noted.insert((cx.waker().clone(), self.stand_in(cx.waker()))),
            };
            future.as_mut().poll(&mut Context::from_waker(waker))
        })
        .await
    }

    /// The engine begins a turn: wakes are noted until [`flush`](Self::flush). Outside of turns they go directly: a task
    /// also wakes itself, when it has used up its share of its thread.
    pub(crate) fn begin(&self) {
        self.0.lock().is_in_turn = true;
    }

    /// The engine ends a turn: has everybody woken who was noted.
    pub(crate) fn flush(&self) {
        let deliverer = {
            let mut state = self.0.lock();
            state.is_in_turn = false;
            if state.noted.is_empty() { None } else { state.deliverer.take() }
        };
        if let Some(deliverer) = deliverer {
            deliverer.wake();
        }
    }

    /// Wakes those who were noted, after each flush, until the gathering is closed.
    pub(crate) async fn deliver(self) {
        let _delivery = Delivery(&self);
        self.0.runtime.get_or_init(|| Handle::current().id());
        Rounds(&self.0).await;
    }

    /// Makes what ends the gathering when it is dropped.
    pub(crate) fn guard(&self) -> WakesGuard {
        WakesGuard(self.clone())
    }

    fn close(&self) {
        let (noted, deliverer) = {
            let mut state = self.0.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.noted), state.deliverer.take())
        };
        noted.into_iter().chain(deliverer).for_each(Waker::wake);
    }

    fn is_delivered_here(&self) -> bool {
        let Some(runtime) = self.0.runtime.get() else { return false };
        Handle::try_current().is_ok_and(|here| here.id() == *runtime)
    }

    fn stand_in(&self, task: &Waker) -> Waker {
        Waker::from(Arc::new(Noted { shared: self.0.clone(), task: task.clone() }))
    }
}

/// Rounds of wakes, until the gathering is closed.
struct Rounds<'a>(&'a Shared);

impl Future for Rounds<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (noted, is_closed) = {
            let mut state = self.0.lock();
            state.deliverer = Some(cx.waker().clone());
            (std::mem::take(&mut state.noted), state.is_closed)
        };
        noted.into_iter().for_each(Waker::wake);
        if is_closed { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.shared.lock();
        if state.is_in_turn && !state.is_closed {
            return state.noted.push(self.task.clone());
        }
        drop(state);
        self.task.wake_by_ref();
    }
}

impl Drop for WakesGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noted").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    /// Lets every task that can go on do so.
    async fn settle() {
        for _ in 0..8 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_was_noted_is_woken_by_the_flush() {
        let wakes = Wakes::default();
        let guard = wakes.guard();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn({
            let wakes = wakes.clone();
            async move { wakes.gather(answered).await }
        });
        settle().await;
        wakes.begin();
        answer.send(7).expect("somebody waits");
        settle().await;
        assert!(!waiting.is_finished(), "it has only been noted");
        wakes.flush();
        assert_eq!(waiting.await.expect("no panic"), Ok(7));
        drop(guard);
        delivery.await.expect("it has ended");
    }

    #[tokio::test]
    async fn a_task_that_gives_way_to_others_goes_on_without_the_engine() {
        let wakes = Wakes::default();
        let guard = wakes.guard();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        let waiting = tokio::spawn({
            let wakes = wakes.clone();
            async move { wakes.gather(yield_now()).await }
        });
        waiting.await.expect("no panic");
        drop(guard);
        delivery.await.expect("it has ended");
    }

    #[tokio::test]
    async fn who_was_noted_is_woken_when_the_engine_ends() {
        let wakes = Wakes::default();
        let guard = wakes.guard();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        let (answer, answered) = oneshot::channel::<()>();
        let waiting = tokio::spawn({
            let wakes = wakes.clone();
            async move { wakes.gather(answered).await }
        });
        settle().await;
        wakes.begin();
        drop(answer);
        drop(guard);
        assert!(waiting.await.expect("no panic").is_err());
        delivery.await.expect("it has ended");
    }

    #[tokio::test]
    async fn without_delivery_wakes_go_directly() {
        let wakes = Wakes::default();
        let delivery = tokio::spawn(wakes.clone().deliver());
        settle().await;
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn({
            let wakes = wakes.clone();
            async move { wakes.gather(answered).await }
        });
        settle().await;
        delivery.abort();
        assert!(delivery.await.is_err_and(|error| error.is_cancelled()));
        answer.send(7).expect("somebody waits");
        assert_eq!(waiting.await.expect("no panic"), Ok(7));
    }

    #[test]
    fn on_another_runtime_wakes_go_directly() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (home, elsewhere) = (runtime(), runtime());
        let wakes = Wakes::default();
        let guard = wakes.guard();
        let delivery = home.spawn(wakes.clone().deliver());
        home.block_on(settle());
        let (answer, answered) = oneshot::channel();
        let waiting = elsewhere.spawn({
            let wakes = wakes.clone();
            async move { wakes.gather(answered).await }
        });
        elsewhere.block_on(settle());
        answer.send(7).expect("somebody waits");
        assert_eq!(elsewhere.block_on(waiting).expect("no panic"), Ok(7), "home does not run meanwhile");
        drop(guard);
        home.block_on(delivery).expect("it has ended");
    }
}
