//! The master's objects, as the commands of a session call them.

use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use crate::broker::CallFailure;
use crate::ids::RemoteId;
use crate::jelly::{Failure, Value};
use crate::worker::MasterCall;

/// A way to the master, as long as the session lasts.
#[derive(Clone, Debug)]
pub(super) struct Master {
    requests: mpsc::Sender<Request>,
}

/// What a command wants of the session.
#[derive(Debug)]
pub(super) enum Request {
    /// A call.
    Call { target: RemoteId, call: MasterCall, answer: AnswerSender },
    /// An object of the master's is no longer needed.
    Release(RemoteId),
    /// What has become of a command is not known: the master is to try the build again.
    GiveUp { why: String },
}

pub(super) type AnswerSender = oneshot::Sender<Result<Value, CallFailure>>;

/// An answer that will come.
#[derive(Debug)]
pub(super) struct Answer(oneshot::Receiver<Result<Value, CallFailure>>);

/// Room for one call.
#[derive(Debug)]
pub(super) struct Turn<'a>(mpsc::Permit<'a, Request>);

impl Master {
    /// Makes a way, and its other end, which is the session's.
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        (Self { requests }, receiver)
    }

    /// Calls and waits for the answer.
    pub(super) async fn ask(&self, target: RemoteId, call: MasterCall) -> Result<Value, Fault> {
        self.turn().await?.call(target, call).wait().await
    }

    /// Waits until there is room for a call. Cancel-safe.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Fault> {
        self.requests.reserve().await.map(Turn).map_err(|_| Fault::Lost)
    }

    /// Lets go of an object of the master's.
    pub(super) async fn release(&self, remote: RemoteId) {
        // With the session everything is let go of.
        self.requests.send(Request::Release(remote)).await.ok();
    }

    /// Has the session end, so that the master tries its builds again.
    pub(super) async fn give_up(&self, why: String) {
        // It has ended already.
        self.requests.send(Request::GiveUp { why }).await.ok();
    }
}

impl Turn<'_> {
    /// Calls.
    pub(super) fn call(self, target: RemoteId, call: MasterCall) -> Answer {
        let (answer, receiver) = oneshot::channel();
        self.0.send(Request::Call { target, call, answer });
        Answer(receiver)
    }
}

impl Answer {
    /// Waits for it. Cancel-safe: it can be waited for again until it was returned.
    pub(super) async fn wait(&mut self) -> Result<Value, Fault> {
        match (&mut self.0).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(CallFailure::Raised(failure))) => Err(Fault::Failed(failure)),
            Ok(Err(CallFailure::Unreadable(error))) => {
                let text = format!("the master's answer is not read: {error}");
                Err(Fault::Failed(Failure::new("twisted.spread.pb.Error", text)))
            }
            Ok(Err(CallFailure::ConnectionLost)) | Err(_) => Err(Fault::Lost),
        }
    }
}

/// Requests that wait for the session: what one command says waits behind those of others only this long.
const REQUESTS_MAX: usize = 16;
