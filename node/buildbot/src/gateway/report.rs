//! What a command tells the master, in order: small pieces together, and held back when it is too much.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::fault::Fault;
use super::master::{Answer, Master};
use super::text::cut;
use crate::ids::RemoteId;
use crate::worker::{MasterCall, Update};

/// The updates of one command on their way to the master's object.
///
/// A master answers a call at once, and then writes each piece into its database: many small ones cost it several times as
/// much as a few. So what is said soon after a call, or while one is under way, waits until an interval is over or there is
/// enough for the next one. What comes alone goes at once.
#[derive(Debug)]
pub(super) struct Report {
    master: Master,
    sink: RemoteId,
    waiting: VecDeque<Update>,
    waiting_bytes: usize,
    limits: OutputLimits,
    under_way: Option<Answer>,
    /// Before that only as much as a call brings goes.
    not_before: Option<Instant>,
}

/// What the output of one command is kept to.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputLimits {
    /// How much waits before the program is held back, in bytes.
    pub(super) bytes_max: usize,
    /// Between two calls that bring less than they might.
    pub(super) interval: Duration,
}

impl Report {
    pub(super) fn new(master: Master, sink: RemoteId, limits: OutputLimits) -> Self {
        let waiting = VecDeque::new();
        Self { master, sink, waiting, waiting_bytes: 0, limits, under_way: None, not_before: None }
    }

    /// Takes an update. It is kept, whether there is room or not.
    pub(super) fn push(&mut self, update: Update) {
        self.waiting_bytes += bytes_of(&update);
        for update in pieces_of(update) {
            let rest = match self.waiting.back_mut() {
                Some(last) => join(last, update),
                None => Some(update),
            };
            self.waiting.extend(rest);
        }
    }

    /// Returns whether more should be pushed.
    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes < self.limits.bytes_max
    }

    /// Brings the updates on their way, when it is time. Returns when there is room for more, or nothing left: then it waits
    /// for ever.
    ///
    /// Cancel-safe: it goes on where it was.
    pub(super) async fn progress(&mut self) -> Result<(), Fault> {
        if self.under_way.is_none()
            && let Some(not_before) = self.not_before
            && self.waiting_bytes < BATCH_BYTES_MAX.min(self.limits.bytes_max)
            && !self.waiting.is_empty()
        {
            sleep_until(not_before).await;
        }
        self.advance().await
    }

    /// Brings the updates on their way, one step.
    async fn advance(&mut self) -> Result<(), Fault> {
        if let Some(answer) = &mut self.under_way {
            let answered = answer.wait().await;
            self.under_way = None;
            return answered.map(|_| ());
        }
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let turn = self.master.turn().await?;
        let call = MasterCall::Update(take_batch(&mut self.waiting));
        self.waiting_bytes = self.waiting.iter().map(bytes_of).sum();
        self.not_before = Some(Instant::now() + self.limits.interval);
        self.under_way = Some(turn.call(self.sink, call));
        Ok(())
    }

    /// Waits until the master has taken everything.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        while self.under_way.is_some() || !self.waiting.is_empty() {
            self.advance().await?;
        }
        Ok(())
    }
}

/// Takes as many updates as go in one call, one at least.
fn take_batch(waiting: &mut VecDeque<Update>) -> Vec<Update> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(update) = waiting.front() {
        bytes += bytes_of(update);
        if !batch.is_empty() && bytes > BATCH_BYTES_MAX {
            break;
        }
        batch.extend(waiting.pop_front());
    }
    batch
}

/// Appends a text to one of the same kind, as far as both together are one piece. Returns what does not go with it.
fn join(last: &mut Update, mut update: Update) -> Option<Update> {
    let (last, text) = match (last, &mut update) {
        (Update::Stdout(last), Update::Stdout(text)) | (Update::Stderr(last), Update::Stderr(text)) => {
            (last, text)
        }
        (Update::Log { name: last_name, text: last }, Update::Log { name, text }) if last_name == name => {
            (last, text)
        }
        _ => return Some(update),
    };
    let fits = text.floor_char_boundary(PIECE_BYTES_MAX.saturating_sub(last.len()));
    last.extend(text.drain(..fits));
    (!text.is_empty()).then_some(update)
}

