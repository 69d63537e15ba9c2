//! Bodies that clients have left for durable commands: files in the node's folder, each until its command has ended.
//!
//! A body is on the disk, whole and synced, before a command can name it. What no command names goes after a while, and at
//! the next start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tracing::warn;

use super::error::ApiError;

/// Name of a body: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct BodyId(String);

/// The bodies of one node.
#[derive(Debug)]
pub(super) struct BodySpool {
    folder: PathBuf,
    bytes_max: u64,
    unclaimed_age: Duration,
    bodies: Mutex<BTreeMap<BodyId, Spooled>>,
}

/// A body on the disk, or on its way there.
#[derive(Clone, Copy, Debug)]
struct Spooled {
    bytes: u64,
    state: SpooledState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpooledState {
    /// It comes.
    Incoming,
    /// It is whole, since then, and no command names it.
    Unclaimed(Instant),
    /// It goes with a command.
    Claimed,
}

impl BodySpool {
    /// Opens the folder, which is made if it is missing. What is there is unclaimed.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub(super) fn open(folder: PathBuf, bytes_max: u64, unclaimed_age: Duration) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut bodies = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // What has another name is not ours, and is left alone.
            if let Some(id) =
                entry.file_name().to_str().and_then(|name| BodyId::try_from(name.to_owned()).ok())
            {
                let bytes = entry.metadata()?.len();
                bodies.insert(id, Spooled { bytes, state: SpooledState::Unclaimed(Instant::now()) });
            }
        }
        Ok(Self { folder, bytes_max, unclaimed_age, bodies: Mutex::new(bodies) })
    }

    /// Takes a body in. It is durable when this returns. Returns its name and its length in bytes.
    ///
    /// # Errors
    ///
    /// There is no room for it, or it breaks off.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what came is deleted.
    pub(super) async fn receive(&self, content: Body) -> Result<(BodyId, u64), ApiError> {
        self.delete_where(|body| match body.state {
            SpooledState::Unclaimed(since) => since.elapsed() >= self.unclaimed_age,
            SpooledState::Incoming | SpooledState::Claimed => false,
        });
        let mut pieces = content.into_data_stream();
        let kept = self.keep(&mut pieces).await;
        if kept.is_err() {
            discard(&mut pieces).await;
        }
        kept
    }

    async fn keep(&self, pieces: &mut BodyDataStream) -> Result<(BodyId, u64), ApiError> {
        let id = BodyId::random();
        self.lock().insert(id.clone(), Spooled { bytes: 0, state: SpooledState::Incoming });
        let incoming = Incoming { spool: self, id: &id };
        let bytes = self.write(&id, pieces).await?;
        self.set_state(&id, SpooledState::Unclaimed(Instant::now()));
        drop(incoming);
        Ok((id, bytes))
    }

    /// Gives a body to a command. Returns its file.
    ///
    /// # Errors
    ///
    /// There is none of this name, or another command has it.
    pub(super) fn claim(&self, id: &BodyId) -> Result<PathBuf, ApiError> {
        match self.lock().get_mut(id) {
            Some(body) if matches!(body.state, SpooledState::Unclaimed(_)) => {
                body.state = SpooledState::Claimed;
                Ok(self.path(id))
            }
            Some(_) => Err(ApiError::body_taken()),
            None => {
                Err(ApiError::no_body("there is no such body: it was never here whole, or waited too long"))
            }
        }
    }

    /// Takes a body back from a command that was not stored.
    pub(super) fn give_back(&self, id: &BodyId) {
        self.set_state(id, SpooledState::Unclaimed(Instant::now()));
    }

    /// Deletes the body of a command that has ended.
    pub(super) fn delete(&self, id: &BodyId) {
        if self.lock().remove(id).is_some() {
            self.remove_file(id);
        }
    }

    /// Deletes what no command has claimed: an older process has left it.
    pub(super) fn delete_unclaimed(&self) {
        self.delete_where(|body| matches!(body.state, SpooledState::Unclaimed(_)));
    }

    async fn write(&self, id: &BodyId, pieces: &mut BodyDataStream) -> Result<u64, ApiError> {
        let mut file = create(&self.path(id)).await.map_err(|error| failed(&error))?;
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            let piece =
                piece.map_err(|error| ApiError::bad_request(format!("the request broke off: {error}")))?;
            self.reserve(id, piece.len() as u64)?;
            file.write_all(&piece).await.map_err(|error| failed(&error))?;
            bytes += piece.len() as u64;
        }
        file.flush().await.map_err(|error| failed(&error))?;
        file.sync_all().await.map_err(|error| failed(&error))?;
        // Its name is durable too.
        let folder = File::open(&self.folder).await.map_err(|error| failed(&error))?;
        folder.sync_all().await.map_err(|error| failed(&error))?;
        Ok(bytes)
    }

    /// Counts bytes that are about to be written.
    fn reserve(&self, id: &BodyId, bytes: u64) -> Result<(), ApiError> {
        let mut bodies = self.lock();
        let total: u64 = bodies.values().map(|body| body.bytes).sum();
        if total.saturating_add(bytes) > self.bytes_max {
            return Err(ApiError::bodies_full(self.bytes_max));
        }
        bodies.entry(id.clone()).and_modify(|body| body.bytes += bytes);
        Ok(())
    }

    fn delete_where(&self, is_wanted: impl Fn(&Spooled) -> bool) {
        let is_old = |(id, body): (&BodyId, &Spooled)| is_wanted(body).then(|| id.clone());
        let old: Vec<_> = self.lock().iter().filter_map(is_old).collect();
        old.iter().for_each(|id| self.delete(id));
    }

    fn remove_file(&self, id: &BodyId) {
        if let Err(error) = std::fs::remove_file(self.path(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, file = %self.path(id).display(), "a body that is no longer wanted cannot be deleted");
        }
    }

    fn set_state(&self, id: &BodyId, state: SpooledState) {
        if let Some(body) = self.lock().get_mut(id) {
            body.state = state;
        }
    }

    fn path(&self, id: &BodyId) -> PathBuf {
        self.folder.join(&id.0)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BodyId, Spooled>> {
        // Each change is whole before anything in it can panic.
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that comes: unless it came whole, it is deleted when this goes.
struct Incoming<'a> {
    spool: &'a BodySpool,
    id: &'a BodyId,
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        let state = self.spool.lock().get(self.id).map(|body| body.state);
        if state == Some(SpooledState::Incoming) {
            self.spool.delete(self.id);
        }
    }
}

