//! The observer: sees what callers, handlers and hosts do, and knows nothing of what is inside nodes.
//!
//! Every event is judged when it happens. What is wrong becomes a [`Violation`]; what is rare, a [`Mark`].

mod found;
mod host_life;
mod image;
mod life;
mod marks;
mod restored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runnel::NotDone;
use runnel::codec::{Class, CommandId};

use self::host_life::HostLife;
use self::life::{Breach, Facts, Life, Run};
pub use self::life::{Ended, Seat};
use self::marks::word;
use super::mark::Mark;
use super::order::{Kind, Order};
use super::trace::Trace;
use super::violation::{Invariant, Violation};

/// Sees everything from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Observer {
    trace: Trace,
    urgent_max: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    hosts: Vec<HostLife>,
    lives: BTreeMap<u64, Life>,
    /// The ids that were given out.
    ids: BTreeMap<CommandId, u64>,
    /// The newest process of a sender of which a process of a receiver has run something.
    senders: BTreeMap<(Seat, usize), u32>,
    /// The newest disk of a sender of which a receiver has run something.
    stores: BTreeMap<(usize, usize), u32>,
    /// Links that came up between two hosts, and when the last one did.
    links: BTreeMap<(usize, usize), (u64, Duration)>,
    /// Since when there is no fault.
    calm_since: Option<Duration>,
    outcomes: BTreeMap<&'static str, u64>,
    marks: BTreeSet<Mark>,
    violations: Vec<Violation>,
}

impl Observer {
    /// An observer of so many hosts. In calm, an urgent command takes at most `urgent_max`.
    pub fn new(trace: Trace, hosts: usize, urgent_max: Duration) -> Self {
        let state = State { hosts: vec![HostLife::default(); hosts], ..State::default() };
        Self { trace, urgent_max, state: Arc::new(Mutex::new(state)) }
    }

    /// Returns what it tells of events.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// A process starts. Returns which one it is.
    pub fn started(&self, host: usize) -> Seat {
        let mut state = self.lock();
        state.hosts[host].handle_start();
        let seat = Seat { host, boot: state.hosts[host].boot };
        self.trace.event(&format!("host {host} starts"));
        seat
    }

    /// A process is gone, and its memory with it.
    pub fn lost(&self, host: usize, how: &str) {
        self.trace.event(&format!("host {host} {how}"));
        self.lock().hosts[host].handle_lost(self.trace.elapsed());
    }

    /// A process is told to stop.
    pub fn told_to_stop(&self, host: usize) {
        self.trace.event(&format!("host {host} is told to stop"));
        self.lock().hosts[host].handle_stop(self.trace.elapsed());
    }

    /// A machine wakes up.
    pub fn slept(&self, host: usize, slept: Duration) {
        self.trace.event(&format!("host {host} slept {slept:?}"));
        self.lock().hosts[host].handle_sleep(self.trace.elapsed(), slept);
    }

    /// The wall clock of a machine steps forward.
    pub fn stepped(&self, host: usize, step: Duration) {
        self.lock().hosts[host].handle_step(self.trace.elapsed(), step);
    }

    /// The disk of a host is gone, and all that was stored on it.
    pub fn disk_lost(&self, host: usize) {
        self.trace.event(&format!("host {host} loses its disk"));
        self.lock().hosts[host].handle_disk_lost(self.trace.elapsed());
    }

    /// A double of a host appears or is gone.
    pub fn double(&self, host: usize, is_there: bool) {
        self.trace.event(&format!("host {host} has a double: {is_there}"));
        self.lock().hosts[host].handle_double(self.trace.elapsed(), is_there);
    }

    /// The NAT of a host forgets its ports.
    pub fn rebound(&self, host: usize) {
        self.trace.event(&format!("host {host} is rebound"));
        self.lock().hosts[host].rebinds += 1;
    }

    /// A link came up between two hosts.
    pub fn linked(&self, host: usize, peer: usize) {
        let now = self.trace.elapsed();
        let mut state = self.lock();
        let (links, last_at) = state.links.entry((host.min(peer), host.max(peer))).or_default();
        (*links, *last_at) = (*links + 1, now);
    }

