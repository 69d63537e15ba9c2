//! `runnel put`: brings a file or folder to a node.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use futures_util::stream;
use indicatif::ProgressBar;
use runnel::commands::{count, pack};
use runnel_client::api::{FileKind, Left};
use runnel_client::{Presence, RequestBody, Until, streamed};
use serde_json::json;
use tokio::task::JoinHandle;

use super::exit::{Exit, Failure};
use super::outcome::ExitFrom;
use super::patience::Patience;
use super::run::{OrderArgs, OrderBody, Reader};
use super::session::{Session, SessionArgs};
use super::signals::Signals;
use super::transfer::{
    PieceReceiver, PieceSender, PieceWriter, READ_BYTES, RemotePath, file_name, pieces, progress,
};
use super::watch::{OnInterrupt, OnOverdue, Watch};

/// Arguments of `runnel put`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PutArgs {
    /// The file or folder here.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Its name there; with a slash at the end, the folder it goes into.
    #[arg(value_name = "NODE:DST")]
    target: RemotePath,
    /// Replace what has that name now.
    #[arg(long)]
    replace: bool,
    /// Make the folders above it.
    #[arg(long)]
    parents: bool,
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    session: SessionArgs,
}

impl PutArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut signals = Signals::catch().map_err(anyhow::Error::from)?;
        let source = Source::open(&self.source)?;
        let arguments = self.arguments(&source)?;
        let bar = progress(source.bytes, session.json);
        let may_leave = signals.unless_caught(self.order.may_leave_body(session)).await?;
        let body = if may_leave {
            OrderBody::Left(signals.unless_caught(source.leave(session, bar.clone())).await?)
        } else {
            OrderBody::Follows
        };
        let stored =
            self.order.submit(session, &self.target.node, "fs.put/1", arguments, body, Reader::Comes);
        let id = signals.unless_caught(stored).await?;
        let watch = Watch {
            session,
            id: &id,
            until: Until::Outcome,
            patience: Patience::default(),
            presence: Presence::Seen,
            on_interrupt: OnInterrupt::Cancel,
            on_overdue: OnOverdue::Leave,
            exit_from: ExitFrom::Table,
            found: None,
        };
        let sending = async {
            if may_leave {
                std::future::pending().await
            } else {
                source.send(session, &id, bar.clone()).await
            }
        };
        let ending = tokio::select! {
            ending = pin!(watch.run(&mut signals)) => ending,
            failure = pin!(sending) => {
                // The body has broken off, so the command cannot succeed: it need not be waited for.
                session.client.tell(&format!("/v1/commands/{id}/cancel")).await.ok();
                Err(failure)
            }
        };
        bar.finish_and_clear();
        ending
    }

    fn arguments(&self, source: &Source) -> Result<serde_json::Value, Failure> {
        let mut path = self.target.path.clone();
        if path.ends_with('/') {
            let name = source.path.to_str().and_then(file_name);
            let no_name = || {
                Failure::new(
                    Exit::Usage,
                    format!("{} has no name to keep: write it behind the slash", source.path.display()),
                )
            };
            path.push_str(name.ok_or_else(no_name)?);
        }
        let is_file = source.kind == FileKind::File;
        let mode = is_file.then(|| source.metadata.permissions().mode() & PERMISSION_BITS);
        Ok(json!({
            "path": path, "kind": source.kind, "mode": mode, "replace": self.replace, "make_parents": self.parents,
        }))
    }
}

