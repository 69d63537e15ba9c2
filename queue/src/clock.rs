//! Time that outlives a process: what is stored of a deadline, and what is left of it later.
//!
//! Deadlines count on a clock that includes suspension and ignores steps of the wall clock. That clock begins anew when
//! the machine starts, so a reading names the start of the machine that it belongs to; across one, only the wall clock is
//! left.

use std::time::Duration;

use crate::store::StoredDeadline;

/// What a machine's clocks show at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReading {
    /// Which start of the machine this is: a random number; 0 where it is not known.
    pub machine: u128,
    /// Time since that start, suspension included.
    pub uptime: Duration,
    /// Time since 1970 by the wall clock.
    pub wall: Duration,
}

impl ClockReading {
    /// Returns the time from an earlier reading to this one; zero where the clocks went backwards.
    pub fn since(&self, earlier: &Self) -> Duration {
        if self.machine == earlier.machine && self.machine != 0 {
            self.uptime.saturating_sub(earlier.uptime)
        } else {
            self.wall.saturating_sub(earlier.wall)
        }
    }
}

impl StoredDeadline {
    /// Returns what is left of it.
    pub fn remaining_at(&self, now: &ClockReading) -> Duration {
        self.remaining.saturating_sub(now.since(&self.read_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(machine: u128, uptime: u64, wall: u64) -> ClockReading {
        ClockReading { machine, uptime: Duration::from_secs(uptime), wall: Duration::from_secs(wall) }
    }

    fn left(now: ClockReading) -> u64 {
        let deadline = StoredDeadline { remaining: Duration::from_secs(60), read_at: reading(1, 100, 5000) };
        deadline.remaining_at(&now).as_secs()
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing_while_the_machine_runs() {
        assert_eq!(left(reading(1, 110, 9000)), 50);
        assert_eq!(left(reading(1, 110, 0)), 50);
        assert_eq!(left(reading(1, 500, 5000)), 0);
    }

    #[test]
    fn across_a_start_of_the_machine_the_wall_clock_counts() {
        assert_eq!(left(reading(2, 5, 5020)), 40);
        assert_eq!(left(reading(2, 5, 4000)), 60, "a clock that went back gives no time");
        assert_eq!(left(reading(0, 110, 5020)), 40, "and so it does where the start is not known");
    }
}
