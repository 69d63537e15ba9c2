//! Times, sizes and rates in few characters.

/// Writes milliseconds with the two largest units that say something, such as `1h 4m`.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{}s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Writes a share between 0 and 1 in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (ms, expected) in [
            (0, "0.0s"),
            (940, "0.9s"),
            (9_999, "9.9s"),
            (59_999, "59s"),
            (61_000, "1m 1s"),
            (3_840_000, "1h 4m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn shares_are_shown_in_percent() {
        assert_eq!((percent(0.0112).as_str(), percent(1.0).as_str()), ("1.1%", "100.0%"));
    }
}
