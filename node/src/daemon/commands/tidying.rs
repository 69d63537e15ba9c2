//! What the registry has let go of, the queue need not keep either: it is told, by a task of its own.

use std::sync::Arc;

use super::Commands;
use crate::daemon::registry::Dropped;

impl Commands {
    /// Tells the queue what is no longer kept here, until no more requests are taken.
    pub(in crate::daemon) async fn tidy(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.dropped.notified() => {}
            }
            let dropped = self.lock().registry.take_dropped();
            if let Some(dropped) = dropped {
                self.tell_queue(dropped).await;
            }
        }
    }

    async fn tell_queue(&self, dropped: Dropped) {
        for (id, bytes) in &dropped.updates {
            self.handle.take_updates(id, *bytes).await;
        }
        for id in &dropped.outcomes {
            // One whose outcome is 7 days old is forgotten there already.
            self.handle.forget_outcome(id).await.ok();
        }
    }
}
