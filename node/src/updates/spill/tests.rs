//! Both ends of a spill, with an engine that gives room only when told to.

use runnel_codec::{CommandKey, Epoch, Seq};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::engine::Request;
use crate::room::{Room, RoomBounds, Rooms};
use crate::updates::UpdateSink;

/// A handler's updates between a sink and an engine that gives room only when told to.
struct Rig {
    sink: UpdateSink,
    room: Arc<Room>,
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
        let room = Rooms::new(RoomBounds { min: 10, first: 10, max: 10, shared: 0 }).open();
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
        self.room.free(content.len());
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
    rig.room.free(100);
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
    assert_eq!((rig.inbox.len(), rig.room.has(10)), (0, true));
}
