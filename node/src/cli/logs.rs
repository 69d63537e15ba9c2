//! `runnel logs`: a command's output, without touching the command.

use clap::Args;

use super::exit::{Exit, Failure};
use super::ids;
use super::outcome::ExitFrom;
use super::patience::Patience;
use super::session::{Session, SessionArgs};
use super::signals::Signals;
use super::watch::{OnInterrupt, OnOverdue, Watch};
use runnel_client::{Presence, Until};

/// Arguments of `runnel logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogsArgs {
    /// The command: its id, its number, NODE.NUMBER or a beginning of its id that no other has.
    #[arg(value_name = "ID")]
    id: String,
    /// Go on until the command has ended.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    session: SessionArgs,
}

impl LogsArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut signals = Signals::catch().map_err(anyhow::Error::from)?;
        let id = signals.unless_caught(ids::resolve(&session.client, &self.id)).await?;
        let watch = Watch {
            session,
            id: &id,
            until: if self.follow { Until::Outcome } else { Until::Now },
            patience: self.patience,
            presence: Presence::Unknown,
            on_interrupt: OnInterrupt::Leave,
            on_overdue: OnOverdue::Wait,
            exit_from: ExitFrom::Table,
            found: None,
        };
        // The output was shown: that is success, whatever became of the command.
        watch.run(&mut signals).await.map(|exit| match exit {
            Exit::Interrupted | Exit::HungUp | Exit::Terminated => exit,
            _ => Exit::Success,
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel logs w1.42
  runnel logs -f w1.42 2>/dev/null | grep -m1 listening
  runnel logs w1.42 --json

Ctrl-C ends the showing, never the command. The exit code is 0 if the output could be shown;
for that of the command use `runnel attach`. The node keeps a bounded log of each command.";
