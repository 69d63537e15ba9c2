//! What a command tells the master, in order: gathered while the master is busy, and held back when it is too much.

use std::collections::VecDeque;

use super::fault::Fault;
use super::master::{Answer, Master};
use super::text::cut;
use crate::ids::RemoteId;
use crate::worker::{MasterCall, Update};

/// The updates of one command on their way to the master's object.
///
/// One call is under way at a time. What is said meanwhile goes with the next: short pieces that come one by one cost the
/// master little, and a piece that comes alone goes at once.
#[derive(Debug)]
pub(super) struct Report {
    master: Master,
    sink: RemoteId,
    waiting: VecDeque<Update>,
    waiting_bytes: usize,
    bytes_max: usize,
    under_way: Option<Answer>,
}

impl Report {
    /// Makes one that holds about `bytes_max` bytes.
    pub(super) fn new(master: Master, sink: RemoteId, bytes_max: usize) -> Self {
        let waiting = VecDeque::new();
        Self { master, sink, waiting, waiting_bytes: 0, bytes_max, under_way: None }
    }

    /// Takes an update. It is kept, whether there is room or not.
    pub(super) fn push(&mut self, update: Update) {
        self.waiting_bytes += bytes_of(&update);
        for update in pieces_of(update) {
            let is_joined = self.waiting.back_mut().is_some_and(|last| joins(last, &update));
            if !is_joined {
                self.waiting.push_back(update);
            }
        }
    }

    /// Returns whether more should be pushed.
    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes < self.bytes_max
    }

    /// Brings the updates on their way. Returns when there is room for more, or nothing left: then it waits for ever.
    ///
    /// Cancel-safe: it goes on where it was.
    pub(super) async fn progress(&mut self) -> Result<(), Fault> {
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
        self.under_way = Some(turn.call(self.sink, call));
        Ok(())
    }

    /// Waits until the master has taken everything.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        while self.under_way.is_some() || !self.waiting.is_empty() {
            self.progress().await?;
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

/// Appends a text to one of the same kind, if both together are no more than one piece.
fn joins(last: &mut Update, update: &Update) -> bool {
    let (last, text) = match (last, update) {
        (Update::Stdout(last), Update::Stdout(text)) | (Update::Stderr(last), Update::Stderr(text)) => {
            (last, text)
        }
        (Update::Log { name: last_name, text: last }, Update::Log { name, text }) if last_name == name => {
            (last, text)
        }
        _ => return false,
    };
    let fits = last.len() + text.len() <= PIECE_BYTES_MAX;
    if fits {
        last.push_str(text);
    }
    fits
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

/// Longest piece of text, in bytes: a tenth of what a master takes.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// About the most that one call brings, in bytes.
const BATCH_BYTES_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn stdout(len: usize) -> Update {
        Update::Stdout("x".repeat(len))
    }

    fn report() -> Report {
        Report::new(Master::new().0, RemoteId::from_wire(1), 1000)
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
    fn a_long_text_goes_in_pieces_of_which_a_call_has_a_few() {
        let mut report = report();
        report.push(stdout(5 * PIECE_BYTES_MAX / 2));
        assert!(!report.has_room());
        let lens = |updates: &[Update]| updates.iter().map(bytes_of).sum::<usize>();
        let first = take_batch(&mut report.waiting);
        assert_eq!((first.len(), lens(&first)), (1, PIECE_BYTES_MAX + UPDATE_BYTES));
        let rest = [take_batch(&mut report.waiting), take_batch(&mut report.waiting)].concat();
        assert_eq!(lens(&rest), 3 * PIECE_BYTES_MAX / 2 + 2 * UPDATE_BYTES);
        assert!(report.waiting.is_empty());
    }
}
