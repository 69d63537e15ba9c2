//! The way from the engine to the caller of a command: all that is ever told goes through one small allocation.
//!
//! What is told is kept by kind, not in a queue: a command is stored once, takes each step once and has one outcome, and
//! updates are bounded by the credit that the caller's side grants, each having at least one byte.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use runnel_codec::{CommandKey, Outcome};
use runnel_queue::SubmitError;
use tokio::task::coop;

use crate::wakes::{Waiter, WakeNotes, Wakes};

/// What the engine tells a caller of a stored command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallerEvent {
    /// It has come further.
    Step(Step),
    /// One record of progress, with its number among those of its command.
    Update(u64, Bytes),
    /// It has ended.
    Outcome(Outcome),
}

/// A step of a command. Those that wait are told in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The head is on a stream.
    Sent,
    /// It is in the receiver's queue.
    Accepted,
    /// The handler has been called.
    Started,
    /// The deadline has passed and nobody knows what became of it.
    Overdue,
}

/// The engine's end. When it is dropped, the caller hears that nothing more comes.
#[derive(Debug)]
pub(crate) struct Teller(Arc<Line>);

/// The caller's end.
#[derive(Debug)]
pub(crate) struct CallerEvents(Arc<Line>);

#[derive(Debug, Default)]
struct Line(Mutex<State>);

/// What was told and not taken, and who waits for it.
#[derive(Debug, Default)]
struct State {
    stored: Option<Result<CommandKey, SubmitError>>,
    steps: [bool; Step::ALL.len()],
    updates: VecDeque<(u64, Bytes)>,
    outcome: Option<Outcome>,
    is_over: bool,
    waiter: Option<Waiter>,
}

impl Step {
    const ALL: [Self; 4] = [Self::Sent, Self::Accepted, Self::Started, Self::Overdue];
}

/// Makes both ends of the way from the engine to a caller.
pub(crate) fn caller_events() -> (Teller, CallerEvents) {
    let line = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default();
    (Teller(line.clone()), CallerEvents(line))
}

