//! Durable commands of whole nodes over real sockets: either end crashes and comes back with what is on its disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use runnel::certs::Role;
use runnel::codec::{Command, CommandId, NodeId, UnknownReason};
use runnel::{
    Config, Delivery, EndpointKeys, Handlers, NodeBuilder, NodeHandle, NotDone, QueueError, StoreStatus,
    Submission, SubmitError, SubmitOptions, WaitsFor,
};
use runnel_queue::FaultyDisk;
use runnel_tests::commands::{Gate, Hold, Mark, handlers};
use runnel_tests::crashing::{CrashingNode, store_on};
use runnel_tests::fleet::TestFleet;
use runnel_tests::patience::patient;
use runnel_tests::tally::Tally;

/// A controller that listens and a worker that dials it, each with a disk.
struct World {
    fleet: TestFleet,
    controller_disk: FaultyDisk,
    worker_disk: FaultyDisk,
    /// Where the controller listens, once it does.
    address: SocketAddr,
    tally: Tally,
    gate: Gate,
}

impl World {
    fn new() -> Self {
        Self {
            fleet: TestFleet::today(),
            controller_disk: FaultyDisk::new(1),
            worker_disk: FaultyDisk::new(2),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tally: Tally::default(),
            gate: Gate::closed(),
        }
    }

    async fn controller(&mut self) -> CrashingNode {
        let identity = self.fleet.identity("c1", Role::Controller);
        let builder = NodeBuilder::new(identity)
            .listen(self.address)
            .endpoint_keys(EndpointKeys::from_bytes(&[7; EndpointKeys::BYTES]))
            .store(store_on(&self.controller_disk));
        let node = CrashingNode::start(builder).await;
        self.address = node.handle().listening()[0];
        node
    }

    async fn worker(&self) -> CrashingNode {
        let controller: NodeId = "c1".parse().expect("a name");
        let handlers: Handlers = handlers(&self.tally, &self.gate);
        let identity = self.fleet.identity("w1", Role::Worker);
        // With its next packet it learns that the controller is another process.
        let mut config = Config::default();
        config.liveness.idle_interval = Duration::from_millis(500);
        let builder = NodeBuilder::new(identity)
            .config(config)
            .handlers(handlers)
            .store(store_on(&self.worker_disk))
            .peer(controller, [self.address.to_string()]);
        CrashingNode::start(builder).await
    }
}

fn w1() -> NodeId {
    "w1".parse().expect("a name")
}

async fn submit<C: Command>(controller: &NodeHandle, args: C::Args) -> Submission<C> {
    let options = SubmitOptions { delivery: Some(Delivery::Durable), ..SubmitOptions::default() };
    controller.submit::<C>(&w1(), &args, options).await.expect("there is room")
}

async fn started(command: &mut Submission<Hold>) -> CommandId {
    patient("its start", command.progress()).await.expect("it starts").expect("it is known");
    command.id().clone()
}

#[tokio::test]
async fn a_controller_that_crashes_finds_its_commands_again_and_none_runs_twice() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let mut running = submit::<Hold>(controller.handle(), ()).await;
    let running_id = started(&mut running).await;
    controller.crash();

    let controller = world.controller().await;
    let recovered = controller.handle().recovered().await.expect("it runs");
    let ids: Vec<_> = recovered.iter().map(|found| &found.id).collect();
    assert_eq!(ids, [&running_id]);
    let running = controller.handle().attach::<Hold>(&running_id, false).await.expect("it is here");
    assert_eq!(controller.handle().recovered().await.expect("it runs"), [], "it is followed now");
    world.gate.open();
    assert_eq!(patient("its outcome", running.outcome()).await, Ok(()));
    assert_eq!(world.tally.runs(&running_id), 1);
    controller.crash();
    worker.crash();
}

