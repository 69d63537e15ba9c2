//! A node that shuts down while its handlers run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runnel::certs::Role;
use runnel::{Context, Handlers, NodeBuilder, SubmitOptions};
use runnel_tests::commands::Hold;
use runnel_tests::fleet::TestFleet;
use runnel_tests::follow::started;
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::patient;
use runnel_tests::route::local;

#[tokio::test]
async fn a_shutdown_waits_for_handlers_on_the_runtime_that_awaits_it() {
    let fleet = TestFleet::today();
    let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller)).listen(local());
    let controller = controller.start().await.expect("the controller starts");
    let has_ended = Arc::new(AtomicBool::new(false));
    let mut handlers = Handlers::new();
    let ended = has_ended.clone();
    handlers.on::<Hold, _, _>(move |context: Context<Hold>, ()| {
        let ended = ended.clone();
        async move {
            context.stop_signal().stopped().await;
            ended.store(true, Ordering::Relaxed);
            Ok(())
        }
    });
    let name = controller.handle().node().clone();
    let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker))
        .handlers(handlers)
        .peer(name, [controller.handle().listening()[0].to_string()]);
    let worker = worker.start().await.expect("the worker starts");
    let node = worker.handle().node().clone();
    let hold = controller.handle().submit::<Hold>(&node, &(), SubmitOptions::default()).await;
    let mut hold = hold.expect("the queue has room");
    started(&mut hold).await;
    patient("the worker to stop", worker.shutdown()).await;
    assert!(has_ended.load(Ordering::Relaxed), "the handler was told to stop, and could");
    patient("the controller to stop", controller.shutdown()).await;
}

#[tokio::test]
async fn what_is_submitted_after_a_shutdown_is_refused() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let (controller, worker) = (pair.controller().clone(), pair.worker().clone());
    pair.stop().await;
    let refused = controller.submit::<Hold>(&worker, &(), SubmitOptions::default()).await;
    let error = refused.expect_err("the node has stopped");
    assert_eq!(error.to_string(), "this node has shut down");
}
