//! What a daemon ends with: signals, and the process that it is tied to.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::parent::Parent;

/// What a daemon ends with, apart from SIGTERM and SIGINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// Nothing else.
    None,
    /// The process at the other end of standard input.
    Parent,
}

/// Everything that ends a daemon. Signals count from the moment it is made.
pub(super) struct Ending {
    terminate: Signal,
    interrupt: Signal,
    parent: Option<Parent>,
}

impl Ending {
    pub(super) fn new(tie: Tie) -> anyhow::Result<Self> {
        let parent = match tie {
            Tie::None => None,
            Tie::Parent => {
                Some(Parent::at_stdin().context("--exit-with-parent needs a pipe as standard input")?)
            }
        };
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, parent })
    }

    /// Waits for the first of them.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = gone(&mut self.parent) => info!("the parent is gone"),
        }
    }
}

/// Waits until the parent is gone; for ever without one.
async fn gone(parent: &mut Option<Parent>) {
    match parent {
        Some(parent) => parent.gone().await,
        None => std::future::pending().await,
    }
}
