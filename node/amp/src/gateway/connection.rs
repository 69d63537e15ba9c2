//! One program's connection: the task that has its session, and its jobs.

use std::collections::{BTreeMap, HashMap};
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use runnel_client::Client;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::config::GatewayConfig;
use super::jobs::{FollowedIds, Worker};
use super::refusal::Refusal;
use super::request::Request;
use super::speaker::{Speaker, Word};
use super::upload::{self, Part, Target, Upload};
use crate::amp_box::AmpBox;
use crate::session::{AskFailure, AskId, Called, CloseReason, Event, SendError, Session};

/// One connection at work. Dropping it ends its jobs; commands go on at the node.
#[derive(Debug)]
pub(super) struct Connection {
    session: Session,
    worker: Worker,
    words: mpsc::Receiver<Word>,
    jobs: JoinSet<()>,
    replies: HashMap<AskId, oneshot::Sender<Result<AmpBox, AskFailure>>>,
    /// Bodies that are being sent, by the id of their command or the name that they got here.
    uploads: BTreeMap<String, Upload>,
    /// Bodies that were opened so far.
    opened: u64,
    /// What is being written.
    output: Bytes,
}

impl Connection {
    pub(super) fn new(client: Client, config: GatewayConfig) -> Self {
        let (speaker, words) = Speaker::new(&config.limits);
        Self {
            session: Session::new(config.limits.clone()),
            worker: Worker { client, speaker, config, followed: FollowedIds::default() },
            words,
            jobs: JoinSet::new(),
            replies: HashMap::new(),
            uploads: BTreeMap::new(),
            opened: 0,
            output: Bytes::new(),
        }
    }

    /// Serves a program until its connection ends, or `stop` fires.
    pub(super) async fn serve(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        stop: CancellationToken,
    ) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = BytesMut::new();
        loop {
            if let Some(reason) = self.handle_events() {
                return report(&reason);
            }
            if self.output.is_empty() {
                self.output = self.session.poll_transmit().unwrap_or_default();
            }
            input.reserve(READ_BYTES);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                written = writer.write(&self.output), if !self.output.is_empty() => self.handle_written(written),
                Some(ended) = self.jobs.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        error!(%error, "a job of a connection has panicked");
                    }
                }
                Some(word) = self.words.recv(), if self.has_room() => self.speak(word),
                read = reader.read_buf(&mut input), if self.session.wants_bytes() => {
                    self.handle_read(read, &mut input);
                }
            }
        }
    }

    /// Whether what jobs say can be taken: asks have their places, so bytes alone can be too many.
    fn has_room(&self) -> bool {
        !matches!(self.session.check_room(), Err(SendError::OutputFull { .. }))
    }

    fn handle_written(&mut self, written: io::Result<usize>) {
        match written {
            Ok(len) if len > 0 => self.output.advance(len),
            _ => self.session.handle_end(),
        }
    }

    fn handle_read(&mut self, read: io::Result<usize>, input: &mut BytesMut) {
        match read {
            Ok(len) if len > 0 => self.session.handle_bytes(&input.split()),
            _ => self.session.handle_end(),
        }
    }

    /// Takes what happened. Returns why the connection ends, if it does.
    fn handle_events(&mut self) -> Option<CloseReason> {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Called(called) => self.handle_call(called),
                Event::Answered { ask, outcome } => {
                    if let Some(reply) = self.replies.remove(&ask) {
                        // A job that does not wait any more has been told enough.
                        reply.send(outcome).ok();
                    }
                }
                Event::Closed(reason) => return Some(reason),
            }
        }
        None
    }

    fn handle_call(&mut self, called: Called) {
        let Called { request, command, arguments, .. } = called;
        let refused = match Request::read(&command, arguments) {
            Ok(Request::Open) => self.open().map(|id| {
                self.speak(Word::Answer { request, answer: Ok(AmpBox::new().with("id", id)) });
            }),
            Ok(Request::Write { id, data }) => self.upload(&id, Part::Piece { request, data }),
            Ok(Request::Close { id }) => {
                let closed = self.upload(&id, Part::End { request });
                self.uploads.remove(&id);
                closed
            }
            Ok(asked) => {
                self.jobs.spawn(self.worker.clone().run(request, asked));
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = refused {
            self.speak(Word::Answer { request, answer: Err(refusal) });
        }
    }

    /// Begins a body that is left at the node, and returns its name.
    fn open(&mut self) -> Result<String, Refusal> {
        let id = format!("{OPENED}{}", self.opened + 1);
        self.begin(&id, Target::Left)?;
        self.opened += 1;
        Ok(id)
    }

    /// Takes a part of a body. That of a command begins with its first part.
    fn upload(&mut self, id: &str, part: Part) -> Result<(), Refusal> {
        if !self.uploads.contains_key(id) {
            if id.starts_with(OPENED) {
                return Err(upload::ended());
            }
            self.begin(id, Target::Command(id.to_owned()))?;
        }
        let upload = self.uploads.get(id).ok_or_else(upload::ended)?;
        upload.push(part).map_err(|_| {
            self.uploads.remove(id);
            upload::ended()
        })
    }

    fn begin(&mut self, id: &str, target: Target) -> Result<(), Refusal> {
        let max = self.worker.config.uploads_max;
        if self.uploads.len() >= max {
            return Err(Refusal::busy("bodies that are being sent", max));
        }
        let (upload, parts) = Upload::new(self.worker.config.limits.requests_max);
        let Worker { client, speaker, .. } = self.worker.clone();
        self.jobs.spawn(upload::send(client, speaker, target, parts));
        self.uploads.insert(id.to_owned(), upload);
        Ok(())
    }

    /// Says what a job has to say.
    fn speak(&mut self, word: Word) {
        match word {
            Word::Answer { request, answer } => {
                let refused = match answer {
                    Ok(answer) => match self.session.answer(request, answer) {
                        Err(SendError::Encode(error)) => Err(Refusal::too_large(&error)),
                        // Otherwise nobody waits for it any more.
                        _ => Ok(()),
                    },
                    Err(refusal) => Err(refusal),
                };
                if let Err(Refusal { code, description }) = refused {
                    self.session.fail(request, code.into_owned(), &description).ok();
                }
            }
            Word::Ask { command, arguments, reply } => match self.session.ask(command, arguments) {
                Ok(ask) => drop(self.replies.insert(ask, reply)),
                // Without its answer the job knows that it was not asked.
                Err(error) => warn!(command, %error, "a program cannot be asked"),
            },
        }
    }
}

fn report(reason: &CloseReason) {
    match reason {
        CloseReason::Ended => debug!("a program has left"),
        reason => {
            let cause = std::error::Error::source(reason).map(ToString::to_string).unwrap_or_default();
            info!(%reason, cause, "the connection of a program is ended");
        }
    }
}

/// What the names of opened bodies begin with: no id of a command does, since these have dots.
const OPENED: &str = "body-";

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;
