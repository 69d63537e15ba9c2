//! The log of one command: what happened to it, numbered, as far back as it is kept, and who reads it.
//!
//! Pure. Who reads slowly holds the log back; who is given up on is told of a gap, and who asked to be waited for is never
//! given up on. The numbers of events are those of this
//! process; the numbers of updates outlive it.

use std::collections::{BTreeMap, VecDeque};

use runnel::UpdateMark;

use super::event::{Event, write_gap, write_update_gap};

/// What happened to one command.
#[derive(Debug)]
pub(super) struct CommandLog {
    kept: VecDeque<Kept>,
    /// Number of the first event that is kept; events are numbered from 1.
    first: u64,
    /// Number of the last update that is no longer kept.
    updates_lost: u64,
    /// Bytes of all events so far, kept or not.
    pushed_bytes: u64,
    readers: BTreeMap<ReaderId, Reader>,
}

/// One that reads a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReaderId(pub(super) u64);

impl ReaderId {
    /// One that will come: whoever is the first takes its place.
    const EXPECTED: Self = Self(u64::MAX);
}

#[derive(Debug)]
struct Reader {
    /// Number of the event that it gets next.
    next: u64,
    /// Number of the last update that it has; `None` if it takes whichever comes first.
    updates: Option<u64>,
    /// It goes by the numbers of updates: those of events mean nothing to it.
    goes_by_updates: bool,
    patience: Patience,
    /// It was waited for in vain, so it holds nothing back until it has caught up.
    is_given_up: bool,
}

/// How long a reader is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// For a while.
    Bounded,
    /// As long as it reads.
    Endless,
}

#[derive(Debug)]
struct Kept {
    at_ms: u64,
    event: Event,
    /// If it is an update, which.
    update: Option<UpdateMark>,
    /// Bytes of all events before it.
    offset: u64,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFrom {
    /// At an event of this number.
    Event(u64),
    /// At the first event, without the updates up to this number.
    AfterUpdate(u64),
}

/// An event that is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) bytes: usize,
    /// If it was an update, which.
    pub(super) update: Option<UpdateMark>,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Some lines.
    Lines(Vec<u8>),
    /// Nothing yet.
    Pending,
    /// The outcome was the last it got.
    End,
}

impl CommandLog {
    pub(super) fn new() -> Self {
        Self { kept: VecDeque::new(), first: 1, updates_lost: 0, pushed_bytes: 0, readers: BTreeMap::new() }
    }

    /// Appends an event, and says which update it is if it is one.
    pub(super) fn push(&mut self, at_ms: u64, event: Event, update: Option<UpdateMark>) {
        let offset = self.pushed_bytes;
        self.pushed_bytes += event.bytes() as u64;
        self.kept.push_back(Kept { at_ms, event, update, offset });
    }

    /// Lets go of the oldest event, but never of the newest. Returns what it was.
    pub(super) fn forget_oldest(&mut self) -> Option<Lost> {
        if self.kept.len() < 2 {
            return None;
        }
        let Kept { event, update, .. } = self.kept.pop_front()?;
        self.first += 1;
        self.updates_lost = update.map_or(self.updates_lost, |update| update.number);
        Some(Lost { bytes: event.bytes(), update })
    }

    /// Keeps everything for a reader that will come, until one does or has been waited for long enough.
    pub(super) fn expect_reader(&mut self) {
        self.attach(ReaderId::EXPECTED, ReadFrom::Event(1), Patience::Bounded);
    }

    /// Expects nobody any more.
    pub(super) fn forget_expected(&mut self) {
        self.readers.remove(&ReaderId::EXPECTED);
    }

    /// Begins to read.
    pub(super) fn attach(&mut self, reader: ReaderId, from: ReadFrom, patience: Patience) {
        let (next, updates, goes_by_updates) = match from {
            ReadFrom::Event(..=1) => (1, Some(0), false),
            ReadFrom::Event(next) => (next, None, false),
            ReadFrom::AfterUpdate(update) => (1, Some(update), true),
        };
        let reading = Reader { next, updates, goes_by_updates, patience, is_given_up: false };
        self.forget_expected();
        self.readers.insert(reader, reading);
    }

