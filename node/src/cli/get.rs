//! `runnel get`: brings a file or folder from a node.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use runnel::commands::unpack;
use serde_json::json;
use tempfile::{NamedTempFile, TempDir};
use tokio::sync::watch;
use tokio::time::timeout;

use super::exit::{Exit, Failure};
use super::outcome::ExitFrom;
use super::patience::Patience;
use super::run::{OrderArgs, OrderBody, Reader};
use super::session::{Session, SessionArgs};
use super::signals::Signals;
use super::transfer::{PieceReader, PieceSender, RemotePath, file_name, pieces, progress};
use super::watch::{OnInterrupt, OnOverdue, Watch};
use runnel_client::api::{FileKind, Found};
use runnel_client::{Presence, Until};

/// Arguments of `runnel get`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// The file or folder there.
    #[arg(value_name = "NODE:SRC")]
    source: RemotePath,
    /// Its name here; if that is a folder, it goes into it.
    #[arg(value_name = "DST", default_value = ".")]
    target: PathBuf,
    /// Replace what has that name now.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    session: SessionArgs,
}

impl GetArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut signals = Signals::catch().map_err(anyhow::Error::from)?;
        let target = Target::choose(&self.target, &self.source.path, self.replace)?;
        let args = json!({ "path": self.source.path });
        let stored =
            self.order.submit(session, &self.source.node, "fs.get/1", args, OrderBody::None, Reader::Comes);
        let id = signals.unless_caught(stored).await?;
        let (sender, found) = watch::channel(None);
        let watch = Watch {
            session,
            id: &id,
            until: Until::Outcome,
            patience: Patience::default(),
            presence: Presence::Seen,
            on_interrupt: OnInterrupt::Cancel,
            on_overdue: OnOverdue::Leave,
            exit_from: ExitFrom::Table,
            found: Some(sender),
        };
        let bar = progress(0, session.json);
        let ending =
            fetch(session, &id, &watch, &mut signals, target.fetch(session, &id, found, bar.clone())).await;
        bar.finish_and_clear();
        ending
    }
}

/// Waits for both: the outcome, and what came being in its place.
async fn fetch(
    session: &Session,
    id: &str,
    watch: &Watch<'_>,
    signals: &mut Signals,
    fetched: impl Future<Output = Result<(), FetchError>>,
) -> Result<Exit, Failure> {
    let mut fetched = pin!(fetched);
    let ending = {
        let mut watched = pin!(watch.run(signals));
        tokio::select! {
            ending = &mut watched => ending,
            result = &mut fetched => {
                return match result {
                    Ok(()) => watched.await,
                    // Mostly the other end gave it up, and the outcome says why.
                    Err(FetchError::BrokenOff(failure)) => match watched.await? {
                        Exit::Success => Err(failure),
                        exit => Ok(exit),
                    },
                    Err(FetchError::NotWritten(failure)) => {
                        // Nobody takes the rest.
                        session.client.tell(&format!("/v1/commands/{id}/cancel")).await.ok();
                        Err(failure)
                    }
                };
            }
        }
    };
    let has_begun = watch.found.as_ref().is_some_and(|found| found.borrow().is_some());
    match ending {
        // All has been sent, and what is still on its way here comes soon.
        Ok(Exit::Success) => tokio::select! {
            result = fetched => result.map(|()| Exit::Success).map_err(FetchError::into_failure),
            caught = signals.next() => Ok(watch.leave(caught)),
        },
        ending => {
            if has_begun {
                // It breaks off too, and what is half is removed; this is not worth a longer wait.
                timeout(TIDY_TIMEOUT, fetched).await.ok();
            }
            ending
        }
    }
}

/// Why it is not here.
#[derive(Debug)]
enum FetchError {
    /// It did not come to its end.
    BrokenOff(Failure),
    /// It could not be written here.
    NotWritten(Failure),
}

impl FetchError {
    fn into_failure(self) -> Failure {
        match self {
            Self::BrokenOff(failure) | Self::NotWritten(failure) => failure,
        }
    }
}

/// Where it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    path: PathBuf,
    replace: bool,
}

impl Target {
    /// Chooses the name, and says what is in the way before anything is asked for.
    fn choose(target: &Path, source: &str, replace: bool) -> anyhow::Result<Self> {
        let mut path = target.to_owned();
        if target.is_dir() || target.as_os_str().to_string_lossy().ends_with('/') {
            path.push(file_name(source).with_context(|| format!("{source} has no name: give it one here"))?);
        }
        if !replace && path.symlink_metadata().is_ok() {
            bail!("{} exists; replace it with --replace, or choose another name", path.display());
        }
        Ok(Self { path, replace })
    }

