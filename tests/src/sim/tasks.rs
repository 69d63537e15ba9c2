//! The tasks of a simulated process, which end together when it is killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runnel::Task;
use tokio::task::{JoinError, JoinSet};

use super::machine::Machine;

/// Tasks on one machine: they stand still while it is frozen, and go no further once they are killed.
#[derive(Debug)]
pub struct TaskSet {
    machine: Arc<Machine>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once they were killed.
    running: Option<JoinSet<()>>,
    panics: Vec<String>,
}

impl TaskSet {
    /// A set without tasks.
    pub fn new(machine: Arc<Machine>) -> Self {
        Self { machine, state: Mutex::new(State { running: Some(JoinSet::new()), panics: Vec::new() }) }
    }

    /// Starts a task. It is dropped at once if the set was killed.
    pub fn start(&self, task: Task) {
        let mut state = self.lock();
        state.reap();
        if let Some(running) = &mut state.running {
            running.spawn(self.machine.gate(task));
        }
    }

    /// Has no task go any further, and drops them all.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, they are dropped all the same, a little later.
    pub async fn kill(&self) {
        let Some(mut running) = self.lock().running.take() else { return };
        running.abort_all();
        while let Some(end) = running.join_next().await {
            self.lock().note(end);
        }
    }

    /// Waits until all tasks have ended by themselves.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, they go on.
    pub async fn ended(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            while let Some(running) = &mut state.running {
                match std::task::ready!(running.poll_join_next(cx)) {
                    Some(end) => state.note(end),
                    None => break,
                }
            }
            std::task::Poll::Ready(())
        })
        .await;
    }

    /// Returns how many tasks have not ended.
    pub fn len(&self) -> usize {
        let mut state = self.lock();
        state.reap();
        state.running.as_ref().map_or(0, JoinSet::len)
    }

    /// Returns whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns with what tasks panicked so far.
    pub fn panics(&self) -> Vec<String> {
        let mut state = self.lock();
        state.reap();
        state.panics.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go of the tasks that have ended.
    fn reap(&mut self) {
        while let Some(end) = self.running.as_mut().and_then(JoinSet::try_join_next) {
            self.note(end);
        }
    }

    fn note(&mut self, end: Result<(), JoinError>) {
        let Err(error) = end else { return };
        let Ok(panic) = error.try_into_panic() else { return };
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        self.panics.push(text.unwrap_or("a panic without words").to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn killed_tasks_go_no_further() {
        let tasks = TaskSet::new(Machine::new(Ipv4Addr::LOCALHOST.into()));
        let held = Arc::new(());
        let inside = held.clone();
        tasks.start(Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(inside);
        }));
        tasks.kill().await;
        assert_eq!(Arc::strong_count(&held), 1);
        let late = held.clone();
        tasks.start(Box::pin(async move { drop(late) }));
        assert_eq!((Arc::strong_count(&held), tasks.len()), (1, 0), "nothing starts any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_kept_with_its_words() {
        let tasks = TaskSet::new(Machine::new(Ipv4Addr::LOCALHOST.into()));
        // Without the hook that writes of it to standard error.
        tasks.start(Box::pin(async { std::panic::resume_unwind(Box::new("something broke")) }));
        tasks.ended().await;
        assert_eq!(tasks.panics(), ["something broke"]);
    }
}