    /// Ends reading.
    pub(super) fn detach(&mut self, reader: ReaderId) {
        self.readers.remove(&reader);
    }

    /// Gives a reader what comes next for it, at least one event if there is one, and further ones up to `bytes_max`.
    pub(super) fn read(&mut self, reader: ReaderId, bytes_max: usize) -> Read {
        let end = self.end();
        let Some(reader) = self.readers.get_mut(&reader) else { return Read::End };
        let mut lines = Vec::new();
        if reader.next < self.first {
            if !reader.goes_by_updates {
                write_gap(reader.next, self.first - 1, &mut lines);
                reader.updates = reader.updates.max(Some(self.updates_lost));
            }
            reader.next = self.first;
        }
        let skipped = usize::try_from(reader.next - self.first).unwrap_or(usize::MAX);
        for kept in self.kept.iter().skip(skipped) {
            if lines.len() >= bytes_max {
                return Read::Lines(lines);
            }
            let update = kept.update.map(|update| update.number);
            if update.is_none_or(|update| reader.wants(update, &mut lines)) {
                kept.event.write_line(reader.next, kept.at_ms, update, &mut lines);
            }
            reader.next += 1;
        }
        reader.is_given_up = false;
        if !lines.is_empty() {
            return Read::Lines(lines);
        }
        let has_ended = matches!(self.kept.back(), Some(Kept { event: Event::Outcome(_), .. }));
        if has_ended && reader.next >= end { Read::End } else { Read::Pending }
    }

    /// Returns whether an event of `bytes` fits within `bytes_max` without a gap for anybody who is waited for.
    pub(super) fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        let unread = self.unread_bytes(|reader| !reader.is_given_up);
        unread == 0 || unread.saturating_add(bytes) <= bytes_max
    }

    /// Returns the bytes that must not be let go of: those that somebody has not read who is waited for without end.
    pub(super) fn held_bytes(&self) -> usize {
        self.unread_bytes(|reader| reader.patience == Patience::Endless)
    }

    /// Waits no longer for those who have not read everything, unless they are waited for without end.
    pub(super) fn give_up_on_slow_readers(&mut self) {
        let end = self.end();
        let bounded = self.readers.values_mut().filter(|reader| reader.patience == Patience::Bounded);
        for reader in bounded.filter(|reader| reader.next < end) {
            reader.is_given_up = true;
        }
    }

    /// Returns the bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.pushed_bytes - self.offset(self.first)).unwrap_or(usize::MAX)
    }

    /// Returns whether somebody reads it.
    pub(super) fn is_read(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Returns the bytes that the slowest of these readers has not read.
    fn unread_bytes(&self, is_meant: impl Fn(&Reader) -> bool) -> usize {
        let slowest = self.readers.values().filter(|reader| is_meant(reader)).map(|reader| reader.next).min();
        let unread = slowest.map_or(0, |next| self.pushed_bytes - self.offset(next));
        usize::try_from(unread).unwrap_or(usize::MAX)
    }

    /// Returns the number that the next event will get.
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Returns the bytes of all events before this one; those that are not kept count as one.
    fn offset(&self, number: u64) -> u64 {
        let index = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.get(index).map_or(self.pushed_bytes, |kept| kept.offset)
    }
}