/// What is brought.
#[derive(Debug)]
struct Source {
    /// Without links, so that it has a name.
    path: PathBuf,
    metadata: Metadata,
    kind: FileKind,
    bytes: u64,
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?;
        let metadata = path.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
        let cannot_read = || format!("cannot read {}", path.display());
        let (kind, bytes) = if metadata.is_dir() {
            (FileKind::Folder, count(&path).with_context(cannot_read)?.bytes)
        } else if metadata.is_file() {
            File::open(&path).with_context(cannot_read)?;
            (FileKind::File, metadata.len())
        } else {
            anyhow::bail!("{} is neither a file nor a folder", path.display());
        };
        Ok(Self { path, metadata, kind, bytes })
    }

    /// Leaves it at the node, which stores it. Returns under which name.
    async fn leave(&self, session: &Session, bar: ProgressBar) -> Result<String, Failure> {
        let (reading, receiver) = self.read();
        let left = session.client.post_stream::<Left>("/v1/bodies", content(receiver, bar)).await;
        match reading.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(&self.path, &error)),
            // What the node does not take, it says why.
            _ => Ok(left?.body),
        }
    }

    /// Begins to read it.
    fn read(&self) -> (JoinHandle<io::Result<()>>, PieceReceiver) {
        let (sender, receiver) = pieces();
        let (path, kind, bytes) = (self.path.clone(), self.kind, self.bytes);
        (tokio::task::spawn_blocking(move || read(&path, kind, bytes, sender)), receiver)
    }

    /// Sends it, and leaves the word to the outcome; returns only if something here went wrong.
    async fn send(&self, session: &Session, id: &str, bar: ProgressBar) -> Failure {
        let (reading, receiver) = self.read();
        let sent = session.client.put(&format!("/v1/commands/{id}/body"), content(receiver, bar)).await;
        match reading.await {
            Ok(Ok(())) => {}
            // The node does not take more: the outcome says why.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Ok(Err(error)) => return failed(&self.path, &error),
            Err(_) => return failed(&self.path, &io::Error::other("reading was broken off")),
        }
        match sent {
            Err(error) if !error.is_lost() && !matches!(error.code(), Some("ended" | "body-broken")) => {
                error.into()
            }
            _ => std::future::pending().await,
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))
}

fn content(pieces: PieceReceiver, bar: ProgressBar) -> RequestBody {
    let pieces =
        stream::try_unfold((pieces, bar), async |(mut pieces, bar): (PieceReceiver, ProgressBar)| {
            let piece = pieces.recv().await.unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()))?;
            bar.inc(piece.len() as u64);
            Ok((!piece.is_empty()).then_some((piece, (pieces, bar))))
        });
    streamed(pieces)
}

/// Reads all of it, on a thread that may block. An error also breaks off what is sent.
fn read(path: &Path, kind: FileKind, bytes: u64, pieces: PieceSender) -> io::Result<()> {
    let result = match kind {
        FileKind::File => read_file(path, bytes, &pieces),
        FileKind::Folder => {
            let writer = BufWriter::with_capacity(READ_BYTES, PieceWriter(pieces.clone()));
            pack(path, writer).and_then(|(_, mut writer)| writer.flush())
        }
    };
    let end = match &result {
        Ok(()) => Ok(Bytes::new()),
        Err(error) => Err(error.kind().into()),
    };
    // If the node takes no more, nobody listens.
    pieces.blocking_send(end).ok();
    result
}

/// Reads as many bytes as there were: a log that grows meanwhile is brought as it was.
fn read_file(path: &Path, bytes: u64, pieces: &PieceSender) -> io::Result<()> {
    let mut file = File::open(path)?.take(bytes);
    let mut left = bytes;
    let mut buffer = vec![0; READ_BYTES];
    while left > 0 {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        left -= length as u64;
        let piece = Bytes::copy_from_slice(&buffer[..length]);
        pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

/// Permission bits that travel: those of owner, group and others.
const PERMISSION_BITS: u32 = 0o777;

const EXAMPLES: &str = "\
Examples:
  runnel put firmware.bin w1:/tmp/firmware.bin
  runnel put src w1:build/ --parents --replace        # the folder build/src
  runnel put big.iso w1:/srv/ --class bulk

It appears under its name on the node when all of it is there and its BLAKE3 hash was checked:
whole or not at all. A lost link or a changed address only interrupts it. A node with a store
takes a copy first, and goes on after a restart; --memory does without. Permissions come
along, links in a folder stay links. Relative names count from the folder of the node's
confinement, or the one it was started in. Ctrl-C cancels. A progress bar shows on a terminal.";