    /// Faults begin, or have all stopped.
    pub fn calm(&self, is_calm: bool) {
        let now = self.trace.elapsed();
        let mut state = self.lock();
        state.calm_since = if is_calm { Some(state.calm_since.unwrap_or(now)) } else { None };
    }

    /// A caller is about to submit a command.
    pub fn submits(&self, sender: Seat, order: &Order) {
        let now = self.trace.elapsed();
        let mut state = self.lock();
        // What is sent may be bound to a process that died after the last link to it came up, and not been found out.
        let linked_at =
            state.links.get(&(sender.host, order.worker)).map(|(_, at)| at.saturating_sub(HELLO_MAX));
        let life = Life {
            order: order.clone(),
            sender,
            disk: state.hosts[sender.host].disk,
            kept_on: state.hosts[sender.host].disk,
            restored: None,
            was_given_up: false,
            unrenewed: None,
            is_resuming: false,
            was_found: false,
            submitted_at: now,
            bound_at: linked_at.unwrap_or(now),
            id: None,
            is_sent: false,
            has_token: false,
            runs: Vec::new(),
            updates: 0,
            is_cancelled: false,
            is_abandoned: false,
            outcome: None,
            lost_outcome: None,
        };
        state.lives.insert(order.job.number, life);
    }

    /// A command is stored.
    pub fn accepted(&self, number: u64, id: &CommandId) {
        self.trace.event(&format!("command {number} is stored as {id}"));
        let mut state = self.lock();
        if let Some(life) = state.lives.get_mut(&number) {
            life.id = Some(id.clone());
        }
        let other = state.ids.insert(id.clone(), number).filter(|other| *other != number);
        if other.is_some() {
            drop(self.violated(state, number, (Invariant::NothingTwice, "two commands have one id")));
        }
    }

    /// A command is not stored.
    pub fn refused(&self, number: u64) {
        self.trace.event(&format!("command {number} is refused"));
        self.lock().lives.remove(&number);
    }

    /// A command has left its sender.
    pub fn sent(&self, number: u64) {
        self.with_life(number, |life| life.is_sent = true);
    }

    /// A caller cancels a command.
    pub fn cancels(&self, number: u64) {
        self.trace.event(&format!("command {number} is to be cancelled"));
        self.with_life(number, |life| life.is_cancelled = true);
    }

    /// A caller gives a command up.
    pub fn abandons(&self, number: u64) {
        self.trace.event(&format!("command {number} is abandoned"));
        self.with_life(number, |life| life.is_abandoned = true);
    }

    /// The handler of a command is called.
    pub fn called(&self, number: u64, seat: Seat) {
        self.trace.event(&format!("command {number} is called at host {}", seat.host));
        let now = self.trace.elapsed();
        let mut state = self.lock();
        let Some(life) = state.lives.get(&number) else {
            return drop(self.violated(
                state,
                number,
                (Invariant::NoGhosts, "a command ran that nobody sent"),
            ));
        };
        let (sender, disk, facts) = (life.sender, life.disk, state.facts(life));
        let is_durable = life.order.is_durable;
        let (has_run, judged) = (!life.runs.is_empty(), life.judge_call(seat, &facts));
        let judged = judged.and_then(|()| match is_durable {
            true => state.judge_store(seat, sender, disk),
            false => state.judge_sender(seat, sender),
        });
        let links = state.links(sender.host, seat.host);
        let (rebinds, on_disk) = (state.hosts[seat.host].rebinds, state.hosts[seat.host].disk);
        state.marks.extend(has_run.then_some(Mark::RunAgain));
        if let Some(life) = state.lives.get_mut(&number) {
            life.runs.push(Run {
                seat,
                disk: on_disk,
                called_at: now,
                ended: None,
                links,
                rebinds,
                has_body: false,
            });
        }
        if let Err(breach) = judged {
            drop(self.violated(state, number, breach));
        }
    }

    /// The handler of a command can be found again from now on.
    pub fn left_token(&self, number: u64) {
        self.with_life(number, |life| life.has_token = true);
    }