impl Reader {
    /// Returns whether it has not got an update yet. What is missing before it is said as a gap.
    fn wants(&mut self, update: u64, lines: &mut Vec<u8>) -> bool {
        let has = self.updates.unwrap_or(update - 1);
        if update <= has {
            return false;
        }
        if update > has + 1 {
            write_update_gap(has + 1, update - 1, lines);
        }
        self.updates = Some(update);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::super::event::{Output, Step};
    use super::*;

    const READER: ReaderId = ReaderId(1);

    fn output(bytes: usize) -> Event {
        Event::Output(Output { stream: "stdout", content: Bytes::from(vec![b'x'; bytes]) })
    }

    fn outcome() -> Event {
        Event::Outcome(json!({ "kind": "expired" }))
    }

    fn log(events: impl IntoIterator<Item = Event>) -> CommandLog {
        let mut log = CommandLog::new();
        for event in events {
            push(&mut log, event);
        }
        log
    }

    /// Appends an event; output is numbered on.
    fn push(log: &mut CommandLog, event: Event) {
        let last = log.kept.iter().filter_map(|kept| kept.update).next_back();
        let number = last.map_or(log.updates_lost, |update| update.number) + 1;
        let update = matches!(event, Event::Output(_)).then_some(UpdateMark { number, bytes: 1 });
        log.push(0, event, update);
    }

    /// What a reader gets: the number of each update, or the ends of a gap between them.
    fn updates(read: Read) -> Vec<(u64, u64)> {
        let Read::Lines(lines) = read else { panic!("no lines: {read:?}") };
        let lines = serde_json::Deserializer::from_slice(&lines).into_iter::<Value>();
        let number = |line: Value| match line["update"].as_u64() {
            Some(number) => Some((number, number)),
            None => Some((line["update_from"].as_u64()?, line["update_to"].as_u64()?)),
        };
        lines.filter_map(|line| number(line.expect("JSON"))).collect()
    }

    /// What a reader gets: the number of each event, or the ends of a gap.
    fn numbers(read: Read) -> Vec<(u64, u64)> {
        let Read::Lines(lines) = read else { panic!("no lines: {read:?}") };
        let number = |line: Value| match line["n"].as_u64() {
            Some(n) => (n, n),
            None => (line["from"].as_u64().expect("a gap"), line["to"].as_u64().expect("a gap")),
        };
        let lines = serde_json::Deserializer::from_slice(&lines).into_iter::<Value>();
        lines.map(|line| number(line.expect("JSON"))).collect()
    }

    #[test]
    fn several_readers_get_everything_from_where_they_begin() {
        let mut log = log([Event::Step(Step::Stored), output(1), output(2)]);
        log.attach(READER, ReadFrom::Event(1), Patience::Bounded);
        log.attach(ReaderId(2), ReadFrom::Event(3), Patience::Bounded);
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(numbers(log.read(ReaderId(2), 1 << 20)), [(3, 3)]);
        assert_eq!(log.read(READER, 1 << 20), Read::Pending);
        push(&mut log, outcome());
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(4, 4)]);
        assert_eq!(log.read(READER, 1 << 20), Read::End);
        assert_eq!(numbers(log.read(ReaderId(2), 1 << 20)), [(4, 4)]);
    }

    #[test]
    fn a_read_is_bounded_and_goes_on_where_it_stopped() {
        let mut log = log([output(100), output(100), output(100)]);
        log.attach(READER, ReadFrom::Event(1), Patience::Bounded);
        assert_eq!(numbers(log.read(READER, 10)), [(1, 1)]);
        assert_eq!(numbers(log.read(READER, 200)), [(2, 2), (3, 3)]);
    }

    #[test]
    fn what_is_no_longer_kept_is_said_as_a_gap() {
        let mut log = log([Event::Step(Step::Stored), output(1), output(1), Event::Step(Step::Started)]);
        while log.forget_oldest().is_some() {}
        log.attach(READER, ReadFrom::Event(2), Patience::Bounded);
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(2, 3), (4, 4)]);
    }

    #[test]
    fn a_reader_ahead_of_the_log_waits_until_it_gets_there() {
        let mut log = log([Event::Step(Step::Stored)]);
        log.attach(READER, ReadFrom::Event(3), Patience::Bounded);
        assert_eq!(log.read(READER, 1 << 20), Read::Pending);
        push(&mut log, output(1));
        assert_eq!(log.read(READER, 1 << 20), Read::Pending);
        push(&mut log, output(1));
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(3, 3)]);
    }

    #[test]
    fn beyond_the_outcome_there_is_nothing_to_wait_for() {
        let mut log = log([Event::Step(Step::Stored), outcome()]);
        log.attach(READER, ReadFrom::Event(9), Patience::Bounded);
        assert_eq!(log.read(READER, 1 << 20), Read::End);
    }

    #[test]
    fn only_a_reader_that_is_behind_holds_the_log_back() {
        let mut log = log([output(1000), output(1000)]);
        assert!(log.has_room(1000, 2000), "nobody reads");
        log.attach(READER, ReadFrom::Event(1), Patience::Bounded);
        assert!(!log.has_room(1000, 2000), "it has read nothing");
        log.read(READER, 10);
        assert!(!log.has_room(1000, 2000), "the second event and this one are too much");
        log.read(READER, 10);
        assert!(log.has_room(1000, 2000), "it has read everything");
        assert!(log.has_room(9000, 2000), "an event that is too large goes through when all else is read");
    }

    #[test]
    fn a_reader_that_was_given_up_on_counts_again_once_it_has_caught_up() {
        let mut log = log([output(1000), output(1000)]);
        log.attach(READER, ReadFrom::Event(1), Patience::Bounded);
        log.give_up_on_slow_readers();
        assert!(log.has_room(1000, 2000));
        log.read(READER, 1 << 20);
        push(&mut log, output(1000));
        push(&mut log, output(1000));
        assert!(!log.has_room(1000, 2000));
    }

    #[test]
    fn a_reader_that_is_waited_for_without_end_is_never_given_up_on() {
        let mut log = log([output(1000), output(1000)]);
        log.attach(READER, ReadFrom::Event(1), Patience::Endless);
        log.attach(ReaderId(2), ReadFrom::Event(1), Patience::Bounded);
        log.give_up_on_slow_readers();
        assert!(!log.has_room(1000, 2000));
        let all = log.held_bytes();
        log.read(READER, 10);
        assert_eq!(log.held_bytes(), all / 2);
        log.read(READER, 1 << 20);
        assert_eq!(log.held_bytes(), 0);
        assert!(log.has_room(9000, 2000), "the other is not waited for any more");
        push(&mut log, output(1000));
        assert!(!log.has_room(9000, 2000));
        log.detach(READER);
        assert!(log.has_room(9000, 2000));
        assert_eq!(log.held_bytes(), 0);
    }

    #[test]
    fn a_reader_that_is_expected_is_waited_for_until_one_comes() {
        let mut log = log([output(1000), output(1000)]);
        log.expect_reader();
        assert!(log.is_read());
        assert!(!log.has_room(1000, 2000), "who will come is to get all of it");
        log.attach(READER, ReadFrom::Event(1), Patience::Bounded);
        log.read(READER, 1 << 20);
        assert!(log.has_room(1000, 2000), "who has come has it");
        log.expect_reader();
        log.give_up_on_slow_readers();
        assert!(log.has_room(1000, 2000), "nobody came");
        log.forget_expected();
        log.detach(READER);
        assert!(!log.is_read());
    }

    #[test]
    fn who_goes_by_updates_gets_none_twice_and_hears_what_is_missing() {
        let mut log = log([Event::Step(Step::Stored), output(1), output(1), output(1)]);
        log.attach(READER, ReadFrom::AfterUpdate(2), Patience::Bounded);
        assert_eq!(updates(log.read(READER, 1 << 20)), [(3, 3)]);
        push(&mut log, output(1));
        assert_eq!(updates(log.read(READER, 1 << 20)), [(4, 4)]);
        log.forget_oldest();
        log.forget_oldest();
        log.forget_oldest();
        log.attach(ReaderId(2), ReadFrom::AfterUpdate(1), Patience::Bounded);
        assert_eq!(updates(log.read(ReaderId(2), 1 << 20)), [(2, 2), (3, 3), (4, 4)]);
        log.attach(ReaderId(3), ReadFrom::AfterUpdate(2), Patience::Bounded);
        assert_eq!(updates(log.read(ReaderId(3), 1 << 20)), [(3, 3), (4, 4)], "what is lost it has");
        log.attach(ReaderId(4), ReadFrom::AfterUpdate(9), Patience::Bounded);
        assert_eq!(log.read(ReaderId(4), 1 << 20), Read::Pending, "it has everything");
    }

    #[test]
    fn a_log_that_begins_late_says_which_updates_are_missing() {
        let mut log = log([Event::Step(Step::Stored)]);
        log.push(0, output(1), Some(UpdateMark { number: 8, bytes: 1 }));
        log.attach(READER, ReadFrom::Event(1), Patience::Bounded);
        assert_eq!(updates(log.read(READER, 1 << 20)), [(1, 7), (8, 8)]);
        log.attach(ReaderId(2), ReadFrom::Event(2), Patience::Bounded);
        assert_eq!(updates(log.read(ReaderId(2), 1 << 20)), [(8, 8)]);
    }
}
