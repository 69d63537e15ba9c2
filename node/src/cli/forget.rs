//! `runnel forget`: lets go of what a node that sends here has left.

use clap::Args;
use runnel::codec::NodeId;

use super::exit::{Exit, Failure};
use super::session::{Session, SessionArgs};

/// Arguments of `runnel forget`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ForgetArgs {
    /// The nodes that sent commands to this one.
    #[arg(value_name = "NODE", required = true)]
    nodes: Vec<NodeId>,
    #[command(flatten)]
    session: SessionArgs,
}

impl ForgetArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        for node in &self.nodes {
            session.client.tell(&format!("/v1/nodes/{node}/forget")).await?;
        }
        Ok(Exit::Success)
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel forget old-desk

On a worker, for a controller that will not come back: what it had stored here no longer takes room. What
waits never starts, what runs goes on unheard; should it come back, it is told that this is unknown.";
