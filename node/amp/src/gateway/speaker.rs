//! How jobs speak to a program: through the one task that has its connection.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::refusal::Refusal;
use crate::amp_box::AmpBox;
use crate::limits::Limits;
use crate::session::{AskFailure, RequestId};

/// What a job has to say.
#[derive(Debug)]
pub(super) enum Word {
    /// The answer to a command of the program.
    Answer { request: RequestId, answer: Result<AmpBox, Refusal> },
    /// A command that the program is to run.
    Ask { command: &'static str, arguments: AmpBox, reply: oneshot::Sender<Result<AmpBox, AskFailure>> },
}

/// Speaks to one program. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    words: mpsc::Sender<Word>,
    /// As many as asks may be open: the session never refuses one.
    places: Arc<Semaphore>,
}

/// The answer to an ask, as it will come.
#[derive(Debug)]
pub(super) struct Reply {
    answer: oneshot::Receiver<Result<AmpBox, AskFailure>>,
    _place: OwnedSemaphorePermit,
}

impl Speaker {
    /// Makes a speaker and the way on which its words come.
    pub(super) fn new(limits: &Limits) -> (Self, mpsc::Receiver<Word>) {
        let (words, come) = mpsc::channel(WORDS_MAX);
        let places = Arc::new(Semaphore::new(limits.asks_max.clamp(1, Semaphore::MAX_PERMITS)));
        (Self { words, places }, come)
    }

    /// Answers a command of the program.
    pub(super) async fn answer(&self, request: RequestId, answer: Result<AmpBox, Refusal>) {
        // Without a connection nobody waits for it.
        self.words.send(Word::Answer { request, answer }).await.ok();
    }

    /// Asks the program to run a command, once there is room for it.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub(super) async fn ask(&self, command: &'static str, arguments: AmpBox) -> Result<Reply, AskFailure> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| AskFailure::ConnectionLost)?;
        let (reply, answer) = oneshot::channel();
        let word = Word::Ask { command, arguments, reply };
        self.words.send(word).await.map_err(|_| AskFailure::ConnectionLost)?;
        Ok(Reply { answer, _place: place })
    }
}

impl Reply {
    /// Waits for the answer, for as long as the program takes.
    pub(super) async fn answer(self) -> Result<AmpBox, AskFailure> {
        self.answer.await.unwrap_or(Err(AskFailure::ConnectionLost))
    }
}

/// How many words may wait: each may be a box.
const WORDS_MAX: usize = 8;
