//! Where the records of one command go while its caller's node does not take them: into a file that is used as a ring.
//!
//! Pure: it says which bytes of the file are written and read next, and whoever does that reports back. A record is at
//! one place at a time, in the file or on its way out of it, and leaves in the order in which it came.

/// The file of one command: what is in it, and what is on its way.
#[derive(Debug)]
pub(super) struct SpillLog {
    /// Length of the ring, in bytes.
    bytes_max: u64,
    /// Where the oldest frame begins and the newest ends, in bytes since the file was last empty.
    begin: u64,
    end: u64,
    /// Frames that are in the file.
    records: u64,
    /// Records that were read and are not with the engine yet.
    leaving: u64,
    step: Step,
    /// The disk has failed: nothing more is written.
    has_failed: bool,
    /// No more records come.
    is_over: bool,
}

/// What is being done to the file, apart from reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    None,
    /// A frame is written behind the newest.
    Writing,
    /// It is empty and gives its room back.
    Clearing,
}

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the engine: nothing goes before it.
    Direct,
    /// Into the file, which needs `growth` bytes more of the disk for it.
    Spill { span: Span, growth: u64 },
    /// Nowhere until something leaves the file.
    Wait,
    /// Nowhere any more.
    Over,
}

/// A piece of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Offset in the file.
    pub(super) at: u64,
    /// Its bytes; behind the ring's end it goes on at its beginning.
    pub(super) bytes: u64,
}

impl SpillLog {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            begin: 0,
            end: 0,
            records: 0,
            leaving: 0,
            step: Step::None,
            has_failed: false,
            is_over: false,
        }
    }

    /// Returns where a record goes that takes so many bytes in the file. `has_room`: it may be held in memory.
    pub(super) fn way(&self, bytes: u64, has_room: bool) -> Way {
        let fits = !self.has_failed && self.end - self.begin + bytes <= self.bytes_max;
        if self.is_over {
            Way::Over
        } else if self.is_empty() && (has_room || !fits) {
            Way::Direct
        } else if fits && self.step == Step::None {
            let growth = (self.end + bytes).min(self.bytes_max) - self.extent();
            Way::Spill { span: Span { at: self.end % self.bytes_max, bytes }, growth }
        } else {
            Way::Wait
        }
    }

    /// The record is about to be written.
    pub(super) fn begin_write(&mut self) {
        self.step = Step::Writing;
    }

    /// It is written. It takes its turn even if nobody waits for that any more.
    pub(super) fn end_write(&mut self, bytes: u64) {
        self.step = Step::None;
        self.end += bytes;
        self.records += 1;
    }

    /// It could not be written, and is not in the file. Nor is any other from now on.
    pub(super) fn fail_write(&mut self) {
        self.step = Step::None;
        self.has_failed = true;
    }

    /// Returns what is read next: at most so many bytes, which may cut the last frame.
    pub(super) fn readable(&self, bytes_max: u64) -> Option<Span> {
        let bytes = (self.end - self.begin).min(bytes_max);
        (bytes > 0).then(|| Span { at: self.begin % self.bytes_max, bytes })
    }

    /// Whole frames were read, and leave. Returns whether the file is empty now: it is to be cleared then.
    pub(super) fn read(&mut self, bytes: u64, records: u64) -> bool {
        self.begin += bytes;
        self.records -= records;
        self.leaving += records;
        let is_empty = self.begin == self.end && self.step == Step::None;
        if is_empty {
            self.step = Step::Clearing;
        }
        is_empty
    }

    /// The empty file was cleared. Returns how many bytes of the disk are free by that.
    pub(super) fn end_clear(&mut self) -> u64 {
        let freed = self.extent();
        (self.begin, self.end, self.step) = (0, 0, Step::None);
        freed
    }

    /// A record is with the engine.
    pub(super) fn left(&mut self) {
        self.leaving -= 1;
    }

    /// Nothing is taken any more.
    pub(super) fn close(&mut self) {
        self.is_over = true;
    }

    /// Takes nothing more if everything has left. Returns whether that is so.
    pub(super) fn close_if_empty(&mut self) -> bool {
        self.is_over |= self.is_empty();
        self.is_over
    }

    /// Returns how many bytes of the disk the file takes.
    pub(super) fn extent(&self) -> u64 {
        self.end.min(self.bytes_max)
    }

    /// Returns whether a record that comes now has none before it.
    fn is_empty(&self) -> bool {
        self.records + self.leaving == 0 && self.step != Step::Writing
    }
}

