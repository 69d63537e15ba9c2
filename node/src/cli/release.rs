//! `runnel release`: lets a command that is held back go again.

use clap::Args;

use super::exit::{Exit, Failure};
use super::ids;
use super::session::{Session, SessionArgs};

/// Arguments of `runnel release`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReleaseArgs {
    /// The commands: each an id, a number, NODE.NUMBER or a beginning of an id that no other has.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    session: SessionArgs,
}

impl ReleaseArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        for text in &self.ids {
            let id = ids::resolve(&session.client, text).await?;
            session.client.tell(&format!("/v1/commands/{id}/release")).await?;
        }
        Ok(Exit::Success)
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel release w1.42

A command after which link upon link has died is held back, so that it does not take every link
with it; `runnel why` says `held`. Once the cause is mended this sends it again.";
