//! The end of a link, whoever brings it about.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use quinn::{Connection, ConnectionError};
use runnel_codec::{CloseCode, CloseText};

use crate::close::CloseReason;

/// Whether a connection has ended, and why.
pub(super) struct Ending {
    closed: Pin<Box<dyn Future<Output = ConnectionError> + Send>>,
    /// Why we have just closed it, if we did.
    ours: Option<CloseReason>,
    /// Why it has ended by itself or by the peer: what came before the end is still read.
    found: Option<CloseReason>,
}

impl Ending {
    pub(super) fn of(connection: Connection) -> Self {
        Self { closed: Box::pin(async move { connection.closed().await }), ours: None, found: None }
    }

    /// Closes the connection, unless it has ended. Returns whether that was to be done.
    pub(super) fn close(&mut self, connection: &Connection, code: CloseCode, why: &CloseText) -> bool {
        if self.ours.is_some() || self.found.is_some() {
            return false;
        }
        connection.close(code.to_wire().into(), why.encode().as_bytes());
        self.ours = Some(CloseReason::local(code, &why.text));
        true
    }

    /// Looks whether the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(error) = self.closed.as_mut().poll(cx) {
            // quinn has woken every stream, so that what came before the end is read now.
            self.found = Some(CloseReason::of_connection(&error));
        }
    }

    /// Returns whether the connection was found ended, and nobody was told.
    pub(super) fn is_found(&self) -> bool {
        self.found.is_some()
    }

    /// Returns why we have closed it, if we did: nothing is read any more.
    pub(super) fn take_ours(&mut self) -> Option<CloseReason> {
        self.ours.take()
    }

    /// Returns why it was found ended, to be told when all is read that came before.
    pub(super) fn take_found(&mut self) -> Option<CloseReason> {
        self.found.take()
    }
}
