//! A controller's process is killed and started again under the same name. In memory it has forgotten what it sent: what
//! runs goes on, what had not started never will, and what the new process sends runs once.

use std::collections::BTreeMap;
use std::time::Duration;

use runnel::certs::Role;
use runnel::{Config, Node, NodeBuilder};
use runnel_tests::commands::{Gate, handlers};
use runnel_tests::fleet::TestFleet;
use runnel_tests::follow::link_number;
use runnel_tests::patience::{patient, report};
use runnel_tests::process::ControllerProcess;
use runnel_tests::tally::Tally;
use tempfile::TempDir;

#[tokio::test]
async fn a_killed_controller_leaves_what_runs_and_nothing_that_had_not_started() {
    let mut rig = Rig::start().await;
    let done = rig.order("mark", 20, "done").await;
    let running = rig.order("hold", RUNNING, "started").await;
    // All places of their type are taken: these are in the worker's queue.
    let waiting = rig.order("hold", 5, "accepted").await;
    // These are on their way when their sender dies, or done, or nothing of them has left.
    let mut between = Vec::new();
    for _ in 0..20 {
        between.push(rig.controller.submit("mark", rig.worker.handle().node()).await);
    }

    let old = rig.link_number(|_| true).await;
    rig.controller.kill().await;
    rig.controller.restart().await;
    rig.link_number(|number| number > old).await;
    let after = rig.order("mark", 20, "done").await;
    let held = rig.order("hold", 3, "accepted").await;
    assert!(
        held.iter().all(|id| !rig.controller.has_said(&format!("started {id}"))),
        "the places are still taken"
    );

    // What the dead process left running ends by itself, and its places go to the living one.
    rig.gate.open();
    for id in &held {
        rig.controller.said(&format!("done {id}")).await;
    }
    let runs = rig.stop().await;
    for id in done.iter().chain(&running).chain(&after).chain(&held) {
        assert_eq!(runs.get(id), Some(&1), "{id} ran once");
    }
    for id in &waiting {
        assert_eq!(runs.get(id), None, "{id} had not started, and nobody waits for it");
    }
    let reached = between.iter().filter(|id| runs.contains_key(*id)).count();
    assert!(between.iter().all(|id| runs.get(id).is_none_or(|runs| *runs == 1)), "none ran twice");
    let known = done.len() + running.len() + after.len() + held.len() + reached;
    assert_eq!(runs.len(), known, "nothing ran that was not ordered");
    report(&format!("of 20 that were on their way when their sender was killed, {reached} ran"));
}

#[tokio::test]
async fn a_controller_that_is_killed_again_and_again_has_each_command_run_once() {
    let mut rig = Rig::start().await;
    let mut done = Vec::new();
    let mut old = rig.link_number(|_| true).await;
    for _ in 0..3 {
        done.extend(rig.order("mark", 10, "done").await);
        rig.controller.submit("hold", rig.worker.handle().node()).await;
        rig.controller.kill().await;
        rig.controller.restart().await;
        old = rig.link_number(|number| number > old).await;
    }
    done.extend(rig.order("mark", 10, "done").await);
    rig.gate.open();
    let runs = rig.stop().await;
    assert!(done.iter().all(|id| runs.get(id) == Some(&1)), "{runs:?}");
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
}

/// A controller's process, and a worker that goes on.
struct Rig {
    controller: ControllerProcess,
    worker: Node,
    tally: Tally,
    gate: Gate,
    _folder: TempDir,
}

impl Rig {
    async fn start() -> Self {
        let fleet = TestFleet::today();
        let folder = tempfile::tempdir().expect("a folder for the test");
        let program = env!("CARGO_BIN_EXE_test-controller");
        let controller = ControllerProcess::start(program, &fleet, folder.path(), "controller").await;
        let (tally, gate) = (Tally::default(), Gate::closed());
        let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker))
            .config(config())
            .handlers(handlers(&tally, &gate))
            .peer(controller.name().clone(), [controller.address().to_string()]);
        let worker = worker.start().await.expect("the worker starts");
        let rig = Self { controller, worker, tally, gate, _folder: folder };
        rig.link_number(|_| true).await;
        rig
    }

    /// Has the controller submit commands, and waits until it has said this of each. Returns their ids.
    async fn order(&mut self, kind: &str, count: usize, word: &str) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.controller.submit(kind, self.worker.handle().node()).await);
        }
        for id in &ids {
            self.controller.said(&format!("{word} {id}")).await;
        }
        ids
    }

    async fn link_number(&self, passes: impl Fn(u64) -> bool) -> u64 {
        link_number(self.worker.handle(), self.controller.name(), passes).await
    }

    /// Stops both. Returns how often each command ran.
    async fn stop(mut self) -> BTreeMap<String, u64> {
        self.controller.kill().await;
        patient("the worker to stop", self.worker.shutdown()).await;
        self.tally.all()
    }
}

/// A worker that runs few holds at once, and that soon sends something when nothing is owed: it is reset then.
fn config() -> Config {
    let mut config = Config::default();
    config.liveness.idle_interval = Duration::from_millis(500);
    config.receive_queue.running_max_by_name.insert("test.hold/1".to_owned(), RUNNING);
    config
}

const RUNNING: usize = 2;
