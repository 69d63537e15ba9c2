//! The commands that were submitted through the API: how far each has come, its log, and the idempotency keys.
//!
//! Pure: the time is an argument. Everything is bounded: the logs in bytes, those that ended by number and age, the keys by number.

mod keys;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::time::{Duration, Instant};

use runnel::codec::{Class, CommandId, CommandName};
use runnel::{Delivery, UpdateMark};
use serde_json::{Value, json};

use self::keys::Keys;
pub(super) use self::keys::{KeyError, RequestKey, Reservation};
use super::config::ApiConfig;
use super::event::{Event, Step};
use super::log::{CommandLog, Patience, Read, ReadFrom, ReaderId};

/// All commands that were submitted through the API and are still kept.
#[derive(Debug)]
pub(super) struct Registry {
    config: ApiConfig,
    commands: BTreeMap<CommandId, Entry>,
    /// The commands in the order in which they were stored.
    order: BTreeMap<u64, CommandId>,
    /// Those that have ended, oldest end first.
    ended: VecDeque<CommandId>,
    /// Bytes of all logs.
    bytes: usize,
    numbers: u64,
    pub(super) keys: Keys,
    dropped: Dropped,
}

/// What is no longer kept here, so that the queue need not keep it any more either.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Bytes of updates, by command, oldest updates first.
    pub(super) updates: BTreeMap<CommandId, u64>,
    /// Commands that have ended.
    pub(super) outcomes: Vec<CommandId>,
}

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// On the clock that only runs forward.
    pub(super) at: Instant,
    /// Milliseconds since 1970.
    pub(super) ms: u64,
}

/// A command as it was submitted.
#[derive(Clone, Debug)]
pub(super) struct Submitted {
    pub(super) id: CommandId,
    pub(super) name: CommandName,
    pub(super) class: Class,
    pub(super) delivery: Delivery,
    /// When, in milliseconds since 1970.
    pub(super) stored_ms: u64,
    pub(super) deadline: Option<Duration>,
    /// For people.
    pub(super) summary: String,
    /// Its idempotency key.
    pub(super) key: Option<String>,
}

/// Which commands are to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Also those that have ended.
    pub(super) all: bool,
    /// Only those whose key begins so.
    pub(super) key_prefix: Option<String>,
}

/// Some of the commands.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) commands: Vec<Value>,
    /// Where the next page begins; `None` if this is the last.
    pub(super) next: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    submitted: Submitted,
    number: u64,
    step: Step,
    is_overdue: bool,
    outcome: Option<Value>,
    stored_at: Instant,
    ended_at: Option<Instant>,
    log: CommandLog,
}

impl Registry {
    /// Makes an empty registry.
    pub(super) fn new(config: ApiConfig) -> Self {
        let keys = Keys::new(config.keys_max, config.key_age);
        Self {
            config,
            commands: BTreeMap::new(),
            order: BTreeMap::new(),
            ended: VecDeque::new(),
            bytes: 0,
            numbers: 0,
            keys,
            dropped: Dropped::default(),
        }
    }

    /// Takes a command that was stored, now or by an older process.
    pub(super) fn insert(&mut self, now: Moment, submitted: Submitted) {
        self.numbers += 1;
        let age = Duration::from_millis(now.ms.saturating_sub(submitted.stored_ms));
        let stored = Moment { at: now.at.checked_sub(age).unwrap_or(now.at), ms: submitted.stored_ms };
        let id = submitted.id.clone();
        self.order.insert(self.numbers, id.clone());
        let entry = Entry {
            submitted,
            number: self.numbers,
            step: Step::Stored,
            is_overdue: false,
            outcome: None,
            stored_at: stored.at,
            ended_at: None,
            log: CommandLog::new(),
        };
        self.commands.insert(id.clone(), entry);
        self.push(Moment { at: now.at, ms: stored.ms }, &id, Event::Step(Step::Stored), None);
    }

    /// A command has come further. Each step is said once.
    pub(super) fn handle_step(&mut self, now: Moment, id: &CommandId, step: Step) {
        let Some(entry) = self.commands.get_mut(id).filter(|entry| entry.step < step) else { return };
        entry.step = step;
        self.push(now, id, Event::Step(step), None);
    }

    /// A command's deadline has passed and nobody knows what became of it.
    pub(super) fn handle_overdue(&mut self, now: Moment, id: &CommandId) {
        if let Some(entry) = self.commands.get_mut(id) {
            entry.is_overdue = true;
            self.push(now, id, Event::Overdue, None);
        }
    }

