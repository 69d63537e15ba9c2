//! Calling handlers, and what is known of those that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use runnel_codec::{
    CommandId, CommandKey, CommandName, NodeId, Outcome, Part, Rejection, RejectionKind, UnknownReason,
    UpdatePolicy,
};
use runnel_queue::{DeliveryPart, Freed, Start, StopReason};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Inbox, Releases, Request};
use crate::body::{BodyReader, BodySink, BodyWriter, Whose};
use crate::config::NodeConfig;
use crate::env::Env;
use crate::handler::{Call, Called, Handlers, Run};
use crate::room::{Room, Rooms};
use crate::updates::{Acknowledgements, Engaged, Feeder, SpillFolder, UpdateSink};

/// The handlers of a node and the commands that they are running.
pub(super) struct Dispatch {
    env: Arc<dyn Env>,
    handlers: Handlers,
    inbox: mpsc::Sender<Request>,
    releases: Releases,
    body_rooms: Rooms,
    updates_rooms: Rooms,
    /// Where updates go that memory cannot hold.
    spill: Option<SpillFolder>,
    running: BTreeMap<(NodeId, CommandKey), Running>,
}

/// What the engine holds of a running handler.
struct Running {
    updates_room: Arc<Room>,
    /// None if its caller wants no body.
    result_body_room: Option<Arc<Room>>,
    /// Where the parts of its body go.
    body: Option<mpsc::UnboundedSender<DeliveryPart>>,
    stop: watch::Sender<Option<StopReason>>,
    kept: Option<Kept>,
}

/// What the engine holds of a running handler that can be found again.
struct Kept {
    name: CommandName,
    acknowledgements: Acknowledgements,
    /// Dropping it drops the handler's future.
    _attached: oneshot::Sender<()>,
}

