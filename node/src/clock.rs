//! The machine's clocks, as they are stored with deadlines.

use std::time::{Duration, SystemTime};

use runnel_queue::ClockReading;

/// Reads all clocks. The wall clock's time comes from whoever knows it.
pub(crate) fn read(wall: SystemTime) -> ClockReading {
    let wall = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    ClockReading { machine: machine_start(), uptime: uptime(), wall }
}

/// Returns a random number that the system draws at each start; 0 where it does not say one.
#[cfg(target_os = "linux")]
fn machine_start() -> u128 {
    use std::sync::OnceLock;

    static START: OnceLock<u128> = OnceLock::new();
    *START.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        u128::from_str_radix(&id.trim().replace('-', ""), 16).unwrap_or(0)
    })
}

#[cfg(not(target_os = "linux"))]
fn machine_start() -> u128 {
    0
}

/// Returns the time since the machine's start, suspension included.
#[cfg(target_os = "linux")]
fn uptime() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn uptime() -> Duration {
    Duration::ZERO
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn two_readings_of_one_machine_are_told_apart_by_its_own_clock() {
        let (first, second) = (read(SystemTime::UNIX_EPOCH), read(SystemTime::UNIX_EPOCH));
        assert!(first.machine != 0 && first.machine == second.machine);
        assert!(first.uptime > Duration::ZERO && second.uptime >= first.uptime);
    }
}