    /// A command has made progress.
    pub(super) fn handle_update(&mut self, now: Moment, id: &CommandId, event: Event, update: UpdateMark) {
        self.push(now, id, event, Some(update));
    }

    /// A command has made progress that waits, and is given back, until it fits without a gap for those who are waited for.
    pub(super) fn handle_update_if_room(
        &mut self,
        now: Moment,
        id: &CommandId,
        event: Event,
        update: UpdateMark,
    ) -> Result<(), Event> {
        if !self.has_room(id, &event) {
            return Err(event);
        }
        self.handle_update(now, id, event, update);
        Ok(())
    }

    /// A command has ended.
    pub(super) fn handle_outcome(&mut self, now: Moment, id: &CommandId, outcome: Value) {
        let Some(entry) = self.commands.get_mut(id).filter(|entry| entry.step < Step::Ended) else { return };
        entry.step = Step::Ended;
        entry.ended_at = Some(now.at);
        entry.outcome = Some(outcome.clone());
        entry.log.forget_expected();
        self.ended.push_back(id.clone());
        self.push(now, id, Event::Outcome(outcome), None);
    }

    /// Lets go of those that ended and are too many or too old, and of old keys.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(id) = self.ended.front() {
            let ended_at = self.commands.get(id).and_then(|entry| entry.ended_at).unwrap_or(now);
            let is_old = now.duration_since(ended_at) > self.config.ended_age;
            if !(is_old || self.ended.len() > self.config.ended_max) || !self.forget_ended(None) {
                break;
            }
        }
        self.keys.expire(now);
    }

    /// Begins to read a command's log.
    pub(super) fn attach(
        &mut self,
        id: &CommandId,
        reader: ReaderId,
        from: ReadFrom,
        patience: Patience,
    ) -> Result<(), UnknownCommand> {
        self.commands.get_mut(id).ok_or(UnknownCommand)?.log.attach(reader, from, patience);
        Ok(())
    }

    /// Keeps all of a command's log for a reader that will come.
    pub(super) fn expect_reader(&mut self, id: &CommandId) {
        if let Some(entry) = self.commands.get_mut(id) {
            entry.log.expect_reader();
        }
    }

    /// Ends reading.
    pub(super) fn detach(&mut self, id: &CommandId, reader: ReaderId) {
        if let Some(entry) = self.commands.get_mut(id) {
            entry.log.detach(reader);
        }
    }

    /// Gives a reader what comes next for it.
    pub(super) fn read(&mut self, id: &CommandId, reader: ReaderId, bytes_max: usize) -> Read {
        self.commands.get_mut(id).map_or(Read::End, |entry| entry.log.read(reader, bytes_max))
    }

    /// Returns whether a command's event fits without a gap for those who read it and are waited for. For those who are
    /// waited for without end commands that have ended are forgotten, if all logs are full.
    fn has_room(&mut self, id: &CommandId, event: &Event) -> bool {
        let bytes = event.bytes();
        let Some(entry) = self.commands.get(id) else { return true };
        let (held, kept) = (entry.log.held_bytes(), entry.log.bytes());
        if !entry.log.has_room(bytes, self.config.log_bytes_max) {
            return false;
        }
        while held > 0 && self.bytes - kept + held + bytes > self.config.logs_bytes_max {
            if !self.forget_ended(Some(id)) {
                return false;
            }
        }
        true
    }

    /// Returns whether somebody reads a command's log.
    pub(super) fn is_read(&self, id: &CommandId) -> bool {
        self.commands.get(id).is_some_and(|entry| entry.log.is_read())
    }

    /// Waits no longer for those who read a command slowly.
    pub(super) fn give_up_on_slow_readers(&mut self, id: &CommandId) {
        if let Some(entry) = self.commands.get_mut(id) {
            entry.log.give_up_on_slow_readers();
        }
    }

    /// Returns what the queue need not keep any more since this was asked last, if there is anything.
    pub(super) fn take_dropped(&mut self) -> Option<Dropped> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped != Dropped::default()).then_some(dropped)
    }

    /// Returns whether there is anything that the queue need not keep any more.
    pub(super) fn has_dropped(&self) -> bool {
        !(self.dropped.updates.is_empty() && self.dropped.outcomes.is_empty())
    }

    /// Returns how far a command has come.
    pub(super) fn step(&self, id: &CommandId) -> Option<Step> {
        self.commands.get(id).map(|entry| entry.step)
    }

    /// Describes a command for the API.
    pub(super) fn describe(&self, now: Instant, id: &CommandId) -> Option<Value> {
        self.commands.get(id).map(|entry| entry.describe(now))
    }

    /// Describes the commands that are wanted, oldest first. A page begins behind the number that the one before it named.
    pub(super) fn list(&self, now: Instant, wanted: &Wanted, after: u64, limit: NonZeroUsize) -> Page {
        let behind = self.order.range((Bound::Excluded(after), Bound::Unbounded));
        let entries = behind.filter_map(|(_, id)| self.commands.get(id));
        let mut entries = entries.filter(|entry| entry.is_wanted(wanted));
        let page: Vec<&Entry> = entries.by_ref().take(limit.get()).collect();
        let last = page.last().map(|entry| entry.number);
        Page {
            next: entries.next().and(last),
            commands: page.into_iter().map(|entry| entry.describe(now)).collect(),
        }
    }

    fn push(&mut self, now: Moment, id: &CommandId, event: Event, update: Option<UpdateMark>) {
        let Some(entry) = self.commands.get_mut(id) else { return };
        self.bytes += event.bytes();
        // Nobody holds back an outcome, so it must not push out what a reader has not read.
        let is_output = event.is_output();
        entry.log.push(now.ms, event, update);
        if is_output {
            self.make_room(id);
        }
        self.expire(now.at);
    }

    /// Keeps the log of `id`, and all logs together, within their bounds.
    fn make_room(&mut self, id: &CommandId) {
        loop {
            let Some(entry) = self.commands.get_mut(id) else { return };
            let is_full = self.bytes > self.config.logs_bytes_max;
            if entry.log.bytes() <= self.config.log_bytes_max && !is_full {
                return;
            }
            if is_full && self.forget_ended(Some(id)) {
                continue;
            }
            let Some(entry) = self.commands.get_mut(id) else { return };
            let Some(lost) = entry.log.forget_oldest() else { return };
            self.bytes -= lost.bytes;
            if let Some(update) = lost.update.filter(|_| entry.is_durable()) {
                *self.dropped.updates.entry(id.clone()).or_default() += update.bytes;
            }
        }
    }

    /// Forgets the oldest of those that ended and that nobody reads, `kept` aside. Returns whether there was one.
    fn forget_ended(&mut self, kept: Option<&CommandId>) -> bool {
        let is_free = |id: &CommandId| {
            Some(id) != kept && self.commands.get(id).is_none_or(|entry| !entry.log.is_read())
        };
        let Some(position) = self.ended.iter().position(is_free) else { return false };
        if let Some(entry) = self.ended.remove(position).and_then(|id| self.commands.remove(&id)) {
            self.order.remove(&entry.number);
            self.bytes -= entry.log.bytes();
            if entry.is_durable() {
                self.dropped.outcomes.push(entry.submitted.id);
            }
        }
        true
    }
}

