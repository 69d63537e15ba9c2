//! Calling handlers, and what is known of those that run.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use runnel_codec::{CommandId, CommandKey, CommandName, NodeId, Outcome, Rejection, RejectionKind};
use runnel_queue::{Start, StopReason};
use tokio::sync::{Semaphore, mpsc, watch};

use super::Request;
use crate::env::Env;
use crate::handler::{Call, Called, Handlers};
use crate::updates::UpdateSink;

/// The handlers of a node and the commands that they are running.
pub(super) struct Dispatch {
    env: Arc<dyn Env>,
    handlers: Handlers,
    inbox: mpsc::Sender<Request>,
    updates_held_bytes_max: NonZeroUsize,
    running: BTreeMap<(NodeId, CommandKey), Running>,
}

/// What the engine holds of a running handler.
struct Running {
    room: Arc<Semaphore>,
    stop: watch::Sender<Option<StopReason>>,
}

impl Dispatch {
    pub(super) fn new(
        env: Arc<dyn Env>,
        handlers: Handlers,
        inbox: mpsc::Sender<Request>,
        updates_held_bytes_max: NonZeroUsize,
    ) -> Self {
        Self { env, handlers, inbox, updates_held_bytes_max, running: BTreeMap::new() }
    }

    /// Returns the command types that have a handler, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &CommandName> {
        self.handlers.names()
    }

    /// Checks that a command has a handler and arguments of its type.
    pub(super) fn check(&self, name: &CommandName, args: &[u8]) -> Result<(), Rejection> {
        let Some(handler) = self.handlers.find(name) else {
            let message = format!("this node has no handler for {name}");
            return Err(Rejection { kind: RejectionKind::UnknownCommand, message });
        };
        handler.check(args)
    }

    /// Calls the handler of a command. Returns the outcome at once if the handler is inline.
    pub(super) fn start(&mut self, receiver: &NodeId, start: Start) -> Option<Outcome> {
        let Some(handler) = self.handlers.find(&start.name) else {
            unreachable!("a command without a handler is rejected before it starts");
        };
        let room = Arc::new(Semaphore::new(self.updates_held_bytes_max.get()));
        let (stop, stopped) = watch::channel(None);
        let key = start.key;
        let call = Call {
            id: CommandId { sender: start.from.clone(), receiver: receiver.clone(), key },
            class: start.class,
            args: start.args,
            payload: start.payload,
            deadline_at: start.deadline_at,
            updates: UpdateSink::new(start.from.clone(), key, room.clone(), self.inbox.clone()),
            stop: stopped,
        };
        match handler.call(call) {
            Called::Finished(outcome) => Some(outcome),
            Called::Running(future) => {
                self.running.insert((start.from.clone(), key), Running { room, stop });
                let inbox = self.inbox.clone();
                self.env.spawn_handler(Box::pin(async move {
                    let outcome = future.await;
                    // If the engine is gone, there is nobody left to tell.
                    inbox.send(Request::Finished { from: start.from, key, outcome }).await.ok();
                }));
                None
            }
        }
    }

    /// Forgets a handler that has ended.
    pub(super) fn finish(&mut self, from: &NodeId, key: CommandKey) {
        if let Some(running) = self.running.remove(&(from.clone(), key)) {
            running.room.close();
        }
    }

    /// Tells a running handler to stop.
    pub(super) fn stop(&mut self, from: &NodeId, key: CommandKey, reason: StopReason) {
        if let Some(running) = self.running.get(&(from.clone(), key)) {
            running.stop.send_replace(Some(reason));
        }
    }

    /// Tells all running handlers to stop, and that nobody takes their updates any more.
    pub(super) fn stop_all(&mut self) {
        for (_, running) in std::mem::take(&mut self.running) {
            running.stop.send_replace(Some(StopReason::Cancelled));
            running.room.close();
        }
    }

    /// Lets a handler send more updates.
    pub(super) fn give_room(&mut self, from: &NodeId, key: CommandKey, bytes: usize) {
        if let Some(running) = self.running.get(&(from.clone(), key)) {
            running.room.add_permits(bytes);
        }
    }
}
