//! Updates that their caller does not read, beyond what memory may hold: they wait on the worker's disk.

use std::num::NonZeroUsize;
use std::path::Path;

use runnel::certs::Role;
use runnel::codec::{Command, UpdatePolicy};
use runnel::{
    Config, Context, HandlerError, Handlers, Node, NodeBuilder, Progress, Submission, SubmitOptions,
};
use runnel_tests::fleet::TestFleet;
use runnel_tests::patience::patient;
use runnel_tests::route::local;
use tokio::sync::watch;

/// Sends so many updates, each with its number.
enum Tell {}

impl Command for Tell {
    const NAME: &'static str = "test.tell/1";
    type Args = u64;
    type Update = (u64, Vec<u8>);
    type Result = u64;
}

/// A controller, and a worker that holds 256 KiB of each command's updates in memory.
struct Rig {
    controller: Node,
    worker: Node,
    /// How many updates the handler has got rid of.
    told: watch::Receiver<u64>,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start(spilled_bytes_max: u64) -> Self {
        let fleet = TestFleet::today();
        let folder = tempfile::tempdir().expect("a folder");
        let controller = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(local());
        let controller = controller.start().await.expect("the controller starts");
        let mut config = Config::default();
        config.node.updates_held_bytes_min = NonZeroUsize::MIN;
        config.node.updates_held_bytes_max = NonZeroUsize::MIN;
        config.node.updates_spilled_bytes_max = spilled_bytes_max;
        let (telling, told) = watch::channel(0);
        let mut handlers = Handlers::new();
        handlers.on::<Tell, _, _>(move |context, updates| tell(context, updates, telling.clone()));
        let worker = NodeBuilder::new(fleet.identity("w1", Role::Worker))
            .config(config)
            .handlers(handlers)
            .spill_folder(folder.path().join("spill"))
            .peer(controller.handle().node().clone(), [controller.handle().listening()[0].to_string()]);
        let worker = worker.start().await.expect("the worker starts");
        Self { controller, worker, told, folder }
    }

    async fn submit(&self, updates: u64, policy: UpdatePolicy) -> Submission<Tell> {
        let options = SubmitOptions { updates: policy, ..SubmitOptions::default() };
        let to = self.worker.handle().node();
        self.controller.handle().submit::<Tell>(to, &updates, options).await.expect("there is room")
    }

    async fn told(&mut self, updates: u64) {
        let told = self.told.wait_for(|told| *told >= updates);
        patient("the handler to get rid of its updates", told).await.expect("it is there");
    }

    async fn stop(self) {
        patient("the nodes to stop", self.worker.shutdown()).await;
        patient("the nodes to stop", self.controller.shutdown()).await;
        assert_eq!(names(&self.folder.path().join("spill")), [""; 0]);
    }
}

async fn tell(
    mut context: Context<Tell>,
    updates: u64,
    told: watch::Sender<u64>,
) -> Result<u64, HandlerError> {
    for number in 0..updates {
        context.update(&(number, content(number))).await?;
        told.send_replace(number + 1);
    }
    Ok(updates)
}

/// As long as a page, and another for each number.
fn content(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(512)
}

/// Reads the next update of a command and says its number.
async fn next(submission: &mut Submission<Tell>) -> Option<u64> {
    loop {
        match patient("an update", submission.progress()).await {
            Some(Ok(Progress::Update((number, bytes)))) => {
                assert_eq!(bytes, content(number));
                return Some(number);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error}"),
            None => return None,
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("it is there");
    entries.map(|entry| entry.expect("it is there").file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_handler_ends_though_its_caller_reads_nothing_and_all_is_there_once_it_does() {
    let mut rig = Rig::start(16 << 20).await;
    let mut telling = rig.submit(UPDATES, UpdatePolicy::Follow).await;
    rig.told(UPDATES).await;
    for number in 0..UPDATES {
        assert_eq!(next(&mut telling).await, Some(number));
    }
    assert_eq!(next(&mut telling).await, None);
    assert_eq!(patient("the outcome", telling.outcome()).await, Ok(UPDATES));
    rig.stop().await;
}

#[tokio::test]
async fn a_handler_waits_for_its_caller_once_the_disk_holds_its_share() {
    let mut rig = Rig::start(1 << 20).await;
    let mut telling = rig.submit(UPDATES, UpdatePolicy::Follow).await;
    // All that it may be ahead: of what the caller's node holds, of memory, of the file, of what is read ahead.
    rig.told((1 << 20) / (4 << 10)).await;
    for number in 0..UPDATES {
        let ahead = *rig.told.borrow() - number;
        assert!(ahead <= (4 << 20) / (4 << 10), "{ahead} updates are ahead of the caller");
        assert_eq!(next(&mut telling).await, Some(number));
    }
    assert_eq!(patient("the outcome", telling.outcome()).await, Ok(UPDATES));
    rig.stop().await;
}

#[tokio::test]
async fn a_cancelled_command_whose_handler_has_ended_is_done_with_all_its_updates() {
    let mut rig = Rig::start(16 << 20).await;
    let mut telling = rig.submit(UPDATES, UpdatePolicy::Follow).await;
    rig.told(UPDATES).await;
    rig.controller.handle().cancel(telling.id()).await.expect("it has not ended");
    for number in 0..UPDATES {
        assert_eq!(next(&mut telling).await, Some(number));
    }
    assert_eq!(patient("the outcome", telling.outcome()).await, Ok(UPDATES), "its handler had ended before");
    rig.stop().await;
}

#[tokio::test]
async fn updates_that_are_discarded_wait_nowhere() {
    let mut rig = Rig::start(16 << 20).await;
    let telling = rig.submit(UPDATES, UpdatePolicy::Discard).await;
    rig.told(UPDATES).await;
    assert_eq!(patient("the outcome", telling.outcome()).await, Ok(UPDATES));
    rig.stop().await;
}

/// 8 MiB of them.
const UPDATES: u64 = (8 << 20) / (4 << 10);