impl Entry {
    fn is_durable(&self) -> bool {
        self.submitted.delivery == Delivery::Durable
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        let is_asked_for = wanted.all || self.step < Step::Ended;
        let prefix = wanted.key_prefix.as_deref();
        let begins_so = |prefix| self.submitted.key.as_deref().is_some_and(|key| key.starts_with(prefix));
        is_asked_for && prefix.is_none_or(begins_so)
    }

    fn describe(&self, now: Instant) -> Value {
        let since = |at: Instant| millis(now.saturating_duration_since(at));
        let is_open = self.step < Step::Ended;
        let deadline = self.submitted.deadline.filter(|_| is_open);
        let left = deadline
            .map(|deadline| millis(deadline.saturating_sub(now.saturating_duration_since(self.stored_at))));
        json!({
            "id": self.submitted.id.to_string(),
            "to": self.submitted.id.receiver.as_str(),
            "command": self.submitted.name.as_str(),
            "class": self.submitted.class.as_str(),
            "delivery": delivery_word(self.submitted.delivery),
            "stage": self.step.as_str(),
            "outcome": self.outcome,
            "is_overdue": self.is_overdue && is_open,
            "age_ms": since(self.stored_at),
            "ended_ms": self.ended_at.map(since),
            "deadline_ms": left,
            "summary": self.submitted.summary,
            "key": self.submitted.key,
        })
    }
}

/// The command was never here, or is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownCommand;

fn delivery_word(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Durable => "durable",
        Delivery::Memory => "memory",
    }
}

/// Returns whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
