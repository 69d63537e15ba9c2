//! `runnel abandon`: gives a command up.

use clap::Args;

use super::exit::{Exit, Failure};
use super::ids;
use super::session::{Session, SessionArgs};

/// Arguments of `runnel abandon`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AbandonArgs {
    /// The commands: each an id, a number, NODE.NUMBER or a beginning of an id that no other has.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    session: SessionArgs,
}

impl AbandonArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        for text in &self.ids {
            let id = ids::resolve(&session.client, text).await?;
            session.client.tell(&format!("/v1/commands/{id}/abandon")).await?;
        }
        Ok(Exit::Success)
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel abandon w1.42

For a node that will not come back. Unlike `runnel cancel` this waits for nobody: the outcome is
`unknown` at once if the command may have left this machine. What runs goes on running.";
