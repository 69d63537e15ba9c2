//! The number that decides every fault of a test, said when the test fails.

use std::io::Write;

/// A seed. `RUNNEL_SEED` in the environment replaces it, so that a failure can be tried again or others looked for.
#[derive(Debug)]
pub struct Seed {
    number: u64,
}

impl Seed {
    /// Takes the seed from the environment, or else this one.
    ///
    /// # Panics
    ///
    /// When `RUNNEL_SEED` is set and is no number.
    pub fn or(default: u64) -> Self {
        let number = std::env::var("RUNNEL_SEED")
            .map_or(default, |text| text.parse().expect("RUNNEL_SEED is a number from 0 to 2^64-1"));
        Self { number }
    }

    /// Returns the number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic has been told already; without this line it can still be tried again.
            writeln!(std::io::stderr().lock(), "failed with RUNNEL_SEED={}", self.number).ok();
        }
    }
}
