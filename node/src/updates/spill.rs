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
mod tests {
    use runnel_codec::{CommandKey, Epoch, Seq};
    use tokio::sync::{Semaphore, mpsc};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::engine::Request;
    use crate::updates::UpdateSink;

    /// A handler's updates between a sink and an engine that gives room only when told to.
    struct Rig {
        sink: UpdateSink,
        room: Arc<Semaphore>,
        inbox: mpsc::Receiver<Request>,
        end: watch::Sender<bool>,
        stop: watch::Sender<Option<StopReason>>,
        running: JoinHandle<Outcome>,
        folder: SpillFolder,
        place: tempfile::TempDir,
    }

    impl Rig {
        /// Memory for 10 bytes; a file and a disk for so many.
        fn new(file_bytes: u64, disk_bytes: u64) -> Self {
            let place = tempfile::tempdir().unwrap();
            let folder = SpillFolder::open(place.path().to_owned(), file_bytes, disk_bytes).unwrap();
            let (to_engine, inbox) = mpsc::channel(100);
            let room = Arc::new(Semaphore::new(10));
            let engaged = Engaged {
                from: "ctl".parse().unwrap(),
                key: CommandKey { epoch: Epoch::from_random(1), seq: Seq::FIRST },
                room: room.clone(),
                inbox: to_engine,
                counting: None,
            };
            let (sink, feeder) = UpdateSink::spilling(engaged, folder.clone());
            let (end, mut ended) = watch::channel(false);
            let (stop, stopped) = watch::channel(None);
            let handler = async move {
                ended.wait_for(|has_ended| *has_ended).await.ok();
                Outcome::Done { result: Bytes::new() }
            };
            let running = tokio::spawn(feeder.run(handler, stopped));
            Self { sink, room, inbox, end, stop, running, folder, place }
        }

        /// Sends a record of 5 bytes.
        async fn send(&self, number: u8) {
            self.sink.send(vec![number; 5].into()).await.unwrap();
        }

        /// Returns whether the sink presses back: it does so while nothing else can happen.
        async fn presses_back(&self, number: u8) -> bool {
            let mut sending = pin!(self.send(number));
            tokio::select! {
                biased;
                () = &mut sending => false,
                () = until_idle() => true,
            }
        }

        /// Takes what comes next, and gives its room back.
        async fn take(&mut self) -> u8 {
            let Some(Request::Update { content, .. }) = self.inbox.recv().await else { panic!("an update") };
            self.room.add_permits(content.len());
            content[0]
        }
    }

    /// Waits until the runtime has nothing to do but to pass time: its clock is paused, and does not move while a thread
    /// works for it.
    async fn until_idle() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_memory_cannot_hold_goes_through_the_file_and_comes_in_order() {
        let mut rig = Rig::new(10_000, 10_000);
        for number in 0..200 {
            rig.send(number).await;
        }
        assert_eq!(rig.inbox.len(), 2, "the rest is in the file");
        assert!(rig.folder.room.available_permits() < 10_000 - 190 * 5);
        rig.end.send_replace(true);
        for number in 0..200 {
            assert_eq!(rig.take().await, number);
        }
        assert_eq!(rig.running.await.unwrap(), Outcome::Done { result: Bytes::new() });
        assert_eq!(rig.sink.send("x".into()).await, Err(UpdateError::Ended));
        assert_eq!(rig.folder.room.available_permits(), 10_000, "the disk is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_file_presses_back_until_something_is_taken() {
        // Two records are in memory, and one is read ahead; each of the others takes 9 bytes in the file.
        for (file, disk) in [(27, 10_000), (10_000, 27)] {
            let mut rig = Rig::new(file, disk);
            let mut number = 0;
            while !rig.presses_back(number).await {
                number += 1;
            }
            assert!((5..=9).contains(&number), "{number} records were taken");
            for wanted in 0..number {
                assert_eq!(rig.take().await, wanted);
            }
            assert!(!rig.presses_back(number).await);
            assert_eq!(rig.take().await, number, "what was not taken was not lost, nor taken twice");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_without_room_presses_back_and_loses_nothing() {
        let mut rig = Rig::new(10_000, 10_000);
        let spill = rig.sink.spill.as_ref().unwrap();
        spill.shared.file.set(SpillFile::full(10_000).unwrap()).unwrap();
        rig.send(0).await;
        rig.send(1).await;
        assert!(rig.presses_back(2).await);
        for number in 0..20 {
            assert_eq!(rig.take().await, number);
            rig.send(number + 2).await;
        }
        assert_eq!(rig.folder.room.available_permits(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_gone_presses_back_and_loses_nothing() {
        let mut rig = Rig::new(10_000, 10_000);
        std::fs::remove_dir_all(rig.place.path()).unwrap();
        rig.send(0).await;
        rig.send(1).await;
        assert!(rig.presses_back(2).await);
        assert_eq!((rig.take().await, rig.take().await), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_read_fails_the_command() {
        let rig = Rig::new(10_000, 10_000);
        for number in 0..4 {
            rig.send(number).await;
            until_idle().await;
        }
        // The third is read, the fourth in the file.
        rig.sink.spill.as_ref().unwrap().shared.file.get().unwrap().clear().unwrap();
        rig.end.send_replace(true);
        rig.room.add_permits(100);
        let Outcome::Failed(failure) = rig.running.await.unwrap() else { panic!("it lacks updates") };
        assert_eq!(failure.kind, FailureKind::Handler);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_is_stopped_brings_everything_once_its_handler_has_ended() {
        let mut rig = Rig::new(10_000, 10_000);
        for number in 0..50 {
            rig.send(number).await;
        }
        rig.stop.send_replace(Some(StopReason::Cancelled));
        until_idle().await;
        assert_eq!(rig.inbox.len(), 2, "its handler may still say something");
        rig.end.send_replace(true);
        (&mut rig.running).await.unwrap();
        assert_eq!(rig.inbox.len(), 50);
        for number in 0..50 {
            assert_eq!(rig.take().await, number);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_of_a_command_that_is_over() {
        let mut rig = Rig::new(27, 10_000);
        let mut number = 0;
        while !rig.presses_back(number).await {
            number += 1;
        }
        rig.room.close();
        assert_eq!(rig.sink.send("x".into()).await, Err(UpdateError::Ended));
        assert_eq!(rig.take().await, 0);
        rig.end.send_replace(true);
        rig.running.await.unwrap();
        drop(rig.sink);
        assert_eq!(rig.folder.room.available_permits(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_whose_sender_gives_up_is_taken_whole_or_not_at_all() {
        let mut rig = Rig::new(10_000, 10_000);
        rig.send(0).await;
        rig.send(1).await;
        for number in 2..30 {
            let mut sending = pin!(rig.sink.send(vec![number; 5].into()));
            tokio::select! {
                biased;
                sent = &mut sending => sent.unwrap(),
                // Its writing has begun, and nobody waits for it.
                () = std::future::ready(()) => {}
            }
        }
        rig.end.send_replace(true);
        let mut last = rig.take().await;
        loop {
            let came = tokio::select! {
                biased;
                came = rig.take() => came,
                () = until_idle() => break,
            };
            assert!(came > last, "{came} comes after {last}");
            last = came;
        }
        assert!(last > 1);
    }

    #[tokio::test(start_paused = true)]
    async fn updates_without_content_cost_nothing() {
        let rig = Rig::new(10_000, 10_000);
        for _ in 0..100 {
            rig.sink.send(Bytes::new()).await.unwrap();
        }
        assert_eq!((rig.inbox.len(), rig.room.available_permits()), (0, 10));
    }
}
