//! What recoverable handlers leave to be found again by: on its way into the store, and until it is not needed any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use runnel_codec::{CommandKey, CommandName, NodeId};
use runnel_queue::Start;
use tokio::sync::oneshot;

use super::Engine;

/// The tokens of a node's handlers.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Recovered commands whose handlers are to be called first.
    starts: VecDeque<Start>,
    left: BTreeMap<(NodeId, CommandKey), Left>,
    /// Those whose handler has ended, and whose outcome may not be durable yet.
    ended: BTreeSet<(NodeId, CommandKey)>,
}

/// What is known of the tokens of one command.
#[derive(Debug)]
struct Left {
    name: CommandName,
    /// The newest.
    token: Bytes,
    /// Who waits until tokens are stored, in the order in which they were left.
    waiting: VecDeque<oneshot::Sender<()>>,
    is_stored: bool,
}

impl Tokens {
    /// Takes note of a token. Its handler waits until it is stored.
    fn insert(
        &mut self,
        at: (NodeId, CommandKey),
        name: CommandName,
        token: Bytes,
        reply: Option<oneshot::Sender<()>>,
    ) {
        let left = self.left.entry(at).or_insert_with(|| Left {
            name,
            token: Bytes::new(),
            waiting: VecDeque::new(),
            is_stored: reply.is_none(),
        });
        left.token = token;
        left.waiting.extend(reply);
    }
}

impl Engine {
    /// Lets recoverable handlers know which of their tokens there are, before any handler is called.
    pub(super) fn begin_handlers(&mut self) {
        let mut tokens = BTreeMap::<CommandName, Vec<Bytes>>::new();
        while let Some(start) = self.receive.poll_start() {
            if let Some(token) = &start.recover {
                tokens.entry(start.name.clone()).or_default().push(token.clone());
                self.tokens.insert((start.from.clone(), start.key), start.name.clone(), token.clone(), None);
            }
            self.tokens.starts.push_back(start);
        }
        self.dispatch.begin(tokens);
    }

    /// Returns the next command whose handler is to be called.
    pub(super) fn poll_start(&mut self) -> Option<Start> {
        self.tokens.starts.pop_front().or_else(|| self.receive.poll_start())
    }

    /// A handler has left a token.
    pub(super) fn handle_token(
        &mut self,
        from: NodeId,
        key: CommandKey,
        token: Bytes,
        reply: oneshot::Sender<()>,
    ) {
        // Without a name its handler is not heard any more, and dropping the reply tells it so.
        let Some(name) = self.dispatch.kept(&from, key).cloned() else { return };
        self.receive.handle_token(&from, key, token.clone());
        self.tokens.insert((from, key), name, token, Some(reply));
    }

    /// Tells handlers that their tokens are stored.
    pub(super) fn poll_tokens(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(at) = self.receive.poll_token_stored() {
            is_busy = true;
            let Some(left) = self.tokens.left.get_mut(&at) else { continue };
            left.is_stored = true;
            let reply = left.waiting.pop_front();
            if self.is_draining {
                // Those that were stored before have been let go of, and this one must not begin what it leads to.
                self.detach_handlers();
            }
            if let Some(reply) = reply {
                reply.send(()).ok();
            }
        }
        is_busy
    }

    /// Lets go of the handlers that the next process will find again.
    pub(super) fn detach_handlers(&mut self) {
        if self.storing.is_none() && self.store_failure.is_none() {
            return;
        }
        for ((from, key), left) in &self.tokens.left {
            // What a sender numbers under the epoch of its process does not outlive ours.
            let boot = self.peers.get(from).and_then(|peer| peer.boot);
            if left.is_stored && boot != Some(key.epoch) {
                self.dispatch.detach(from, *key);
            }
        }
    }

    /// A handler has ended: its token is needed until its outcome is durable.
    pub(super) fn end_token(&mut self, from: &NodeId, key: CommandKey) {
        let at = (from.clone(), key);
        if self.tokens.left.contains_key(&at) {
            self.tokens.ended.insert(at);
        }
    }

    /// All outcomes so far are durable, or nothing ever is.
    pub(super) fn release_tokens(&mut self) {
        if self.store_failure.is_some() {
            return;
        }
        for at in std::mem::take(&mut self.tokens.ended) {
            if let Some(left) = self.tokens.left.remove(&at) {
                self.dispatch.release(&left.name, left.token);
            }
        }
    }
}