#[tokio::test]
async fn an_outcome_that_nobody_took_is_still_there_after_a_crash() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let options = SubmitOptions { keep_outcome: true, label: "for later".into(), ..SubmitOptions::default() };
    let done = controller.handle().submit::<Mark>(&w1(), &7, options).await.expect("there is room");
    let id = done.id().clone();
    assert_eq!(patient("its outcome", done.outcome()).await, Ok(7));
    controller.crash();
    worker.crash();

    let controller = world.controller().await;
    let recovered = controller.handle().recovered().await.expect("it runs");
    assert_eq!(
        recovered.iter().map(|found| (&found.id, &found.label[..])).collect::<Vec<_>>(),
        [(&id, &b"for later"[..])]
    );
    let again = controller.handle().attach::<Mark>(&id, true).await.expect("it is kept");
    assert_eq!(patient("its outcome", again.outcome()).await, Ok(7));
    controller.handle().forget_outcome(&id).await.expect("it is kept until then");
    assert_eq!(controller.handle().recovered().await.expect("it runs"), []);
    controller.crash();
}

#[tokio::test]
async fn a_worker_that_crashes_says_unknown_of_what_ran_and_runs_the_rest_once() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let mut running = submit::<Hold>(controller.handle(), ()).await;
    let running_id = started(&mut running).await;
    let done = submit::<Mark>(controller.handle(), 1).await;
    let done_id = done.id().clone();
    assert_eq!(patient("its outcome", done.outcome()).await, Ok(1));
    worker.crash();
    let waiting = submit::<Mark>(controller.handle(), 2).await;
    let waiting_id = waiting.id().clone();

    let worker = world.worker().await;
    let lost = NotDone::Unknown(UnknownReason::HandlerLost);
    assert_eq!(patient("its outcome", running.outcome()).await, Err(lost));
    assert_eq!(patient("its outcome", waiting.outcome()).await, Ok(2));
    for id in [running_id, done_id, waiting_id] {
        assert_eq!(world.tally.runs(&id), 1, "{id}");
    }
    controller.crash();
    worker.crash();
}

#[tokio::test]
async fn the_same_key_is_the_same_command_even_after_a_crash() {
    let mut world = World::new();
    let controller = world.controller().await;
    let named = |number| {
        let options = SubmitOptions { key: Some("build 5".to_owned()), ..SubmitOptions::default() };
        (number, options)
    };
    let (number, options) = named(1);
    let first = controller.handle().submit::<Mark>(&w1(), &number, options).await.expect("there is room");
    let id = first.id().clone();
    controller.crash();

    let controller = world.controller().await;
    let (number, options) = named(1);
    let again = controller.handle().submit::<Mark>(&w1(), &number, options).await.expect("it is known");
    assert_eq!(again.id(), &id);
    let (number, options) = named(2);
    let other = controller.handle().submit::<Mark>(&w1(), &number, options).await;
    assert!(matches!(other, Err(SubmitError::Queue(QueueError::KeyConflict(_)))), "{other:?}");
    let worker = world.worker().await;
    assert_eq!(patient("its outcome", again.outcome()).await, Ok(1));
    assert_eq!(world.tally.runs(&id), 1);
    controller.crash();
    worker.crash();
}

#[tokio::test]
async fn a_controller_with_an_empty_disk_is_another_sender() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let first = submit::<Mark>(controller.handle(), 1).await;
    let first_id = first.id().clone();
    assert_eq!(patient("its outcome", first.outcome()).await, Ok(1));
    controller.crash();

    world.controller_disk = FaultyDisk::new(3);
    let controller = world.controller().await;
    let second = submit::<Mark>(controller.handle(), 2).await;
    let second_id = second.id().clone();
    assert_eq!(second_id.key.seq, first_id.key.seq, "numbers begin anew");
    assert_eq!(patient("its outcome", second.outcome()).await, Ok(2));
    assert_eq!((world.tally.runs(&first_id), world.tally.runs(&second_id)), (1, 1));
    controller.crash();
    worker.crash();
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_a_broken_one_stops_the_node() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let mut status = controller.handle().status();
    world.controller_disk.set_capacity(Some(world.controller_disk.used_bytes()));
    let waiting = tokio::spawn({
        let handle = controller.handle().clone();
        // Longer than what is free in the file.
        async move {
            let options = SubmitOptions { payload: vec![7; 1 << 20].into(), ..SubmitOptions::default() };
            handle.submit::<Mark>(&w1(), &1, options).await
        }
    });
    let is_full = status.wait_for(|status| status.store == StoreStatus::Full);
    patient("a full disk", is_full).await.expect("the node runs");
    world.controller_disk.set_capacity(None);
    let stored = patient("room", waiting).await.expect("no panic").expect("it is stored at last");
    assert_eq!(patient("its outcome", stored.outcome()).await, Ok(1));

    world.controller_disk.kill();
    let refused = submit_result(controller.handle()).await;
    assert!(matches!(refused, Err(SubmitError::NodeStopped)), "{refused:?}");
    let has_failed = status.wait_for(|status| matches!(status.store, StoreStatus::Failed(_)));
    patient("the failure", has_failed).await.expect("it is told before the end");
    worker.crash();
}