    /// The handler of a command is found again by its token.
    pub fn recovered(&self, number: u64, seat: Seat) {
        self.trace.event(&format!("command {number} is recovered at host {}", seat.host));
        let now = self.trace.elapsed();
        let mut state = self.lock();
        let Some(life) = state.lives.get(&number) else { return };
        let judged = life.judge_recovery(seat, &state.facts(life));
        let links = state.links(life.sender.host, seat.host);
        let (rebinds, disk) = (state.hosts[seat.host].rebinds, state.hosts[seat.host].disk);
        state.marks.insert(Mark::RecoveredByToken);
        if let Some(life) = state.lives.get_mut(&number) {
            life.runs.push(Run { seat, disk, called_at: now, ended: None, links, rebinds, has_body: false });
        }
        if let Err(breach) = judged {
            drop(self.violated(state, number, breach));
        }
    }

    /// The handler of a command has ended.
    pub fn ended(&self, number: u64, seat: Seat, ended: Ended) {
        self.trace.event(&format!("command {number} ends at host {}: {ended:?}", seat.host));
        self.with_life(number, |life| {
            if let Some(run) = life.runs.iter_mut().rfind(|run| run.seat == seat) {
                run.ended = Some(ended);
            }
        });
    }

    /// A handler has taken bytes of its command's body.
    pub fn took_body(&self, number: u64, seat: Seat) {
        let mut is_again = false;
        self.with_life(number, |life| {
            is_again = life.runs.iter().any(|run| run.seat != seat && run.has_body);
            if let Some(run) = life.runs.iter_mut().rfind(|run| run.seat == seat) {
                run.has_body = true;
            }
        });
        self.mark_all(is_again.then_some(Mark::BodySentAgain));
    }

    /// A caller sees an update of a command: the first has the number 1.
    pub fn updated(&self, number: u64, update: u64, content: &[u8]) {
        let mut state = self.lock();
        let Some(life) = state.lives.get_mut(&number) else { return };
        if !life.take_update(update, content) {
            drop(self.violated(state, number, (Invariant::SameBytes, "an update is not the next one")));
        }
    }

    /// A caller has the outcome of a command.
    pub fn outcome(&self, number: u64, outcome: Result<(), NotDone>) {
        let now = self.trace.elapsed();
        self.trace.event(&format!("command {number} has ended: {outcome:?}"));
        let mut state = self.lock();
        let Some(life) = state.lives.get(&number) else { return };
        if life.was_found && life.outcome.as_ref() == Some(&outcome) {
            // It was told already, and its process ended before it could be forgotten.
            return;
        }
        let facts = state.facts(life);
        let elapsed = now - life.submitted_at;
        let mut judged = life.judge_outcome(&outcome, elapsed, &facts);
        let is_calm = state.calm_since.is_some_and(|since| since + CALM_AFTER <= life.submitted_at);
        let is_quick =
            life.order.kind == Kind::Inline && life.order.class == Class::Urgent && outcome.is_ok();
        if judged.is_ok() && is_calm && is_quick && elapsed > self.urgent_max {
            judged = Err((Invariant::UrgentFirst, "an urgent command took too long"));
        }
        let marks = state.marks_of(life, &outcome);
        state.marks.extend(marks);
        *state.outcomes.entry(word(&outcome)).or_default() += 1;
        if let Some(life) = state.lives.get_mut(&number) {
            life.outcome = Some(outcome);
        }
        if let Err(breach) = judged {
            drop(self.violated(state, number, breach));
        }
    }

    /// Something is wrong that only whoever saw it can say.
    pub fn violation(&self, invariant: Invariant, text: String) {
        let at = self.trace.elapsed();
        self.trace.event(&format!("violation: {text}"));
        self.lock().violations.push(Violation { invariant, at, text });
    }

    /// A rare path was gone.
    pub fn mark(&self, mark: Mark) {
        self.lock().marks.insert(mark);
    }

    /// Rare paths were gone, if any.
    pub fn mark_all(&self, marks: impl IntoIterator<Item = Mark>) {
        self.lock().marks.extend(marks);
    }

    /// Returns the commands that were accepted, whose sender still runs, and that have no outcome.
    pub fn owed(&self) -> Vec<u64> {
        let state = self.lock();
        let owed = state.lives.iter().filter(|(_, life)| {
            let sender = &state.hosts[life.sender.host];
            life.id.is_some() && life.outcome.is_none() && sender.is_up && sender.boot == life.sender.boot
        });
        owed.map(|(number, _)| *number).collect()
    }

