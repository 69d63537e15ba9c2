//! What a session needs of the protocol that its master speaks, and what both say to each other whichever it is.

use std::io;

use tokio_util::sync::CancellationToken;

use crate::broker::CallFailure;
use crate::ids::{CallId, RemoteId, RequestId};
use crate::jelly::{Failure, Value};
use crate::worker::{MasterCall, MasterCommandId, Start};

/// One connection to a master, in some protocol.
pub(super) trait Protocol {
    /// Reads and writes until something happens. After the end it says so again.
    ///
    /// Cancel-safe: what was read and not told, or not written, stays here.
    fn next_event(&mut self) -> impl Future<Output = Event> + Send;

    /// Returns whether there is room for another call.
    fn has_room(&self) -> bool;

    /// Calls an object of the master's. What comes of it is an event. Without a number nothing has to be said yet, and that
    /// is as good as an answer.
    fn call(&mut self, target: RemoteId, call: MasterCall) -> Result<Option<CallId>, NotSent>;

    /// Lets go of an object of the master's.
    fn release(&mut self, remote: RemoteId);

    /// Answers what the master has asked.
    fn answer(&mut self, request: RequestId, result: Result<Value, Failure>);

    /// Writes what waits, as far as that can be done, and ends the connection.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// Returns what masters can do over this protocol.
    fn abilities(&self) -> Abilities;
}

/// What a master can do over a protocol beside what any can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Its files can be read.
    pub(super) reads_files: bool,
    /// It sets the times of files that it has got.
    pub(super) sets_times: bool,
}

/// Something that a session has to know.
#[derive(Debug)]
pub(super) enum Event {
    /// The master has let the worker in. It may have asked for something before.
    LoggedIn,
    /// The master wants something, and in most cases an answer.
    Asked { request: Option<RequestId>, ask: Ask },
    /// The master has answered, or never will.
    Answered { call: CallId, outcome: Result<Value, CallFailure> },
    /// The connection has ended.
    Closed(Closing),
}

/// What a master wants of a session.
#[derive(Debug)]
pub(super) enum Ask {
    /// That a text is printed, by which it learns whether the worker lives.
    Print { message: String },
    /// What the worker is.
    Info,
    /// Folders that are there. The answer is made already.
    Folders { folders: Vec<String>, answer: Value },
    /// A command that is to be started.
    Start(Box<Job>),
    /// Nothing but an answer.
    Nothing,
    /// That the worker ends.
    ShutDown,
}

/// A command of the master's, with what it belongs to.
#[derive(Debug)]
pub(super) struct Job {
    /// For which builder, if that is known.
    pub(super) builder: String,
    /// From where its paths count.
    pub(super) folder: String,
    pub(super) start: Start,
    pub(super) running: Running,
    /// What has to have ended before.
    pub(super) before: Option<Running>,
}

/// A command that was started and may have ended.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) id: MasterCommandId,
    /// Makes it end.
    pub(super) interrupted: CancellationToken,
    /// It has ended.
    pub(super) ended: CancellationToken,
}

/// A call was not sent, for this reason.
#[derive(Debug, thiserror::Error)]
#[error("{what} was not sent to the master: {why}")]
pub(super) struct NotSent {
    pub(super) what: &'static str,
    pub(super) why: String,
}

/// Why a connection has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The master does not know the worker or its password.
    Refused,
    /// For another reason.
    Ended { why: String },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The master does not know the worker or its password.
    #[error("the master refuses this worker")]
    Refused,
    /// The master cannot be reached, or does not speak this protocol.
    #[error("the master cannot be reached: {0}")]
    Master(#[from] io::Error),
}

impl Running {
    pub(super) fn new(id: MasterCommandId) -> Self {
        Self { id, interrupted: CancellationToken::new(), ended: CancellationToken::new() }
    }
}
