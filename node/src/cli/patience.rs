//! How long to wait for the local node if it goes away.

use std::time::Duration;

use clap::Args;

/// How long to wait for a node that went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub(super) struct Patience {
    /// How long to wait for the local node if it goes away: a command that it has stored goes on when it is back.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) reconnect: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { reconnect: Duration::from_secs(60) }
    }
}