    /// Returns those of them that one process sent, oldest first.
    pub fn owed_by(&self, sender: Seat) -> Vec<(u64, CommandId)> {
        let state = self.lock();
        let of_sender =
            state.lives.iter().filter(|(_, life)| life.sender == sender && life.outcome.is_none());
        of_sender.filter_map(|(number, life)| Some((*number, life.id.clone()?))).collect()
    }

    /// Returns from which host a command was sent, and under which id.
    pub fn sent_as(&self, number: u64) -> Option<(usize, CommandId)> {
        let state = self.lock();
        let life = state.lives.get(&number)?;
        Some((life.sender.host, life.id.clone()?))
    }

    /// Returns what is known of a command, for people.
    pub fn describe(&self, number: u64) -> String {
        self.lock().lives.get(&number).map_or_else(|| "nothing".to_owned(), |life| format!("{life:?}"))
    }

    /// Returns how often each outcome was seen.
    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        self.lock().outcomes.clone()
    }

    /// Returns the rare paths that were gone.
    pub fn marks(&self) -> BTreeSet<Mark> {
        self.lock().marks.clone()
    }

    /// Returns what was wrong.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    fn violated<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        number: u64,
        (invariant, what): Breach,
    ) -> MutexGuard<'a, State> {
        let text = match state.lives.get(&number) {
            Some(life) => format!("{what}: command {number}, {life:?}"),
            None => format!("{what}: command {number}"),
        };
        self.trace.event(&format!("violation: {text}"));
        state.violations.push(Violation { invariant, at: self.trace.elapsed(), text });
        state
    }

    fn with_life(&self, number: u64, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lock().lives.get_mut(&number) {
            change(life);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn facts(&self, life: &Life) -> Facts {
        let (since, receiver) = (life.submitted_at, &self.hosts[life.order.worker]);
        let called_at = life.runs.last().map(|run| run.called_at);
        let sender = &self.hosts[life.sender.host];
        let stepped = if life.order.is_durable {
            receiver.stepped(since) + sender.stepped(since)
        } else {
            Duration::ZERO
        };
        let has_lost_journal = called_at.is_some_and(|at| life.has_lost_journal(receiver.has_lost_disk(at)));
        Facts {
            has_forgotten: match life.order.is_durable {
                true => receiver.has_lost_disk(life.bound_at) || receiver.had_double(life.bound_at),
                false => receiver.has_forgotten(life.bound_at),
            },
            has_crashed: receiver.has_forgotten(since),
            has_forgotten_call: called_at.is_some_and(|at| receiver.has_forgotten(at)) || has_lost_journal,
            has_lost_journal,
            was_stopped: receiver.was_stopped(since),
            had_double: receiver.had_double(since),
            slept: receiver.slept(since) + sender.slept(since) + stepped,
        }
    }

    /// A receiver that knows a sender's new process runs nothing of the old one any more.
    fn judge_sender(&mut self, seat: Seat, sender: Seat) -> Result<(), Breach> {
        let newest = self.senders.entry((seat, sender.host)).or_default();
        if sender.boot < *newest {
            return Err((Invariant::NoGhosts, "a command of a sender's earlier process started"));
        }
        *newest = sender.boot;
        Ok(())
    }

    /// The same of a sender's stores, whatever became of the receiver's process.
    fn judge_store(&mut self, seat: Seat, sender: Seat, disk: u32) -> Result<(), Breach> {
        let known = self.stores.insert((seat.host, sender.host), disk);
        match known {
            Some(newest) if disk < newest => {
                Err((Invariant::NoGhosts, "a command of a sender's earlier store started"))
            }
            Some(newest) if disk > newest => {
                self.marks.insert(Mark::StoreFenced);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn links(&self, host: usize, peer: usize) -> u64 {
        self.links.get(&(host.min(peer), host.max(peer))).map_or(0, |(links, _)| *links)
    }
}

/// How long a hello may be under way.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// How long after the last fault links have found each other again.
const CALM_AFTER: Duration = Duration::from_secs(60);