    /// Takes what comes, and puts it in its place once it is whole.
    async fn fetch(
        self,
        session: &Session,
        id: &str,
        mut found: watch::Receiver<Option<Found>>,
        bar: ProgressBar,
    ) -> Result<(), FetchError> {
        let found = match found.wait_for(Option::is_some).await.map(|found| *found) {
            Ok(Some(found)) => found,
            // Nothing was found, and the outcome says why.
            Ok(None) | Err(_) => std::future::pending().await,
        };
        bar.set_length(found.bytes);
        let (sender, receiver) = pieces();
        let place = self.path.clone();
        let writing = tokio::task::spawn_blocking(move || self.write(found, PieceReader::new(receiver)));
        let received = receive(session, id, sender, &bar).await;
        let written = writing.await.unwrap_or_else(|_| Err(io::Error::other("writing was broken off")));
        received.map_err(FetchError::BrokenOff)?;
        written.map_err(|error| {
            FetchError::NotWritten(Failure::new(
                Exit::Failed,
                format!("cannot write {}: {error}", place.display()),
            ))
        })
    }

    /// Writes it beside its place and moves it there, on a thread that may block.
    fn write(self, found: Found, mut content: PieceReader) -> io::Result<()> {
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match found.kind {
            FileKind::File => {
                let mut file = NamedTempFile::new_in(folder)?;
                let bytes = io::copy(&mut content, file.as_file_mut())?;
                if bytes != found.bytes {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "it has not the length that was announced",
                    ));
                }
                file.as_file_mut().flush()?;
                file.as_file().set_permissions(Permissions::from_mode(found.mode & PERMISSION_BITS))?;
                let placed =
                    if self.replace { file.persist(&self.path) } else { file.persist_noclobber(&self.path) };
                placed.map(|_| ()).map_err(|error| error.error)
            }
            FileKind::Folder => {
                let beside = TempDir::with_prefix_in(".runnel-", folder)?;
                let fresh = beside.path().join("new");
                unpack(content, &fresh)?;
                std::fs::set_permissions(&fresh, Permissions::from_mode(found.mode & PERMISSION_BITS))?;
                if self.replace && self.path.symlink_metadata().is_ok() {
                    std::fs::rename(&self.path, beside.path().join("old"))?;
                }
                std::fs::rename(&fresh, &self.path)
            }
        }
    }
}

/// Takes the body; if it breaks off, the writer learns of it.
async fn receive(session: &Session, id: &str, pieces: PieceSender, bar: &ProgressBar) -> Result<(), Failure> {
    let received = async {
        let mut content = session.client.content(&format!("/v1/commands/{id}/body")).await?;
        while let Some(piece) = content.next().await? {
            bar.inc(piece.len() as u64);
            if pieces.send(Ok(piece)).await.is_err() {
                // It cannot be written, and the writer says why.
                return Ok(());
            }
        }
        pieces.send(Ok(Bytes::new())).await.ok();
        Ok::<_, Failure>(())
    };
    let result = received.await;
    if result.is_err() {
        pieces.send(Err(io::ErrorKind::UnexpectedEof.into())).await.ok();
    }
    result
}

/// Longest wait until what came by halves is removed.
const TIDY_TIMEOUT: Duration = Duration::from_secs(1);

/// Permission bits that travel: those of owner, group and others.
const PERMISSION_BITS: u32 = 0o777;

const EXAMPLES: &str = "\
Examples:
  runnel get w1:/var/log/syslog
  runnel get w1:build/out results --replace
  runnel get w1:/srv/big.iso . --class bulk

It appears under its name here when all of it has come and its BLAKE3 hash was checked: whole or
not at all. A lost link or a changed address only interrupts it. Permissions come along, links in
a folder stay links. Ctrl-C cancels. A progress bar shows on a terminal.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_into_and_what_is_there_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let chosen = |target: &Path, replace| {
            Target::choose(target, "/var/log/syslog", replace).map(|target| target.path)
        };
        assert_eq!(chosen(folder.path(), false).unwrap(), path("syslog"));
        assert_eq!(chosen(&path("copy"), false).unwrap(), path("copy"));
        assert_eq!(chosen(&path("new/"), false).unwrap(), path("new/syslog"));
        std::fs::write(path("syslog"), "").unwrap();
        assert!(chosen(folder.path(), false).is_err());
        assert_eq!(chosen(folder.path(), true).unwrap(), path("syslog"));
        assert!(Target::choose(folder.path(), "..", false).is_err());
    }
}
