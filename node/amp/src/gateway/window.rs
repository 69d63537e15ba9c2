//! Follow-up commands in pieces: no more of them on their way than the program has room for.

use std::collections::VecDeque;

use bytes::Bytes;

use super::config::GatewayConfig;
use super::speaker::{Reply, Speaker};
use crate::amp_box::AmpBox;
use crate::session::{AskFailure, UNHANDLED};
use crate::value::boolean;

/// The asks of one stream that wait for their answers, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    speaker: Speaker,
    piece_bytes: usize,
    asks_max: usize,
    waiting: VecDeque<(Reply, Need)>,
}

/// What it means if the program does not know a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It cannot be told what it asked for.
    Needed,
    /// It does not want to hear of it.
    Optional,
}

impl Window {
    pub(super) fn new(speaker: Speaker, config: &GatewayConfig) -> Self {
        let piece_bytes = config.piece_bytes();
        Self { speaker, piece_bytes, asks_max: config.window.max(1), waiting: VecDeque::new() }
    }

    /// Asks, once the program has answered enough of what it was asked before.
    ///
    /// # Errors
    ///
    /// The program has refused an earlier one, or is gone.
    pub(super) async fn ask(
        &mut self,
        command: &'static str,
        arguments: AmpBox,
        need: Need,
    ) -> Result<(), AskFailure> {
        while self.waiting.len() >= self.asks_max {
            self.wait_for_oldest().await?;
        }
        let reply = self.speaker.ask(command, arguments).await?;
        self.waiting.push_back((reply, need));
        Ok(())
    }

    /// Asks with content of any length, a piece at a time; `more` says whether another follows.
    pub(super) async fn ask_in_pieces(
        &mut self,
        command: &'static str,
        arguments: &AmpBox,
        mut content: Bytes,
        need: Need,
    ) -> Result<(), AskFailure> {
        loop {
            let piece = content.split_to(content.len().min(self.piece_bytes));
            let more = boolean(!content.is_empty());
            let said = arguments.clone().with("data", piece).with("more", more);
            self.ask(command, said, need).await?;
            if content.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns how long a piece may be, in bytes.
    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }

    /// Waits until the program has answered everything.
    pub(super) async fn drain(&mut self) -> Result<(), AskFailure> {
        while !self.waiting.is_empty() {
            self.wait_for_oldest().await?;
        }
        Ok(())
    }

    async fn wait_for_oldest(&mut self) -> Result<(), AskFailure> {
        let Some((reply, need)) = self.waiting.pop_front() else { return Ok(()) };
        match reply.answer().await {
            Ok(_) => Ok(()),
            Err(AskFailure::Refused { code, .. }) if need == Need::Optional && code == UNHANDLED => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}
