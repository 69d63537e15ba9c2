//! A worker's process is killed and started again. In memory its state is gone: `Unknown` is said where that is true,
//! and only there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::{FailureKind, UnknownReason};
use runnel::{Config, Node, NodeBuilder, NodeHandle, NotDone, Submission, SubmitOptions};
use runnel_tests::commands::{Hold, Mark};
use runnel_tests::fleet::TestFleet;
use runnel_tests::follow::{failure_of, link_number, outcome, started};
use runnel_tests::patience::{patient, report};
use runnel_tests::process::WorkerProcess;
use runnel_tests::route::local;
use runnel_tests::tally::TallyFile;
use tempfile::TempDir;

#[tokio::test]
async fn a_killed_worker_loses_what_it_ran_and_nothing_else() {
    let mut rig = Rig::start().await;
    let (controller, victim) = (rig.controller.handle().clone(), rig.victim.name().clone());
    let bystander = rig.bystander.name().clone();
    let mut ended = Vec::new();
    for number in 0..20 {
        let mark = submit::<Mark>(&controller, &victim, number).await;
        ended.push(mark.id().to_string());
        assert_eq!(outcome(mark).await, Ok(number));
    }
    let running = rig.fill().await;
    let mut elsewhere = hold(&controller, &bystander).await;
    started(&mut elsewhere).await;
    // The receiver is full: these were answered `Busy`, or wait, and a few may be on their way without an answer.
    let mut waiting = Vec::new();
    for number in 0..WAITING {
        waiting.push(submit::<Mark>(&controller, &victim, number).await);
    }

    rig.victim.kill().await;
    let mut status = controller.status();
    let given_up = status.wait_for(|status| status.link(&victim).is_none());
    drop(patient("the dead link to be given up", given_up).await.expect("the controller runs"));
    let after = submit::<Mark>(&controller, &victim, 7).await;
    rig.victim.restart();

    for hold in running {
        let id = hold.id().to_string();
        assert_eq!(outcome(hold).await, Err(NotDone::Unknown(UnknownReason::ReceiverStateLost)));
        assert_eq!(rig.runs(&id), 1, "it did run");
    }
    let after_id = after.id().to_string();
    assert_eq!(outcome(after).await, Ok(7), "it had not left");
    assert_eq!(rig.runs(&after_id), 1);
    let mut unknown = 0;
    for (number, mark) in (0..WAITING).zip(waiting) {
        let id = mark.id().to_string();
        match outcome(mark).await {
            Ok(result) => assert_eq!((result, rig.runs(&id)), (number, 1)),
            Err(NotDone::Unknown(UnknownReason::ReceiverStateLost)) => unknown += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(unknown <= UNANSWERED_MAX, "{unknown} of {WAITING} are unknown, though most had not left");
    for id in ended {
        assert_eq!(rig.runs(&id), 1, "what had ended is not run again");
    }
    controller.cancel(elsewhere.id()).await.expect("the bystander still runs it");
    assert_eq!(failure_of(outcome(elsewhere).await), FailureKind::Cancelled);
    report(&format!("unknown of {WAITING} that waited: {unknown}"));
    patient("the controller to stop", rig.controller.shutdown()).await;
}

#[tokio::test]
async fn a_worker_that_is_back_before_anybody_missed_it_replaces_its_old_link() {
    let mut rig = Rig::start().await;
    let (controller, victim) = (rig.controller.handle().clone(), rig.victim.name().clone());
    let running = rig.fill().await;
    let old = link_number(&controller, &victim, |_| true).await;
    rig.victim.kill().await;
    // The controller may not know yet: this goes into the old link, or waits.
    let between = submit::<Mark>(&controller, &victim, 7).await;
    rig.victim.restart();
    let new = link_number(&controller, &victim, |number| number > old).await;
    assert!(new > old);
    for hold in running {
        let id = hold.id().to_string();
        assert_eq!(outcome(hold).await, Err(NotDone::Unknown(UnknownReason::ReceiverStateLost)));
        assert_eq!(rig.runs(&id), 1);
    }
    let id = between.id().to_string();
    match outcome(between).await {
        Ok(result) => assert_eq!((result, rig.runs(&id)), (7, 1)),
        Err(NotDone::Unknown(UnknownReason::ReceiverStateLost)) => assert_eq!(rig.runs(&id), 0),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(outcome(submit::<Mark>(&controller, &victim, 8).await).await, Ok(8));
    patient("the controller to stop", rig.controller.shutdown()).await;
}

/// A controller and two workers as processes, one of which is to be killed.
struct Rig {
    controller: Node,
    victim: WorkerProcess,
    bystander: WorkerProcess,
    tally: TallyFile,
    _folder: TempDir,
}

impl Rig {
    async fn start() -> Self {
        let fleet = TestFleet::today();
        let folder = tempfile::tempdir().expect("a folder for the test");
        let tally = TallyFile::new(folder.path().join("tally"));
        let controller =
            NodeBuilder::new(fleet.identity("controller", Role::Controller)).config(config()).listen(local());
        let controller = controller.start().await.expect("the controller starts");
        let worker = |name: &str, folder: &Path| {
            let program = env!("CARGO_BIN_EXE_test-worker");
            WorkerProcess::start(program, &fleet, folder, name, controller.handle(), &tally, 2 * RUNNING)
        };
        let (victim, bystander) = (worker("victim", folder.path()), worker("bystander", folder.path()));
        for worker in [&victim, &bystander] {
            link_number(controller.handle(), worker.name(), |_| true).await;
        }
        Self { controller, victim, bystander, tally, _folder: folder }
    }

    /// Has the victim run as many commands as it takes: half of its bound, since the other half is Urgent's.
    async fn fill(&self) -> Vec<Submission<Hold>> {
        let mut running = Vec::new();
        for _ in 0..RUNNING {
            let mut hold = hold(self.controller.handle(), self.victim.name()).await;
            started(&mut hold).await;
            running.push(hold);
        }
        running
    }

    fn runs(&self, id: &str) -> u64 {
        let all: BTreeMap<String, u64> = self.tally.all().expect("the tally can be read");
        all.get(id).copied().unwrap_or(0)
    }
}

async fn submit<C>(controller: &NodeHandle, to: &runnel::codec::NodeId, number: u64) -> Submission<C>
where
    C: runnel::codec::Command<Args = u64>,
{
    controller.submit::<C>(to, &number, SubmitOptions::default()).await.expect("the queue has room")
}

async fn hold(controller: &NodeHandle, to: &runnel::codec::NodeId) -> Submission<Hold> {
    controller.submit::<Hold>(to, &(), SubmitOptions::default()).await.expect("the queue has room")
}

/// A controller that gives silent links up soon, and has few commands without an answer at a time.
fn config() -> Config {
    let mut config = Config::default();
    config.transport.idle_timeout = Duration::from_secs(4);
    config.transport.keep_alive_interval = Duration::from_secs(1);
    config.send_queue.urgent_places = 32;
    config.receive_queue.free_places = NonZeroUsize::new(32 + UNANSWERED_MAX).expect("not 0");
    config
}

const RUNNING: usize = 8;
const WAITING: u64 = 50;
const UNANSWERED_MAX: usize = 8;