thread_local! {
    /// Ways that nobody needs at present, of callers on this thread: who calls again and again takes none from the heap.
    static SPARE: RefCell<Vec<Arc<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Ways that are kept on a thread: a caller that goes on takes the one that it has just given back.
const SPARE_MAX: usize = 64;

impl Teller {
    /// Returns whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Says under which name the command is stored, or why it is not.
    pub(crate) fn stored(&self, wakes: &mut WakeNotes, stored: Result<CommandKey, SubmitError>) {
        self.tell(wakes, |state| state.stored = Some(stored));
    }

    pub(crate) fn step(&self, wakes: &mut WakeNotes, step: Step) {
        self.tell(wakes, |state| state.steps[step as usize] = true);
    }

    /// Hands an update over. Returns whether anybody is there to take it.
    pub(crate) fn update(&self, wakes: &mut WakeNotes, number: u64, content: Bytes) -> bool {
        if !self.is_heard() {
            return false;
        }
        self.tell(wakes, |state| state.updates.push_back((number, content)));
        true
    }

    /// Says the last word.
    pub(crate) fn outcome(self, wakes: &mut WakeNotes, outcome: Outcome) {
        self.tell(wakes, |state| state.outcome = Some(outcome));
    }

    fn tell(&self, wakes: &mut WakeNotes, tell: impl FnOnce(&mut State)) {
        let waiter = {
            let mut state = self.0.lock();
            tell(&mut state);
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            wakes.wake(waiter);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let waiter = {
            let mut state = self.0.lock();
            state.is_over = true;
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl CallerEvents {
    /// Waits until the command is stored, or is not. `None` when the engine is gone.
    pub(crate) async fn stored(&mut self, wakes: &Wakes) -> Option<Result<CommandKey, SubmitError>> {
        poll_fn(|cx| self.0.poll(cx, wakes, |state| state.stored.take())).await
    }

    /// Waits for the end of a command of which nothing else is told: its outcome, or why it was not stored. `None` when
    /// the engine is gone.
    pub(crate) async fn end(&mut self, wakes: &Wakes) -> Option<Result<Outcome, SubmitError>> {
        poll_fn(|cx| self.0.poll(cx, wakes, State::end)).await
    }

    /// Returns the next event; `None` when nothing more comes.
    pub(crate) async fn next(&mut self, wakes: &Wakes) -> Option<CallerEvent> {
        poll_fn(|cx| {
            // Whoever takes a long row of updates gives way to others now and then.
            let budget = ready!(coop::poll_proceed(cx));
            let next = self.0.poll(cx, wakes, State::next);
            if next.is_ready() {
                budget.made_progress();
            }
            next
        })
        .await
    }

    /// Returns whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.0.lock();
        state.steps == [false; Step::ALL.len()] && state.updates.is_empty() && state.outcome.is_none()
    }
}

impl Drop for CallerEvents {
    fn drop(&mut self) {
        let Some(line) = Arc::get_mut(&mut self.0) else { return };
        *line = Line::default();
        // On a thread that ends there is nothing to keep it in.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self.0.clone());
            }
        });
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        wakes: &Wakes,
        take: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut state = self.lock();
        let taken = take(&mut state);
        if taken.is_some() || state.is_over {
            return Poll::Ready(taken);
        }
        state.waiter = Some(wakes.waiter(cx.waker()));
        Poll::Pending
    }
}

impl State {
    /// Takes the outcome, or the reason why there will be none.
    fn end(&mut self) -> Option<Result<Outcome, SubmitError>> {
        match self.stored.take() {
            Some(Err(error)) => Some(Err(error)),
            _ => self.outcome.take().map(Ok),
        }
    }

    /// Takes the next event. Steps go before updates: a handler's come after its start.
    fn next(&mut self) -> Option<CallerEvent> {
        let step = Step::ALL.into_iter().find(|step| std::mem::take(&mut self.steps[*step as usize]));
        step.map(CallerEvent::Step)
            .or_else(|| {
                self.updates.pop_front().map(|(number, content)| CallerEvent::Update(number, content))
            })
            .or_else(|| self.outcome.take().map(CallerEvent::Outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (Wakes, WakeNotes, Teller, CallerEvents) {
        let wakes = Wakes::default();
        let notes = wakes.notes();
        let (teller, events) = caller_events();
        (wakes, notes, teller, events)
    }

    #[tokio::test]
    async fn what_is_told_is_taken_in_order_and_once() {
        let (wakes, mut notes, teller, mut events) = ends();
        assert!(teller.update(&mut notes, 1, "a".into()));
        teller.step(&mut notes, Step::Started);
        assert!(teller.update(&mut notes, 2, "b".into()));
        teller.outcome(&mut notes, Outcome::Cancelled);
        assert_eq!(events.next(&wakes).await, Some(CallerEvent::Step(Step::Started)));
        assert_eq!(events.next(&wakes).await, Some(CallerEvent::Update(1, "a".into())));
        assert_eq!(events.next(&wakes).await, Some(CallerEvent::Update(2, "b".into())));
        assert!(!events.is_empty());
        assert_eq!(events.next(&wakes).await, Some(CallerEvent::Outcome(Outcome::Cancelled)));
        assert!(events.is_empty());
        assert_eq!(events.next(&wakes).await, None);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_is_told() {
        let (wakes, mut notes, teller, mut events) = ends();
        let waiting = tokio::spawn(async move { events.next(&wakes).await });
        tokio::task::yield_now().await;
        teller.step(&mut notes, Step::Sent);
        assert_eq!(waiting.await.expect("no panic"), Some(CallerEvent::Step(Step::Sent)));
    }

    #[tokio::test]
    async fn a_caller_hears_that_the_engine_is_gone() {
        let (wakes, _notes, teller, mut events) = ends();
        let waiting = tokio::spawn(async move { events.stored(&wakes).await });
        tokio::task::yield_now().await;
        drop(teller);
        assert_eq!(waiting.await.expect("no panic"), None);
    }

    #[tokio::test]
    async fn the_next_caller_hears_nothing_of_the_one_before() {
        let (wakes, mut notes, teller, events) = ends();
        assert!(teller.update(&mut notes, 1, "a".into()));
        let place = Arc::as_ptr(&events.0);
        teller.outcome(&mut notes, Outcome::Cancelled);
        drop(events);
        let (teller, mut events) = caller_events();
        assert_eq!(Arc::as_ptr(&events.0), place, "it is used again");
        teller.outcome(&mut notes, Outcome::Expired);
        assert_eq!(events.next(&wakes).await, Some(CallerEvent::Outcome(Outcome::Expired)));
    }

    #[tokio::test]
    async fn updates_for_nobody_are_not_taken() {
        let (_wakes, mut notes, teller, events) = ends();
        drop(events);
        assert!(!teller.update(&mut notes, 1, "a".into()));
    }
}
