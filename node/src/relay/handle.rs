//! Changing a relay while it runs, and watching it.
//!
//! A handle and its relay share two cells: what is wished, written by the handles, and what has been done,
//! written by the relay. Neither can fill up, and neither side waits for the other.

use tokio::sync::watch;

use super::config::{PathConfig, PathConfigError};
use super::counts::{Direction, RelayCounts};

/// Commands and watches a [`Relay`](super::Relay). All clones speak to the same one.
///
/// A wish is obeyed before the next packet is read; after the relay has ended, wishes have no effect.
#[derive(Clone, Debug)]
pub struct RelayHandle {
    wishes: watch::Sender<Wishes>,
    counts: watch::Receiver<RelayCounts>,
}

/// The relay has ended, and what was waited for had not happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay has ended")]
pub struct RelayEnded;

/// Everything that the handles want of the relay.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wishes {
    /// How many rebinds have been asked for.
    pub(super) rebinds: u64,
    pub(super) is_dark: bool,
    pub(super) up: PathConfig,
    pub(super) down: PathConfig,
}

impl RelayHandle {
    pub(super) fn new(wishes: watch::Sender<Wishes>, counts: watch::Receiver<RelayCounts>) -> Self {
        Self { wishes, counts }
    }

    /// Gives every client a new source port.
    pub fn rebind(&self) {
        self.wishes.send_modify(|wishes| wishes.rebinds += 1);
    }

    /// Begins or ends a blackout, beside the scheduled ones. One that is ended at once may never have begun.
    pub fn set_blackout(&self, is_dark: bool) {
        self.wishes.send_modify(|wishes| wishes.is_dark = is_dark);
    }

    /// Changes the faults of both directions; packets on the way keep their arrival.
    ///
    /// # Errors
    ///
    /// The settings describe no possible path; the old ones stay.
    pub fn set_path(&self, config: PathConfig) -> Result<(), PathConfigError> {
        config.check()?;
        self.wishes.send_modify(|wishes| {
            wishes.up = config.clone();
            wishes.down = config;
        });
        Ok(())
    }

    /// Changes the faults of one direction; packets on the way keep their arrival.
    ///
    /// # Errors
    ///
    /// The settings describe no possible path; the old ones stay.
    pub fn set_direction(&self, direction: Direction, config: PathConfig) -> Result<(), PathConfigError> {
        config.check()?;
        self.wishes.send_modify(|wishes| match direction {
            Direction::Up => wishes.up = config,
            Direction::Down => wishes.down = config,
        });
        Ok(())
    }

    /// Returns what the relay has done so far.
    pub fn counts(&self) -> RelayCounts {
        *self.counts.borrow()
    }

    /// Waits until the counts meet a condition, and returns those that do.
    ///
    /// # Errors
    ///
    /// The relay ended before.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn wait_until(
        &self,
        condition: impl FnMut(&RelayCounts) -> bool,
    ) -> Result<RelayCounts, RelayEnded> {
        let mut counts = self.counts.clone();
        counts.wait_for(condition).await.map(|counts| *counts).map_err(|_| RelayEnded)
    }
}