/// Cuts an update that is too long for one message.
fn pieces_of(update: Update) -> Vec<Update> {
    let make: fn(&str, &str) -> Update = match update {
        Update::Stdout(_) => |_, text| Update::Stdout(text.to_owned()),
        Update::Stderr(_) => |_, text| Update::Stderr(text.to_owned()),
        Update::Header(_) => |_, text| Update::Header(text.to_owned()),
        Update::Log { .. } => |name, text| Update::Log { name: name.to_owned(), text: text.to_owned() },
        _ => return vec![update],
    };
    match &update {
        Update::Stdout(text) | Update::Stderr(text) | Update::Header(text)
            if text.len() > PIECE_BYTES_MAX =>
        {
            cut(text, PIECE_BYTES_MAX).map(|piece| make("", piece)).collect()
        }
        Update::Log { name, text } if text.len() > PIECE_BYTES_MAX => {
            cut(text, PIECE_BYTES_MAX).map(|piece| make(name, piece)).collect()
        }
        _ => vec![update],
    }
}

/// Returns about how much memory an update takes.
fn bytes_of(update: &Update) -> usize {
    let content = match update {
        Update::Stdout(text) | Update::Stderr(text) | Update::Header(text) => text.len(),
        Update::Log { name, text } => name.len() + text.len(),
        Update::Files(files) => files.iter().map(|file| file.len() + UPDATE_BYTES).sum(),
        Update::ReturnCode(_) | Update::Elapsed(_) | Update::Failure(_) | Update::Status(_) => 0,
    };
    content + UPDATE_BYTES
}

/// What an update takes without its content.
const UPDATE_BYTES: usize = 64;

/// Longest piece of text, in bytes: a fifth of what a master takes.
const PIECE_BYTES_MAX: usize = 128 << 10;

/// About the most that one call brings, in bytes.
const BATCH_BYTES_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::gateway::master::Request;
    use crate::jelly::Value;

    fn stdout(len: usize) -> Update {
        Update::Stdout("x".repeat(len))
    }

    const INTERVAL: Duration = Duration::from_millis(100);

    fn report() -> Report {
        to(Master::new().0)
    }

    fn to(master: Master) -> Report {
        let limits = OutputLimits { bytes_max: 1 << 20, interval: INTERVAL };
        Report::new(master, RemoteId::from_wire(1), limits)
    }

    #[test]
    fn neighbours_of_one_stream_are_joined_and_the_order_is_kept() {
        let mut report = report();
        for update in [stdout(1), stdout(2), Update::Stderr("e".to_owned()), stdout(3)] {
            report.push(update);
        }
        assert_eq!(report.waiting, [stdout(3), Update::Stderr("e".to_owned()), stdout(3)]);
    }

    #[test]
    fn a_long_text_goes_in_whole_pieces_cut_at_characters() {
        let mut report = report();
        report.push(stdout(PIECE_BYTES_MAX - 1));
        report.push(Update::Stdout("ä".repeat(PIECE_BYTES_MAX)));
        let lens: Vec<_> = report.waiting.iter().map(|update| bytes_of(update) - UPDATE_BYTES).collect();
        assert_eq!(lens, [PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX]);
        let batches: Vec<_> = std::iter::repeat_with(|| take_batch(&mut report.waiting)).take(3).collect();
        assert!(batches.iter().all(|batch| batch.len() == 1));
        assert!(report.waiting.is_empty());
    }

    /// Answers each call, and notes when it came and how much it brought.
    async fn note(mut requests: mpsc::Receiver<Request>) -> Vec<(Duration, usize)> {
        let (began_at, mut calls) = (Instant::now(), Vec::new());
        while let Some(request) = requests.recv().await {
            let Request::Call { call: MasterCall::Update(updates), answer, .. } = request else {
                panic!("{request:?}")
            };
            answer.send(Ok(Value::None)).unwrap();
            calls.push((began_at.elapsed(), updates.iter().map(|u| bytes_of(u) - UPDATE_BYTES).sum()));
        }
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn small_pieces_in_a_row_go_together_and_one_alone_or_enough_at_once() {
        let (master, requests) = Master::new();
        let calls = tokio::spawn(note(requests));
        let mut report = to(master);
        // Every 10 ms one; then much at once, and the end.
        for _ in 0..25 {
            report.push(stdout(10));
            let moment = tokio::time::sleep(Duration::from_millis(10));
            let progress = async {
                loop {
                    report.progress().await.unwrap();
                }
            };
            tokio::select! { () = progress => {} () = moment => {} }
        }
        report.push(stdout(BATCH_BYTES_MAX));
        report.progress().await.unwrap();
        report.flush().await.unwrap();
        drop(report);
        let calls = calls.await.unwrap();
        let ms: Vec<_> = calls.iter().map(|(at, _)| at.as_millis() / 10 * 10).collect();
        assert_eq!(ms, [0, 100, 200, 250, 250], "{calls:?}");
        assert_eq!(calls.iter().map(|(_, bytes)| bytes).sum::<usize>(), 250 + BATCH_BYTES_MAX);
    }
}