impl BodyId {
    fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the name that a client gives.
    pub(super) fn read(text: &str) -> Result<Self, ApiError> {
        Self::try_from(text.to_owned()).map_err(ApiError::bad_request)
    }
}

impl TryFrom<String> for BodyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err("a body is named by 32 hexadecimal digits")
        }
    }
}

/// Reads what still comes of a body that is not kept: a client that is writing would see a closed connection and not the
/// answer. A very long rest is not worth it.
async fn discard(pieces: &mut BodyDataStream) {
    let mut left = DISCARDED_BYTES_MAX;
    while let Some(Ok(piece)) = pieces.next().await {
        left = left.saturating_sub(piece.len() as u64);
        if left == 0 {
            return;
        }
    }
}

async fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await
}

fn failed(error: &io::Error) -> ApiError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ApiError::store_full("there is no room left for the body: try again")
        }
        _ => ApiError::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the body cannot be written: {error}"),
        ),
    }
}

/// 1 GiB: a second or so, from this machine.
const DISCARDED_BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(folder: &Path, bytes_max: u64) -> BodySpool {
        BodySpool::open(folder.to_owned(), bytes_max, Duration::from_secs(3600)).unwrap()
    }

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn a_body_is_a_file_until_its_command_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), 100);
        let (id, bytes) = spool.receive(Body::from("content")).await.unwrap();
        assert_eq!(bytes, 7);
        let path = spool.claim(&id).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"content");
        assert!(spool.claim(&id).is_err(), "one command has it");
        spool.give_back(&id);
        spool.claim(&id).unwrap();
        spool.delete(&id);
        assert_eq!(files(folder.path()), 0);
        assert!(spool.claim(&id).is_err());
    }

    #[tokio::test]
    async fn what_does_not_fit_is_read_all_the_same_so_that_its_client_hears_why() {
        let folder = tempfile::tempdir().unwrap();
        let read = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = read.clone();
        let pieces = futures_util::stream::iter((0..5).map(move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, io::Error>("123")
        }));
        spool(folder.path(), 4).receive(Body::from_stream(pieces)).await.unwrap_err();
        assert_eq!((read.load(std::sync::atomic::Ordering::Relaxed), files(folder.path())), (5, 0));
    }

    #[tokio::test]
    async fn what_does_not_fit_or_does_not_come_whole_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), 10);
        let (kept, _) = spool.receive(Body::from("123456")).await.unwrap();
        spool.receive(Body::from("12345")).await.unwrap_err();
        let broken = futures_util::stream::iter([Ok("12"), Err(io::Error::other("gone"))]);
        spool.receive(Body::from_stream(broken)).await.unwrap_err();
        assert_eq!(files(folder.path()), 1);
        spool.delete(&kept);
        spool.receive(Body::from("1234567890")).await.unwrap();
    }

    #[tokio::test]
    async fn the_next_process_keeps_what_a_command_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let older = spool(folder.path(), 100);
        let (named, _) = older.receive(Body::from("named")).await.unwrap();
        older.receive(Body::from("left")).await.unwrap();
        std::fs::write(folder.path().join("notes"), "not ours").unwrap();
        let next = spool(folder.path(), 100);
        next.claim(&named).unwrap();
        next.delete_unclaimed();
        assert_eq!(files(folder.path()), 2);
    }
}
