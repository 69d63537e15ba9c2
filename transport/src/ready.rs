//! Which of many things were woken, so that only those are polled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A set of numbered things, each with a waker of its own, and the queue of those that were woken.
///
/// The wakers are made once for each number and used again by whatever takes the number next; a late wake of its
/// predecessor costs one idle poll.
#[derive(Debug, Default)]
pub struct ReadySet {
    queue: Arc<Queue>,
    wakers: Vec<Waker>,
}

#[derive(Debug, Default)]
struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Woken numbers, oldest first, each at most once: as long as the set is large.
    woken: VecDeque<usize>,
    is_woken: Vec<bool>,
    /// Wakes whoever polls the set.
    task: Option<Waker>,
}

struct Slot {
    queue: Arc<Queue>,
    index: usize,
}

impl ReadySet {
    /// Adds a number and has it polled once.
    pub fn insert(&mut self, index: usize) {
        self.register(index);
        self.wake(index);
    }

    /// Adds a number, which is polled once it is woken.
    pub fn register(&mut self, index: usize) {
        while self.wakers.len() <= index {
            let slot = Slot { queue: self.queue.clone(), index: self.wakers.len() };
            self.wakers.push(Waker::from(Arc::new(slot)));
            self.queue.lock().is_woken.push(false);
        }
    }

    /// Has a number polled again. Numbers that were never inserted are ignored.
    pub fn wake(&self, index: usize) {
        self.queue.wake(index);
    }

    /// Returns the waker of a number.
    ///
    /// # Panics
    ///
    /// When the number was never inserted.
    pub fn waker(&self, index: usize) -> Waker {
        self.wakers[index].clone()
    }

    /// Returns how many numbers were woken and not returned since.
    pub fn woken(&self) -> usize {
        self.queue.lock().woken.len()
    }

    /// Returns the next number that was woken, if there is one. Whoever polls the set is not woken for the others.
    pub fn pop(&mut self) -> Option<usize> {
        self.queue.lock().pop()
    }

    /// Returns the next number that was woken.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.queue.lock();
        let Some(index) = state.pop() else {
            match &mut state.task {
                Some(task) => task.clone_from(cx.waker()),
                None => state.task = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        Poll::Ready(index)
    }
}

impl State {
    fn pop(&mut self) -> Option<usize> {
        let index = self.woken.pop_front()?;
        self.is_woken[index] = false;
        Some(index)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, index: usize) {
        let task = {
            let mut state = self.lock();
            match state.is_woken.get_mut(index) {
                Some(is_woken) if !*is_woken => *is_woken = true,
                _ => return,
            }
            state.woken.push_back(index);
            state.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.queue.wake(self.index);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.wake(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_woken_number_comes_once_and_in_order() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut set = ReadySet::default();
        set.insert(2);
        set.insert(0);
        assert_eq!(set.poll_next(&mut cx), Poll::Ready(2));
        assert_eq!(set.poll_next(&mut cx), Poll::Ready(0));
        assert_eq!(set.poll_next(&mut cx), Poll::Pending);
        set.waker(0).wake_by_ref();
        set.waker(0).wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "the task is woken once");
        assert_eq!(set.poll_next(&mut cx), Poll::Ready(0));
        assert_eq!(set.poll_next(&mut cx), Poll::Pending);
    }

    #[test]
    fn unknown_numbers_are_ignored() {
        let set = ReadySet::default();
        set.wake(7);
        assert!(set.queue.lock().woken.is_empty());
    }
}
