//! `runnel cancel`: asks for a command to be cancelled.

use clap::Args;

use super::exit::{Exit, Failure};
use super::ids;
use super::session::{Session, SessionArgs};

/// Arguments of `runnel cancel`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CancelArgs {
    /// The commands: each an id, a number, NODE.NUMBER or a beginning of an id that no other has.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    session: SessionArgs,
}

impl CancelArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        for text in &self.ids {
            let id = ids::resolve(&session.client, text).await?;
            session.client.tell(&format!("/v1/commands/{id}/cancel")).await?;
        }
        Ok(Exit::Success)
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel cancel w1.42
  runnel cancel w1.42 && runnel attach w1.42    # and wait for what became of it

A command that has not started never will; one that runs is asked to stop (SIGTERM), and is
killed when its grace is over. The request is kept and repeated until the node has it, so it
also reaches a node that has no link now. What came of it is the command's outcome.";
