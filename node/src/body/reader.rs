//! The reading end of a body.

use bytes::Bytes;
use runnel_codec::BodyEnd;
use runnel_queue::DeliveryPart;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::{BodyError, Whose};
use crate::engine::{Release, Releases, Request};

/// Reads a body. Dropping it lets go of what still comes; the command goes on.
#[derive(Debug)]
pub struct BodyReader {
    whose: Whose,
    /// Its bound is the credit that this side grants: what is here and not taken is within one window.
    parts: mpsc::UnboundedReceiver<DeliveryPart>,
    inbox: mpsc::Sender<Request>,
    releases: Releases,
    /// Boxed: it is large, and whoever may have a reader is moved about.
    hasher: Box<blake3::Hasher>,
    bytes: u64,
    /// Bytes that were taken and not reported.
    unreported: u64,
    /// It comes only once somebody reads it, and nobody has yet.
    is_unwanted: bool,
    end: Option<Result<(), BodyError>>,
}

impl BodyReader {
    /// Makes a reader of what comes through `parts`.
    pub(crate) fn new(
        whose: Whose,
        parts: mpsc::UnboundedReceiver<DeliveryPart>,
        inbox: mpsc::Sender<Request>,
        releases: Releases,
    ) -> Self {
        let hasher = Box::new(blake3::Hasher::new());
        Self { whose, parts, inbox, releases, hasher, bytes: 0, unreported: 0, is_unwanted: false, end: None }
    }

    /// Makes it one of a body that comes once it is read.
    pub(crate) fn on_demand(mut self) -> Self {
        self.is_unwanted = true;
        self
    }

    /// Returns the next bytes, or `None` once the body is complete, and its length and hash are right.
    ///
    /// # Errors
    ///
    /// [`BodyError::Aborted`] when the other end has given it up or the command has ended before it,
    /// [`BodyError::Broken`] when it is not what its end says. The error comes again at each further call.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(end) = self.end {
            return end.map(|()| None);
        }
        if self.is_unwanted {
            let request = Request::BodyWanted { whose: self.whose.clone() };
            // If the engine is gone, the parts end as well.
            self.is_unwanted = self.inbox.send(request).await.is_err();
        }
        if self.unreported >= REPORT_BYTES {
            self.report().await;
        }
        let part = match self.parts.try_recv() {
            Ok(part) => Some(part),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                // Whoever writes may wait for the last few bytes to be taken.
                self.report().await;
                self.parts.recv().await
            }
        };
        match part {
            Some(DeliveryPart::Piece(content)) => {
                self.hasher.update(&content);
                self.bytes += content.len() as u64;
                self.unreported += content.len() as u64;
                Ok(Some(content))
            }
            Some(DeliveryPart::End(end)) => {
                self.report().await;
                self.finish(self.check(end))
            }
            Some(DeliveryPart::Aborted) | None => self.finish(Err(BodyError::Aborted)),
        }
    }

    fn finish(&mut self, end: Result<(), BodyError>) -> Result<Option<Bytes>, BodyError> {
        self.end = Some(end);
        end.map(|()| None)
    }

    fn check(&self, end: BodyEnd) -> Result<(), BodyError> {
        let is_right = end.bytes == self.bytes && end.hash == *self.hasher.finalize().as_bytes();
        if is_right { Ok(()) } else { Err(BodyError::Broken) }
    }

    /// Tells the engine what was taken, so that more may come.
    async fn report(&mut self) {
        if self.unreported == 0 {
            return;
        }
        let request = Request::BodyTaken { whose: self.whose.clone(), bytes: self.unreported };
        // If the engine is gone, the parts end as well.
        if self.inbox.send(request).await.is_ok() {
            self.unreported = 0;
        }
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.releases.send(Release::BodyReader(self.whose.clone())).ok();
        }
    }
}

/// Bytes taken after which the engine is told while more is there.
const REPORT_BYTES: u64 = 64 << 10;
