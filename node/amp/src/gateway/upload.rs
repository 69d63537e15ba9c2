//! A body on its way from a program to the node: the content of one request, a `Write` at a time.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use runnel_client::api::Left;
use runnel_client::{Client, ClientError, RequestBody, streamed};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::refusal::Refusal;
use super::speaker::Speaker;
use crate::amp_box::AmpBox;
use crate::session::RequestId;

/// Where a body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a command that was submitted with `has_body`.
    Command(String),
    /// It is left at the node, for a durable command.
    Left,
}

/// What a program says of a body.
#[derive(Debug)]
pub(super) enum Part {
    Piece { request: RequestId, data: Bytes },
    End { request: RequestId },
}

/// A body that is being sent.
#[derive(Debug)]
pub(super) struct Upload {
    parts: mpsc::Sender<Part>,
}

/// What goes to the node.
enum Piece {
    Data(Bytes),
    End,
}

impl Upload {
    /// Begins to send. `parts_max` is at least the number of commands that a program may have open, so that there is always
    /// room for one more part.
    pub(super) fn new(parts_max: usize) -> (Self, mpsc::Receiver<Part>) {
        let (parts, come) = mpsc::channel(parts_max.max(1));
        (Self { parts }, come)
    }

    /// Adds a part behind those before it; gives it back if the sending has ended.
    pub(super) fn push(&self, part: Part) -> Result<(), Part> {
        self.parts.try_send(part).map_err(|error| match error {
            mpsc::error::TrySendError::Full(part) | mpsc::error::TrySendError::Closed(part) => part,
        })
    }
}

impl Part {
    pub(super) fn request(&self) -> RequestId {
        match self {
            Self::Piece { request, .. } | Self::End { request } => *request,
        }
    }
}

/// Sends what comes, answering each part once the node has taken it. Without an end the request breaks off, so that nobody
/// takes what came for the whole.
pub(super) async fn send(client: Client, speaker: Speaker, target: Target, mut parts: mpsc::Receiver<Part>) {
    let (pieces, come) = mpsc::channel(1);
    let mut asked = AbortOnDropHandle::new(tokio::spawn(request(client, target, body(come))));
    while let Some(part) = parts.recv().await {
        let request = part.request();
        let (piece, is_end) = match part {
            Part::Piece { data, .. } => (Piece::Data(data), false),
            Part::End { .. } => (Piece::End, true),
        };
        let is_taken = pieces.send(piece).await.is_ok();
        if is_taken && !is_end {
            speaker.answer(request, Ok(AmpBox::new())).await;
            continue;
        }
        // The node takes no more: it has all, or says why not.
        let answer = (&mut asked)
            .await
            .unwrap_or_else(|_| Err(Refusal::new("no-daemon", "the sending was broken off")));
        let answer = if is_end { answer } else { answer.and_then(|_| Err(ended())) };
        parts.close();
        let refusal = answer.as_ref().err().cloned().unwrap_or_else(ended);
        speaker.answer(request, answer).await;
        while let Some(part) = parts.recv().await {
            speaker.answer(part.request(), Err(refusal.clone())).await;
        }
    }
}

/// Says that a body goes nowhere.
pub(super) fn ended() -> Refusal {
    Refusal::new("no-body", "no body of this id is being sent: it has ended, or was not begun")
}

async fn request(client: Client, target: Target, body: RequestBody) -> Result<AmpBox, Refusal> {
    let answered = match target {
        Target::Command(id) => {
            client.put(&format!("/v1/commands/{id}/body"), body).await.map(|()| AmpBox::new())
        }
        Target::Left => {
            let left: Result<Left, ClientError> = client.post_stream("/v1/bodies", body).await;
            left.map(|left| AmpBox::new().with("body", left.body))
        }
    };
    answered.map_err(Refusal::from)
}

fn body(pieces: mpsc::Receiver<Piece>) -> RequestBody {
    streamed(stream::try_unfold(pieces, async |mut pieces: mpsc::Receiver<Piece>| {
        match pieces.recv().await {
            Some(Piece::Data(data)) => Ok(Some((data, pieces))),
            Some(Piece::End) => Ok(None),
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }))
}
