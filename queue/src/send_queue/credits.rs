//! How far a receiver may write ahead of its callers: each command within its window, and all commands to one peer within a
//! bound together.
//!
//! A credit that was said cannot be taken back. So the window of a command's updates begins small and grows with what
//! comes, and far only with what is taken; none takes more than half of what the others leave, and the long ones no more
//! than a quarter; what is given back while it is scarce is less than before. Whoever comes when nothing is left still gets
//! a little: no command waits for the caller of another.

use runnel_codec::{CREDIT_STEP_BYTES_MAX, UpdatePolicy};

use super::entry::Entry;
use crate::body_intake::BodyIntake;
use crate::config::SendQueueConfig;

/// What one peer may write ahead of its callers, over all commands to it.
#[derive(Debug, Default)]
pub(super) struct Credits {
    /// Bytes that were granted, or came beyond that, and are not taken.
    promised: u64,
}

impl Credits {
    /// Lets a command's credit or what was used of it change. The change is told how much the others leave of the bound.
    pub(super) fn change<T>(
        &mut self,
        config: &SendQueueConfig,
        entry: &mut Entry,
        change: impl FnOnce(&mut Entry, u64) -> T,
    ) -> T {
        self.remove(entry);
        let result = change(entry, config.credits_bytes_max.saturating_sub(self.promised));
        self.promised += entry.promised();
        result
    }

    /// A command is gone.
    pub(super) fn remove(&mut self, entry: &Entry) {
        self.promised -= entry.promised();
    }

    #[cfg(test)]
    pub(super) fn promised(&self) -> u64 {
        self.promised
    }
}

impl Entry {
    /// Returns what its receiver may still write ahead of its caller, and what has come that is not taken.
    pub(super) fn promised(&self) -> u64 {
        let reached = self.update_bytes_granted.max(self.update_bytes_received);
        reached - self.update_bytes_taken + self.promised_of_result_body()
    }

    fn promised_of_result_body(&self) -> u64 {
        self.result_body.as_deref().map_or(0, BodyIntake::window)
    }

    /// Grants updates as far as its window goes beyond what its caller has taken. Returns the credit to say, if it is time:
    /// each costs a control frame, so it comes in steps while the receiver can still write.
    pub(super) fn grant_updates(&mut self, config: &SendQueueConfig, left: u64) -> Option<u64> {
        let window = self.updates_window(config, left);
        let offset = self.update_bytes_taken + window;
        let step = if self.has_used_credit() { 1 } else { window.div_ceil(4).min(CREDIT_STEP_BYTES_MAX) };
        if !self.was_sent || offset < self.update_bytes_granted + step {
            return None;
        }
        self.update_bytes_granted = offset;
        Some(offset)
    }

    /// Its receiver does not know it, whatever was granted: nothing of it will be used.
    pub(super) fn forget_credit(&mut self) {
        self.update_bytes_granted = self.update_bytes_received;
    }

    /// Returns how far its receiver may write updates ahead of what its caller has taken.
    pub(super) fn updates_window(&self, config: &SendQueueConfig, left: u64) -> u64 {
        let (longest, untaken) = match self.command.updates {
            UpdatePolicy::Discard => return 0,
            UpdatePolicy::Follow => (config.updates_window_bytes, config.updates_window_bytes_untaken),
            UpdatePolicy::Store => {
                let kept = config.updates_kept_bytes_max;
                (config.updates_window_bytes.max(kept), kept)
            }
        };
        let left = left.saturating_sub(self.promised_of_result_body());
        let written =
            config.updates_window_bytes_first.get().max(self.update_bytes_received.saturating_mul(2));
        let written = written.min(untaken).min(left / 2);
        let taken = self.update_bytes_taken.saturating_mul(2).min(left / 4);
        let least = config.updates_window_bytes_min.get();
        written.max(taken).max(least).min(longest)
    }
}

/// Returns how far a receiver may write a result body ahead of its caller, for as long as it lasts.
pub(super) fn result_body_window(config: &SendQueueConfig, left: u64) -> u64 {
    let longest = config.result_body_window_bytes;
    longest.min(left / 4).max(config.result_body_window_bytes_min.get().min(longest))
}
