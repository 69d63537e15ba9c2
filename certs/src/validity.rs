//! From when until when a certificate counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::ValidityError;

/// Proposed lifetime of a fleet's authority: ten years.
///
/// Shorter, the fleet must distribute new roots more often; longer, a stolen key serves its thief longer.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * DAY);

/// Proposed lifetime of a node's certificate: one year.
///
/// Shorter, a node that is out of reach for long comes back with an expired certificate; longer, a node that
/// was removed from the fleet is believed longer by those that have not heard of it.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(365 * DAY);

/// How long before the moment of issuing a certificate counts already, since clocks of other nodes may be
/// late.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// From when until when a certificate counts, in whole seconds; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Validity {
    /// Makes the validity of a certificate that is issued at `now`: it begins [`CLOCK_SKEW`] before and ends
    /// `lifetime` after.
    ///
    /// # Errors
    /// See [`Validity::between`].
    pub fn starting(now: SystemTime, lifetime: Duration) -> Result<Self, ValidityError> {
        let not_before = now.checked_sub(CLOCK_SKEW).ok_or(ValidityError::OutOfRange)?;
        let not_after = now.checked_add(lifetime).ok_or(ValidityError::OutOfRange)?;
        Self::between(not_before, not_after)
    }

    /// Makes a validity of its two ends, each cut to whole seconds.
    ///
    /// # Errors
    /// The end does not come after the beginning, or one of them is before 1970 or after 9999.
    pub fn between(not_before: SystemTime, not_after: SystemTime) -> Result<Self, ValidityError> {
        let (not_before, not_after) = (whole_seconds(not_before)?, whole_seconds(not_after)?);
        if not_before >= not_after {
            return Err(ValidityError::Empty);
        }
        Ok(Self { not_before, not_after })
    }

    /// Returns the first second in which the certificate counts.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Returns the last second in which the certificate counts.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

fn whole_seconds(time: SystemTime) -> Result<SystemTime, ValidityError> {
    let since_epoch = time.duration_since(UNIX_EPOCH).map_err(|_| ValidityError::OutOfRange)?;
    if since_epoch.as_secs() > LAST_SECOND {
        return Err(ValidityError::OutOfRange);
    }
    Ok(UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs()))
}

const DAY: u64 = 24 * 60 * 60;

/// 9999-12-31 23:59:59 UTC: X.509 cannot name a later second.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_certificate_counts_from_an_hour_before_it_is_issued() {
        let validity = Validity::starting(at(1_000_000), Duration::from_secs(60)).unwrap();
        assert_eq!(validity.not_before(), at(1_000_000 - 3600));
        assert_eq!(validity.not_after(), at(1_000_060));
    }

    #[test]
    fn fractions_of_a_second_are_cut() {
        let late = Duration::from_millis(999);
        let validity = Validity::between(at(5) + late, at(7) + late).unwrap();
        assert_eq!(validity, Validity::between(at(5), at(7)).unwrap());
    }

    #[test]
    fn an_end_that_is_not_after_the_beginning_is_refused() {
        assert_eq!(Validity::between(at(5), at(5)), Err(ValidityError::Empty));
        assert_eq!(Validity::between(at(6), at(5)), Err(ValidityError::Empty));
    }

    #[test]
    fn times_that_x509_cannot_name_are_refused() {
        assert_eq!(Validity::starting(at(60), Duration::from_secs(60)), Err(ValidityError::OutOfRange));
        assert_eq!(Validity::between(at(0), at(LAST_SECOND + 1)), Err(ValidityError::OutOfRange));
        assert_eq!(Validity::starting(at(10_000), Duration::MAX), Err(ValidityError::OutOfRange));
        assert!(Validity::between(at(0), at(LAST_SECOND)).is_ok());
    }
}
