//! Sending again what a lost stream has carried: after a pause that grows until the receiver answers.

use std::time::{Duration, Instant};

use runnel_codec::{CommandKey, NodeId};

use super::entry::{Entry, Stage};
use super::{Alarm, LocalId, SendQueue};
use crate::config::SendQueueConfig;

impl SendQueue {
    /// The stream of a command has ended without an outcome: the command is sent again after a pause.
    pub fn handle_stream_lost(&mut self, now: Instant, peer: &NodeId, key: CommandKey) {
        let config = &self.config;
        let Some(peer) = self.peers.find(peer) else { return };
        let state = &mut self.peers[peer];
        let Some(entry) = state.entries.get_mut(key) else { return };
        if matches!(entry.stage, Stage::Sent | Stage::Accepted | Stage::Started) {
            entry.stage = Stage::Waiting;
            let at = now + entry.lose_stream(config);
            entry.resend_at = Some(at);
            self.set_alarm(at, Alarm::Resend(LocalId { peer, key }));
        }
        self.peers[peer].remove_body(key);
    }

    pub(super) fn handle_resend(&mut self, now: Instant, id: LocalId) {
        let Some(entry) = self.entry_mut(id) else { return };
        if entry.resend_at.is_some_and(|at| at <= now) {
            entry.resend_at = None;
            self.put_in_line(id, true);
        }
    }
}

impl Entry {
    /// Takes note of the loss of its stream. Returns how long to wait before it is sent again.
    fn lose_stream(&mut self, config: &SendQueueConfig) -> Duration {
        // Beyond 2^16 the longest pause is reached whatever the first one is.
        let pause = config.resend_pause.saturating_mul(1 << self.streams_lost.min(16));
        self.streams_lost = self.streams_lost.saturating_add(1);
        pause.min(config.resend_pause_max).max(config.resend_pause)
    }

    /// Takes note of an answer: the receiver has its head.
    pub(super) fn answered(&mut self) {
        self.streams_lost = 0;
        self.links_died = 0;
    }
}
