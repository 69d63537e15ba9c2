//! The log of one command: what happened to it, numbered, as far back as it is kept, and who reads it.
//!
//! Pure. Who reads slowly holds the log back; who is given up on is told of a gap.

use std::collections::{BTreeMap, VecDeque};

use super::event::{Event, write_gap};

/// What happened to one command.
#[derive(Debug)]
pub(super) struct CommandLog {
    kept: VecDeque<Kept>,
    /// Number of the first event that is kept; events are numbered from 1.
    first: u64,
    /// Bytes of all events so far, kept or not.
    pushed_bytes: u64,
    readers: BTreeMap<ReaderId, Reader>,
}

/// One that reads a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReaderId(pub(super) u64);

#[derive(Debug)]
struct Reader {
    /// Number of the event that it gets next.
    next: u64,
    /// It was waited for in vain, so it holds nothing back until it has caught up.
    is_given_up: bool,
}

#[derive(Debug)]
struct Kept {
    at_ms: u64,
    event: Event,
    /// Bytes of all events before it.
    offset: u64,
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
        Self { kept: VecDeque::new(), first: 1, pushed_bytes: 0, readers: BTreeMap::new() }
    }

    /// Appends an event.
    pub(super) fn push(&mut self, at_ms: u64, event: Event) {
        let offset = self.pushed_bytes;
        self.pushed_bytes += event.bytes() as u64;
        self.kept.push_back(Kept { at_ms, event, offset });
    }

    /// Lets go of the oldest event, but never of the newest. Returns the bytes that became free, if any.
    pub(super) fn forget_oldest(&mut self) -> Option<usize> {
        if self.kept.len() < 2 {
            return None;
        }
        let bytes = self.kept.pop_front()?.event.bytes();
        self.first += 1;
        Some(bytes)
    }

    /// Begins to read from event `from` on.
    pub(super) fn attach(&mut self, reader: ReaderId, from: u64) {
        self.readers.insert(reader, Reader { next: from.max(1), is_given_up: false });
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
            write_gap(reader.next, self.first - 1, &mut lines);
            reader.next = self.first;
        }
        let skipped = usize::try_from(reader.next - self.first).unwrap_or(usize::MAX);
        for kept in self.kept.iter().skip(skipped) {
            if lines.len() >= bytes_max {
                return Read::Lines(lines);
            }
            kept.event.write_line(reader.next, kept.at_ms, &mut lines);
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
        let Some(slowest) =
            self.readers.values().filter(|reader| !reader.is_given_up).map(|reader| reader.next).min()
        else {
            return true;
        };
        let unread = self.pushed_bytes - self.offset(slowest);
        unread == 0 || unread + bytes as u64 <= bytes_max as u64
    }

    /// Waits no longer for those who have not read everything.
    pub(super) fn give_up_on_slow_readers(&mut self) {
        let end = self.end();
        for reader in self.readers.values_mut().filter(|reader| reader.next < end) {
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
            log.push(0, event);
        }
        log
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
        log.attach(READER, 1);
        log.attach(ReaderId(2), 3);
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(numbers(log.read(ReaderId(2), 1 << 20)), [(3, 3)]);
        assert_eq!(log.read(READER, 1 << 20), Read::Pending);
        log.push(0, outcome());
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(4, 4)]);
        assert_eq!(log.read(READER, 1 << 20), Read::End);
        assert_eq!(numbers(log.read(ReaderId(2), 1 << 20)), [(4, 4)]);
    }

    #[test]
    fn a_read_is_bounded_and_goes_on_where_it_stopped() {
        let mut log = log([output(100), output(100), output(100)]);
        log.attach(READER, 1);
        assert_eq!(numbers(log.read(READER, 10)), [(1, 1)]);
        assert_eq!(numbers(log.read(READER, 200)), [(2, 2), (3, 3)]);
    }

    #[test]
    fn what_is_no_longer_kept_is_said_as_a_gap() {
        let mut log = log([Event::Step(Step::Stored), output(1), output(1), Event::Step(Step::Started)]);
        while log.forget_oldest().is_some() {}
        log.attach(READER, 2);
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(2, 3), (4, 4)]);
    }

    #[test]
    fn a_reader_ahead_of_the_log_waits_until_it_gets_there() {
        let mut log = log([Event::Step(Step::Stored)]);
        log.attach(READER, 3);
        assert_eq!(log.read(READER, 1 << 20), Read::Pending);
        log.push(0, output(1));
        assert_eq!(log.read(READER, 1 << 20), Read::Pending);
        log.push(0, output(1));
        assert_eq!(numbers(log.read(READER, 1 << 20)), [(3, 3)]);
    }

    #[test]
    fn beyond_the_outcome_there_is_nothing_to_wait_for() {
        let mut log = log([Event::Step(Step::Stored), outcome()]);
        log.attach(READER, 9);
        assert_eq!(log.read(READER, 1 << 20), Read::End);
    }

    #[test]
    fn only_a_reader_that_is_behind_holds_the_log_back() {
        let mut log = log([output(1000), output(1000)]);
        assert!(log.has_room(1000, 2000), "nobody reads");
        log.attach(READER, 1);
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
        log.attach(READER, 1);
        log.give_up_on_slow_readers();
        assert!(log.has_room(1000, 2000));
        log.read(READER, 1 << 20);
        log.push(0, output(1000));
        log.push(0, output(1000));
        assert!(!log.has_room(1000, 2000));
    }
}
