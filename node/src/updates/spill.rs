//! A handler's updates beyond what memory may hold: into a file, and out of it as the caller's node takes them.
//!
//! [`SpillLog`] decides; here is what waits. The handler's end ([`Spill`]) writes, the [`Feeder`] reads and hands over to
//! the engine, and runs in the handler's own task. Files are touched on threads that may block, never here.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::{Buf, Bytes};
use runnel_codec::{FailureKind, Outcome, SMALL_BODY_BYTES_MAX};
use runnel_queue::StopReason;
use tokio::sync::{Mutex as TurnMutex, Notify, watch};
use tokio::task::spawn_blocking;

use super::spill_file::{SpillFile, SpillFolder};
use super::spill_log::{Span, SpillLog, Way};
use super::{Engaged, UpdateError};

/// The handler's end.
#[derive(Debug)]
pub(super) struct Spill {
    shared: Arc<Shared>,
    /// Held by the one record that is on its way, also if nobody waits for it any more.
    turn: Arc<TurnMutex<()>>,
}

/// The engine's end. While it is there, records leave the file.
#[derive(Debug)]
#[must_use = "nothing leaves the file by itself"]
pub(crate) struct Feeder {
    shared: Arc<Shared>,
    engaged: Engaged,
    /// Read, and not with the engine yet.
    leaving: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Shared {
    log: Mutex<SpillLog>,
    folder: SpillFolder,
    /// Made when it is first needed.
    file: OnceLock<SpillFile>,
    /// There may be room, or nothing before the next record.
    has_left: Notify,
    /// There may be something to read.
    has_come: Notify,
}

/// Makes both ends for one command.
pub(super) fn spill(folder: SpillFolder, engaged: Engaged) -> (Spill, Feeder) {
    let shared = Arc::new(Shared {
        log: Mutex::new(SpillLog::new(folder.bytes_max)),
        folder,
        file: OnceLock::new(),
        has_left: Notify::new(),
        has_come: Notify::new(),
    });
    let feeder = Feeder { shared: shared.clone(), engaged, leaving: VecDeque::new() };
    (Spill { shared, turn: Arc::default() }, feeder)
}

impl Spill {
    /// Takes a record, into memory or into the file; waits while both are full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the record either has been taken whole or not at all.
    pub(super) async fn send(&self, content: Bytes, engaged: &Engaged) -> Result<(), UpdateError> {
        let mut turn = self.turn.clone().lock_owned().await;
        let framed = (content.len() + HEADER_BYTES) as u64;
        loop {
            let mut has_left = pin!(self.shared.has_left.notified());
            has_left.as_mut().enable();
            match self.shared.choose(framed, engaged.has_room(content.len())) {
                Way::Over => return Err(UpdateError::Ended),
                // While this has its turn, nothing comes before it.
                Way::Direct => return engaged.send(content).await,
                Way::Wait => has_left.await,
                Way::Spill { span, growth } => {
                    let (shared, record) = (self.shared.clone(), content.clone());
                    let writing = spawn_blocking(move || {
                        let is_written = shared.write(span, growth, &record);
                        (turn, is_written)
                    });
                    let (still, is_written) = writing.await.map_err(|_| UpdateError::Ended)?;
                    if is_written {
                        return Ok(());
                    }
                    turn = still;
                }
            }
        }
    }
}

impl Feeder {
    /// Runs a handler, and what leaves the file beside it. Its outcome follows its last update.
    ///
    /// A command that is told to stop ends at once: all that is in the file comes into memory then, to be journaled with its
    /// outcome.
    pub(crate) async fn run(
        self,
        handler: impl Future<Output = Outcome>,
        stop: watch::Receiver<Option<StopReason>>,
    ) -> Outcome {
        let (ended, has_ended) = watch::channel(false);
        let mut handler = pin!(handler);
        let mut feeding = pin!(self.feed(has_ended, stop));
        let mut fed = None;
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut handler => break outcome,
                result = &mut feeding, if fed.is_none() => fed = Some(result),
            }
        };
        ended.send_replace(true);
        let fed = match fed {
            Some(fed) => fed,
            None => feeding.await,
        };
        match fed {
            Ok(()) => outcome,
            Err(error) => {
                let message = format!("updates of the command could not be read back from the disk: {error}");
                Outcome::failed(FailureKind::Handler, message)
            }
        }
    }

    /// Hands over what comes into the file, until the handler has ended and everything has left, or the command is over.
    async fn feed(
        mut self,
        mut has_ended: watch::Receiver<bool>,
        mut stop: watch::Receiver<Option<StopReason>>,
    ) -> io::Result<()> {
        loop {
            while let Some(record) = self.leaving.front() {
                let sent = tokio::select! {
                    biased;
                    sent = self.engaged.send(record.clone()) => sent,
                    () = is_in_a_hurry(&mut has_ended, &mut stop) => self.engaged.send_beyond(record.clone()).await,
                };
                if sent.is_err() {
                    // The command is over, and its updates with it.
                    return Ok(());
                }
                self.leaving.pop_front();
                self.shared.log().left();
                self.shared.has_left.notify_waiters();
            }
            let mut has_come = pin!(self.shared.has_come.notified());
            has_come.as_mut().enable();
            let span = self.shared.log().readable(READ_BYTES);
            if let Some(span) = span {
                let shared = self.shared.clone();
                let read = spawn_blocking(move || shared.read(span)).await.map_err(io::Error::other)?;
                self.leaving = read?;
                self.shared.has_left.notify_waiters();
                continue;
            }
            let is_last = *has_ended.borrow();
            if is_last && self.shared.log().close_if_empty() {
                return Ok(());
            }
            tokio::select! {
                () = has_come => {}
                _ = has_ended.changed(), if !is_last => {}
            }
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.shared.log().close();
        self.shared.has_left.notify_waiters();
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, SpillLog> {
        // Nothing is left half-done by a panic while it is held.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses the way of the next record, which takes so many bytes in the file; if it goes there, it is about to be
    /// written.
    fn choose(&self, bytes: u64, has_room: bool) -> Way {
        let mut log = self.log();
        match log.way(bytes, has_room) {
            Way::Spill { growth, .. } if !self.take_disk(growth) => match log.way(bytes, true) {
                Way::Direct => Way::Direct,
                _ => Way::Wait,
            },
            way => {
                if matches!(way, Way::Spill { .. }) {
                    log.begin_write();
                }
                way
            }
        }
    }

    /// Takes room for so many bytes of all files together, if there is so much.
    fn take_disk(&self, bytes: u64) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        self.folder.room.try_acquire_many(bytes).map(|room| room.forget()).is_ok()
    }

    fn give_disk(&self, bytes: u64) {
        self.folder.room.add_permits(usize::try_from(bytes).expect("as much was taken"));
    }

    /// Writes a record. It waits for the disk. Returns whether it is in the file.
    fn write(&self, span: Span, growth: u64, record: &Bytes) -> bool {
        let mut frame = Vec::with_capacity(record.len() + HEADER_BYTES);
        let length = u32::try_from(record.len()).expect("a record has at most 64 KiB");
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(record);
        let written = self.file().and_then(|file| file.write(span, &frame));
        match &written {
            Ok(()) => self.log().end_write(span.bytes),
            Err(error) => {
                tracing::warn!(%error, "updates cannot be spilled: their handler waits for its caller instead");
                self.log().fail_write();
                self.give_disk(growth);
            }
        }
        self.has_come.notify_one();
        written.is_ok()
    }

    fn file(&self) -> io::Result<&SpillFile> {
        match self.file.get() {
            Some(file) => Ok(file),
            None => {
                let file = self.folder.create()?;
                Ok(self.file.get_or_init(|| file))
            }
        }
    }

    /// Reads the whole records of a span. It waits for the disk.
    fn read(&self, span: Span) -> io::Result<VecDeque<Bytes>> {
        let mut content = Bytes::from(self.file()?.read(span)?);
        let mut records = VecDeque::new();
        let mut bytes = 0;
        while let Some(header) = content.first_chunk::<HEADER_BYTES>() {
            let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
            if length > SMALL_BODY_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is longer than any"));
            }
            if content.len() < HEADER_BYTES + length {
                break;
            }
            content.advance(HEADER_BYTES);
            records.push_back(content.split_to(length));
            bytes += (HEADER_BYTES + length) as u64;
        }
        let is_empty = self.log().read(bytes, records.len() as u64);
        if is_empty {
            // What cannot be given back is taken until the command ends.
            self.file()?.clear().ok();
            let freed = self.log().end_clear();
            self.give_disk(freed);
        }
        Ok(records)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let taken = self.log().extent();
        self.give_disk(taken);
    }
}

/// Waits until the handler has ended of a command that was told to stop.
async fn is_in_a_hurry(
    has_ended: &mut watch::Receiver<bool>,
    stop: &mut watch::Receiver<Option<StopReason>>,
) {
    // Without its senders the command is over, and handing over says so.
    if has_ended.wait_for(|has_ended| *has_ended).await.is_err()
        || stop.wait_for(Option::is_some).await.is_err()
    {
        std::future::pending::<()>().await;
    }
}

/// Before each record, its length.
const HEADER_BYTES: usize = 4;

/// Read at once: at least the longest frame.
const READ_BYTES: u64 = 128 << 10;

#[cfg(test)]
mod tests;
