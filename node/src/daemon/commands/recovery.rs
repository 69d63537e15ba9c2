//! After a restart: the durable commands that an older process submitted are listed and followed again.

use std::sync::Arc;

use runnel::codec::Command;
use runnel::commands::{
    Exec, FsCopy, FsGet, FsGlob, FsList, FsMkdir, FsPut, FsRemove, FsStat, Ping, SystemInfo,
};
use runnel::{Delivery, NotFound, Raw, Recovered};
use tracing::{info, warn};

use super::{Commands, now};
use crate::daemon::command_types::ApiCommand;
use crate::daemon::label::Label;
use crate::daemon::registry::Submitted;

impl Commands {
    /// Takes over what an older process has left. Those that ended are complete when this returns; what is kept of the
    /// others' output follows.
    pub(in crate::daemon) async fn recover(self: &Arc<Self>) -> Result<(), NotFound> {
        let recovered = self.handle.recovered().await?;
        let mut known: Vec<_> = recovered.into_iter().filter_map(labelled).collect();
        known.sort_by_key(|(label, _)| label.stored_ms);
        if !known.is_empty() {
            info!(commands = known.len(), "commands of an older process go on");
        }
        for (label, recovered) in known {
            match recovered.name.as_str() {
                _ if label.is_raw => self.resume::<Raw>(label, recovered).await,
                Exec::NAME => self.resume::<Exec>(label, recovered).await,
                FsPut::NAME => self.resume::<FsPut>(label, recovered).await,
                FsGet::NAME => self.resume::<FsGet>(label, recovered).await,
                FsMkdir::NAME => self.resume::<FsMkdir>(label, recovered).await,
                FsRemove::NAME => self.resume::<FsRemove>(label, recovered).await,
                FsCopy::NAME => self.resume::<FsCopy>(label, recovered).await,
                FsStat::NAME => self.resume::<FsStat>(label, recovered).await,
                FsList::NAME => self.resume::<FsList>(label, recovered).await,
                FsGlob::NAME => self.resume::<FsGlob>(label, recovered).await,
                Ping::NAME => self.resume::<Ping>(label, recovered).await,
                SystemInfo::NAME => self.resume::<SystemInfo>(label, recovered).await,
                _ => {
                    warn!(id = %recovered.id, name = %recovered.name, "a command of a type that is not known here")
                }
            }
        }
        if let Some(spool) = &self.spool {
            spool.delete_unclaimed();
        }
        Ok(())
    }

    async fn resume<C: ApiCommand>(self: &Arc<Self>, label: Label, recovered: Recovered) {
        let Recovered { id, name, class, outcome, .. } = recovered;
        let submission = match self.handle.attach::<C>(&id, true).await {
            Ok(submission) => submission,
            Err(error) => return warn!(%id, %error, "a command of an older process cannot be followed"),
        };
        if let (Some(body), Some(spool)) = (&label.body, &self.spool)
            && spool.claim(body).is_err()
        {
            warn!(%id, body = body.as_str(), "the body of a command is gone");
        }
        let submitted = Submitted {
            id,
            name,
            class,
            delivery: Delivery::Durable,
            stored_ms: label.stored_ms,
            deadline: label.deadline(),
            summary: label.summary,
            key: label.key,
        };
        self.change(|registry| registry.insert(now(), submitted));
        let follow = self.clone().follow(submission, Delivery::Durable, label.body);
        if outcome.is_some() {
            follow.await;
        } else {
            self.tasks.spawn(follow);
        }
    }
}

/// Reads what was stored beside a command; one that was not submitted by the API is left alone.
fn labelled(recovered: Recovered) -> Option<(Label, Recovered)> {
    let label = Label::read(&recovered.label);
    if label.is_none() {
        warn!(id = %recovered.id, "a command in the store was not submitted through the API: it goes on unseen");
    }
    label.map(|label| (label, recovered))
}