impl Span {
    /// Returns it as two pieces that lie in the file as they are, the second perhaps empty.
    pub(super) fn pieces(self, ring_bytes: u64) -> [Span; 2] {
        let first = self.bytes.min(ring_bytes - self.at);
        [Span { at: self.at, bytes: first }, Span { at: 0, bytes: self.bytes - first }]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn spill(log: &mut SpillLog, bytes: u64) -> (u64, u64) {
        let Way::Spill { span, growth } = log.way(bytes, false) else { panic!("{log:?}") };
        log.begin_write();
        log.end_write(bytes);
        (span.at, growth)
    }

    #[test]
    fn a_record_goes_behind_what_was_spilled_before_it_even_if_memory_has_room_again() {
        let mut log = SpillLog::new(100);
        assert_eq!(log.way(10, true), Way::Direct);
        assert_eq!(spill(&mut log, 10), (0, 10));
        assert!(matches!(log.way(10, true), Way::Spill { .. }));
        log.begin_write();
        assert_eq!(log.way(10, true), Way::Wait, "one is written at a time");
        log.end_write(10);
        assert!(log.read(20, 2), "the file is empty");
        assert_eq!(log.way(10, true), Way::Wait, "they are on their way");
        assert_eq!(log.end_clear(), 20);
        log.left();
        assert!(matches!(log.way(10, true), Way::Spill { .. }), "one is still before it");
        log.left();
        assert_eq!(log.way(10, true), Way::Direct);
    }

    #[test]
    fn a_full_file_presses_back_and_is_used_again_from_its_beginning() {
        let mut log = SpillLog::new(100);
        assert_eq!(spill(&mut log, 60), (0, 60));
        assert_eq!(log.way(60, false), Way::Wait);
        assert!(!log.read(60, 1) || log.end_clear() == 60);
        log.left();
        assert_eq!(spill(&mut log, 60), (0, 60));
        assert_eq!(spill(&mut log, 30), (60, 30));
        assert!(!log.read(60, 1));
        assert_eq!(spill(&mut log, 50), (90, 10), "what lies behind the end is there already");
        assert_eq!(Span { at: 90, bytes: 50 }.pieces(100), [(90, 10), (0, 40)].map(span));
        assert_eq!(log.readable(1000), Some(Span { at: 60, bytes: 80 }));
        assert_eq!(log.extent(), 100);
    }

    #[test]
    fn after_a_failed_write_everything_waits_for_memory() {
        let mut log = SpillLog::new(100);
        spill(&mut log, 10);
        log.begin_write();
        log.fail_write();
        assert_eq!(log.way(10, true), Way::Wait, "the first is still before it");
        log.read(10, 1);
        log.end_clear();
        log.left();
        assert_eq!(log.way(10, false), Way::Direct);
    }

    #[test]
    fn a_record_longer_than_the_file_goes_without_it() {
        let log = SpillLog::new(100);
        assert_eq!(log.way(101, false), Way::Direct);
    }

    #[test]
    fn it_is_over_once_everything_has_left() {
        let mut log = SpillLog::new(100);
        spill(&mut log, 10);
        assert!(!log.close_if_empty());
        log.read(10, 1);
        log.end_clear();
        assert!(!log.close_if_empty());
        log.left();
        assert!(log.close_if_empty());
        assert_eq!(log.way(1, true), Way::Over);
    }

    /// Whatever comes and goes in which order: every record leaves once and in order, and none lies over another.
    #[test]
    fn records_of_any_length_leave_in_order() {
        let (mut log, mut file, mut held) = (SpillLog::new(97), vec![0_u8; 97], VecDeque::new());
        let (mut came, mut went) = (0_u8, 0_u8);
        let mut was_full = 0;
        for turn in 0..10_000_u64 {
            let bytes = 1 + turn * 7 % 31;
            if turn % 3 < 2 {
                if let Way::Spill { span, .. } = log.way(bytes, false) {
                    log.begin_write();
                    for piece in span.pieces(97) {
                        file[range(piece)].fill(came);
                    }
                    log.end_write(bytes);
                    held.push_back(bytes);
                    came = came.wrapping_add(1);
                } else {
                    was_full += 1;
                }
            } else if let (Some(bytes), Some(span)) = (held.pop_front(), log.readable(u64::MAX)) {
                for piece in (Span { bytes, ..span }).pieces(97) {
                    assert!(file[range(piece)].iter().all(|byte| *byte == went), "turn {turn}");
                }
                if log.read(bytes, 1) {
                    log.end_clear();
                }
                log.left();
                went = went.wrapping_add(1);
            }
        }
        assert!(was_full > 1000, "it was full {was_full} times");
    }

    fn span((at, bytes): (u64, u64)) -> Span {
        Span { at, bytes }
    }

    fn range(span: Span) -> std::ops::Range<usize> {
        let at = usize::try_from(span.at).unwrap();
        at..at + usize::try_from(span.bytes).unwrap()
    }
}
