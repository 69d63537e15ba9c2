//! `runnel attach`: comes back to a command, as if it had been run here all the time.

use clap::Args;

use super::exit::{Exit, Failure};
use super::ids;
use super::outcome::ExitFrom;
use super::patience::Patience;
use super::session::{Session, SessionArgs};
use super::signals::Signals;
use super::watch::{OnInterrupt, OnOverdue, Watch};
use runnel_client::{Presence, Until};

/// Arguments of `runnel attach`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AttachArgs {
    /// The command: its id, its number, NODE.NUMBER or a beginning of its id that no other has.
    #[arg(value_name = "ID")]
    id: String,
    /// Exit with the program's own code (128 + the signal that ended it) if it ran to its end.
    #[arg(long)]
    propagate_exit: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    session: SessionArgs,
}

impl AttachArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut signals = Signals::catch().map_err(anyhow::Error::from)?;
        let id = signals.unless_caught(ids::resolve(&session.client, &self.id)).await?;
        let watch = Watch {
            session,
            id: &id,
            until: Until::Outcome,
            patience: self.patience,
            presence: Presence::Unknown,
            on_interrupt: OnInterrupt::Cancel,
            on_overdue: OnOverdue::Wait,
            exit_from: if self.propagate_exit { ExitFrom::Program } else { ExitFrom::Table },
            found: None,
        };
        watch.run(&mut signals).await
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel attach ctl.w1.9f86d081884c7d65.42
  runnel attach w1.42 --propagate-exit

The output that is kept comes first, then what is written from now on. As with `runnel run`,
Ctrl-C cancels the program, and a closed terminal leaves it alone. To look without touching:
runnel logs -f ID. Attaching to a command that has ended shows its output and its outcome.";
