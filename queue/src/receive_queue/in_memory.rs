//! Keeping everything in memory: a record is stored by being in the queue.

use super::ReceiveQueue;

impl ReceiveQueue {
    /// Counts everything as stored that is in the queue: what a node without a store does instead of
    /// [`poll_store`](Self::poll_store). Returns whether there was anything.
    ///
    /// # Panics
    ///
    /// When a batch is under way.
    pub fn store_in_memory(&mut self) -> bool {
        let mut is_busy = false;
        self.start_waiting();
        while let Some(record) = self.journal.pop() {
            is_busy = true;
            self.handle_record(record);
            self.start_waiting();
        }
        is_busy
    }
}