impl Dispatch {
    pub(super) fn new(
        env: Arc<dyn Env>,
        handlers: Handlers,
        inbox: &Inbox,
        config: &NodeConfig,
        body_rooms: Rooms,
        spill: Option<SpillFolder>,
    ) -> Self {
        Self {
            spill,
            body_rooms,
            updates_rooms: Rooms::new(config.updates_room()),
            env,
            handlers,
            inbox: inbox.to_self.clone(),
            releases: inbox.releases.clone(),
            running: BTreeMap::new(),
        }
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
            // Others are rejected before they start; this one was started by a process that knew more.
            return Some(Outcome::Unknown(UnknownReason::HandlerLost));
        };
        if start.recover.is_some() && !handler.is_recoverable() {
            return Some(Outcome::Unknown(UnknownReason::HandlerLost));
        }
        // An inline handler sees its arguments alone: without bodies, nothing has to be made for its call.
        if !start.has_body
            && !start.wants_result_body
            && let Some(outcome) = handler.call_inline(&start.args)
        {
            return Some(outcome);
        }
        let updates_room = self.updates_rooms.open();
        let (stop, stopped) = watch::channel(None);
        let key = start.key;
        let whose = Whose::Theirs(start.from.clone(), key);
        let (body, body_reader) = if start.has_body {
            // Its credit bounds it: nothing is written further ahead of its reader than the body's window.
            let (body, parts) = mpsc::unbounded_channel();
            let (inbox, releases) = (self.inbox.clone(), self.releases.clone());
            let reader = BodyReader::new(whose.clone(), parts, inbox, releases);
            // What an older process was given of it is not there any more: it comes again, if it is wanted.
            let reader = if start.recover.is_some() { reader.on_demand() } else { reader };
            (Some(body), Some(reader))
        } else {
            (None, None)
        };
        let result_body_room = start.wants_result_body.then(|| self.body_rooms.open());
        let result_body = result_body_room.clone().map(|room| {
            BodyWriter::ready(BodySink {
                whose,
                room,
                skip: 0,
                inbox: self.inbox.clone(),
                releases: self.releases.clone(),
            })
        });
        let acknowledgements = handler.is_recoverable().then(Acknowledgements::new);
        let run = acknowledgements.clone().map(|acknowledgements| Run {
            from: start.from.clone(),
            key,
            inbox: self.inbox.clone(),
            acknowledgements,
        });
        let engaged = Engaged {
            from: start.from.clone(),
            key,
            room: updates_room.clone(),
            inbox: self.inbox.clone(),
            counting: acknowledgements.clone(),
        };
        let (updates, feeder) = self.sink(engaged, start.updates);
        let call = Call {
            id: CommandId { sender: start.from.clone(), receiver: receiver.clone(), key },
            class: start.class,
            args: start.args,
            payload: start.payload,
            deadline_at: start.deadline_at,
            is_durable: start.is_durable,
            updates,
            body: body_reader,
            result_body,
            stop: stopped.clone(),
            run,
            recover: start.recover,
        };
        match handler.call(call) {
            Called::Finished(outcome) => Some(outcome),
            Called::Running(future) => {
                let inbox = self.inbox.clone();
                let from = start.from.clone();
                let task = async move {
                    let outcome = match feeder {
                        Some(feeder) => feeder.run(future, stopped).await,
                        None => future.await,
                    };
                    // If the engine is gone, there is nobody left to tell.
                    inbox.send(Request::Finished { from, key, outcome }).await.ok();
                };
                let kept = match acknowledgements {
                    Some(acknowledgements) => {
                        let (attached, mut detached) = oneshot::channel();
                        // As long as its future is there it hears nothing of being let go of, not even in the middle of
                        // its own code: it would take that for an order to stop, or for the end of its input.
                        let ends = (stop.clone(), body.clone());
                        self.env.spawn_handler(Box::pin(async move {
                            let _ends = ends;
                            tokio::select! {
                                biased;
                                _ = &mut detached => {}
                                () = task => {}
                            }
                        }));
                        Some(Kept { name: start.name, acknowledgements, _attached: attached })
                    }
                    None => {
                        self.env.spawn_handler(Box::pin(task));
                        None
                    }
                };
                let running = Running { updates_room, result_body_room, body, stop, kept };
                self.running.insert((start.from, key), running);
                None
            }
        }
    }

    /// Makes where a handler's updates go. What can be found again keeps its own words until they are acknowledged, and what
    /// is discarded needs no keeping: neither spills.
    fn sink(&self, engaged: Engaged, policy: UpdatePolicy) -> (UpdateSink, Option<Feeder>) {
        let may_spill = engaged.counting.is_none() && policy != UpdatePolicy::Discard;
        match self.spill.clone().filter(|_| may_spill) {
            Some(folder) => {
                let (updates, feeder) = UpdateSink::spilling(engaged, folder);
                (updates, Some(feeder))
            }
            None => (UpdateSink::new(engaged), None),
        }
    }

    /// Tells recoverable handlers which of their tokens there are.
    pub(super) fn begin(&self, mut tokens: BTreeMap<CommandName, Vec<Bytes>>) {
        for (name, handler) in self.handlers.iter().filter(|(_, handler)| handler.is_recoverable()) {
            self.env.spawn_handler(handler.begin(tokens.remove(name).unwrap_or_default()));
        }
    }

    /// Tells a handler that a token of its is not needed any more.
    pub(super) fn release(&self, name: &CommandName, token: Bytes) {
        if let Some(handler) = self.handlers.find(name) {
            self.env.spawn_handler(handler.release(token));
        }
    }

    /// Returns the type of a running command whose handler can be found again.
    pub(super) fn kept(&self, from: &NodeId, key: CommandKey) -> Option<&CommandName> {
        let running = self.running.get(&(from.clone(), key))?;
        running.kept.as_ref().map(|kept| &kept.name)
    }

    /// Lets go of a running handler that is to be found again: its future is dropped, and its command has not ended.
    pub(super) fn detach(&mut self, from: &NodeId, key: CommandKey) {
        // What it says is not refused: it would take that for an error, and end.
        self.running.remove(&(from.clone(), key));
    }

    /// Forgets a handler that has ended.
    pub(super) fn finish(&mut self, from: &NodeId, key: CommandKey) {
        if let Some(running) = self.running.remove(&(from.clone(), key)) {
            running.close();
        }
    }

    /// Tells a running handler to stop.
    pub(super) fn stop(&mut self, from: &NodeId, key: CommandKey, reason: StopReason) {
        if let Some(running) = self.running.get(&(from.clone(), key)) {
            running.stop.send_replace(Some(reason));
        }
    }

    /// Tells all running handlers to stop.
    pub(super) fn stop_all(&mut self) {
        for running in self.running.values() {
            running.stop.send_replace(Some(StopReason::Cancelled));
        }
    }

    /// Lets go of the handlers that still run: nobody takes their words any more.
    pub(super) fn abandon_all(&mut self) {
        for running in std::mem::take(&mut self.running).into_values() {
            running.close();
        }
    }

    /// Returns whether no handler runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Lets a handler have more of its words held.
    pub(super) fn give_room(&mut self, freed: Freed) {
        if let Some(running) = self.running.get(&(freed.from, freed.key)) {
            match (freed.part, &running.result_body_room) {
                (Part::ResultBody, Some(room)) => room.free(freed.bytes),
                (Part::ResultBody, None) => {}
                (Part::Updates | Part::Body, _) => running.updates_room.free(freed.bytes),
            }
            if let (Part::Updates, Some(kept)) = (freed.part, &running.kept) {
                kept.acknowledgements.acknowledge(freed.bytes);
            }
        }
    }

    /// Hands a part of a body to its handler. Returns whether it is there to read it.
    pub(super) fn deliver(&mut self, from: &NodeId, key: CommandKey, part: DeliveryPart) -> bool {
        let running = self.running.get(&(from.clone(), key));
        let body = running.and_then(|running| running.body.as_ref());
        body.is_some_and(|body| body.send(part).is_ok())
    }
}

impl Running {
    /// Nobody takes its words any more.
    fn close(&self) {
        self.updates_room.close();
        if let Some(room) = &self.result_body_room {
            room.close();
        }
    }
}