#[tokio::test]
async fn a_full_disk_refuses_new_commands_and_lets_those_that_are_there_end() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let mut running = submit::<Hold>(controller.handle(), ()).await;
    started(&mut running).await;
    let mut status = controller.handle().status();
    world.controller_disk.set_capacity(Some(world.controller_disk.used_bytes()));
    // Each is taken whole or refused: none waits for room, since the reserve serves what was taken.
    let mut stored = Vec::new();
    let refused = loop {
        match submit_result(controller.handle()).await {
            Ok(submission) => stored.push(submission),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SubmitError::Queue(QueueError::StoreFull { .. })), "{refused:?}");
    assert_eq!(status.borrow_and_update().store, StoreStatus::Full);
    let options = SubmitOptions { delivery: Some(Delivery::Memory), ..SubmitOptions::default() };
    let in_memory = controller.handle().submit::<Mark>(&w1(), &1, options).await.expect("it needs no room");
    assert_eq!(patient("its outcome", in_memory.outcome()).await, Ok(1));
    world.gate.open();
    assert_eq!(patient("its outcome", running.outcome()).await, Ok(()), "what was there ends");
    for submission in stored {
        patient("its outcome", submission.outcome()).await.expect("what was taken is done");
    }
    world.controller_disk.set_capacity(None);
    let works = status.wait_for(|status| status.store == StoreStatus::Works);
    patient("room", works).await.expect("the node runs");
    let next = submit_result(controller.handle()).await.expect("there is room again");
    patient("its outcome", next.outcome()).await.expect("it is done");
    controller.crash();
    worker.crash();
}

#[tokio::test]
async fn a_worker_whose_disk_is_full_lets_durable_commands_wait_at_their_sender() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let first = submit_result(controller.handle()).await.expect("there is room");
    patient("its outcome", first.outcome()).await.expect("it is done");
    let mut status = worker.handle().status();
    world.worker_disk.set_capacity(Some(world.worker_disk.used_bytes()));
    // What is taken before the worker notices is run; from then on commands wait.
    let mut held = Vec::new();
    let full = async {
        while status.borrow_and_update().store != StoreStatus::Full {
            held.push(submit::<Hold>(controller.handle(), ()).await);
        }
    };
    patient("a full disk", full).await;
    let waiting = submit_result(controller.handle()).await.expect("the controller has room");
    let is_busy = async {
        loop {
            let why = controller.handle().explain(waiting.id()).await.expect("it waits");
            if matches!(why.waiting.waits_for, WaitsFor::Pause { .. }) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    patient("the worker's word", is_busy).await;
    world.worker_disk.set_capacity(None);
    world.gate.open();
    patient("its outcome", waiting.outcome()).await.expect("it is done once there is room");
    for submission in held {
        assert_eq!(patient("its outcome", submission.outcome()).await, Ok(()));
    }
    controller.crash();
    worker.crash();
}

#[tokio::test]
async fn what_a_forgotten_sender_had_running_is_unknown_to_it() {
    let mut world = World::new();
    let controller = world.controller().await;
    let worker = world.worker().await;
    let mut running = submit::<Hold>(controller.handle(), ()).await;
    started(&mut running).await;
    worker.handle().forget(controller.handle().node()).await.expect("it is known");
    let lost = NotDone::Unknown(UnknownReason::ReceiverStateLost);
    assert_eq!(patient("its outcome", running.outcome()).await, Err(lost));
    let next = submit::<Mark>(controller.handle(), 1).await;
    assert_eq!(patient("its outcome", next.outcome()).await, Ok(1));
    controller.crash();
    worker.crash();
}

async fn submit_result(controller: &NodeHandle) -> Result<Submission<Mark>, SubmitError> {
    patient("an answer", controller.submit::<Mark>(&w1(), &1, SubmitOptions::default())).await
}
