//! Handlers that outlive their node hear nothing of its end: whatever they lead to goes on.

use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use runnel::certs::Role;
use runnel::codec::Command;
use runnel::{Context, HandlerError, Handlers, NodeBuilder, Recoverable, Run, SubmitOptions};
use runnel_queue::{MemoryStore, Store};
use runnel_tests::fleet::TestFleet;
use runnel_tests::patience::patient;
use runnel_tests::route::local;
use tokio::sync::oneshot;

/// Is at work in its own code while its node lets go of it.
enum Busy {}

impl Command for Busy {
    const NAME: &'static str = "test.busy/1";
    type Args = ();
    type Update = ();
    type Result = ();
}

/// Says when it is busy, stays so until it is let go on with, and says what it hears then.
#[derive(Debug)]
struct BusyHandler(Mutex<Option<Ends>>);

#[derive(Debug)]
struct Ends {
    is_busy: oneshot::Sender<()>,
    go_on: mpsc::Receiver<()>,
    heard: oneshot::Sender<Heard>,
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Stop,
    Nothing,
}

/// Says that nothing was heard, unless something was.
struct Hearing(Option<oneshot::Sender<Heard>>);

impl Drop for Hearing {
    fn drop(&mut self) {
        if let Some(heard) = self.0.take() {
            heard.send(Heard::Nothing).expect("the test waits");
        }
    }
}

impl Recoverable<Busy> for BusyHandler {
    async fn run(self: Arc<Self>, context: Context<Busy>, run: Run, (): ()) -> Result<(), HandlerError> {
        let ends = self.0.lock().expect("no panic").take().expect("it is called once");
        let mut hearing = Hearing(Some(ends.heard));
        run.set_token(&b"token"[..]).await?;
        ends.is_busy.send(()).expect("the test waits");
        ends.go_on.recv().expect("the test goes on");
        let reason = context.stop_signal().stopped().await;
        hearing.0.take().expect("only the drop takes it").send(Heard::Stop).expect("the test waits");
        Err(HandlerError::stopped(reason, "told to stop"))
    }

    async fn recover(self: Arc<Self>, _: Context<Busy>, _: Run, _: Bytes) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn release(self: Arc<Self>, _: Bytes) {}

    async fn begin(self: Arc<Self>, _: Vec<Bytes>) {}
}

fn store() -> Box<dyn Store> {
    Box::new(MemoryStore::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_is_let_go_of_in_the_middle_of_its_code_is_not_told_to_stop() {
    let fleet = TestFleet::today();
    let (busy, is_busy) = oneshot::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let (heard, has_heard) = oneshot::channel();
    let mut handlers = Handlers::new();
    let ends = Ends { is_busy: busy, go_on: may_go_on, heard };
    handlers.on_recoverable::<Busy, _>(BusyHandler(Mutex::new(Some(ends))));
    let controller = NodeBuilder::new(fleet.identity("c1", Role::Controller)).listen(local()).store(store());
    let controller = controller.start().await.expect("the controller starts");
    let address = controller.handle().listening()[0].to_string();
    let worker = NodeBuilder::new(fleet.identity("w1", Role::Worker))
        .handlers(handlers)
        .store(store())
        .peer(controller.handle().node().clone(), [address]);
    let worker = worker.start().await.expect("the worker starts");
    let w1 = worker.handle().node().clone();
    let submission = controller.handle().submit::<Busy>(&w1, &(), SubmitOptions::default()).await;
    let submission = submission.expect("there is room");
    patient("the handler to be busy", is_busy).await.expect("it says so");

    let stopping = tokio::spawn(worker.shutdown());
    let mut status = controller.handle().status();
    // The link's end comes after all handlers were let go of.
    patient("the worker to close its link", status.wait_for(|status| status.end(&w1).is_some()))
        .await
        .expect("the controller runs");
    go_on.send(()).expect("the handler waits");
    assert_eq!(patient("the handler's end", has_heard).await, Ok(Heard::Nothing));
    patient("the worker to stop", stopping).await.expect("it does not panic");
    drop(submission);
    patient("the controller to stop", controller.shutdown()).await;
}
