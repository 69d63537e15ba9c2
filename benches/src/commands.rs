//! The commands that are measured, and how many bytes each takes on the wire.

use runnel_codec::{
    Class, Command, CommandKey, Epoch, Head, Message, Never, Outcome, Seq, StreamFrame, UpdatePolicy,
    frame_encoded_len, head_encoded_len,
};

/// `bench.echo/1`: gives back the bytes it is called with.
#[derive(Debug)]
pub enum Echo {}

/// `bench.note/1`: a message.
#[derive(Debug)]
pub enum Note {}

/// `bench.bulk/1`: takes a body and says how many bytes it had.
#[derive(Debug)]
pub enum Bulk {}

impl Command for Bulk {
    const NAME: &'static str = "bench.bulk/1";
    type Args = ();
    type Update = Never;
    type Result = u64;
}

impl Command for Echo {
    const NAME: &'static str = "bench.echo/1";
    type Args = Vec<u8>;
    type Update = Never;
    type Result = Vec<u8>;
}

impl Message for Note {
    const NAME: &'static str = "bench.note/1";
    type Args = Vec<u8>;
}

/// Bytes of one command on its stream, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireSizes {
    /// From the sender: the stream's kind and the head.
    pub request: usize,
    /// From the receiver: the outcome. What is said before it of a command that takes longer counts for nothing here.
    pub reply: usize,
}

impl WireSizes {
    /// Returns the bytes of a command with these arguments and this result.
    ///
    /// # Panics
    ///
    /// When they do not encode.
    pub fn of<C: Command>(args: &C::Args, result: &C::Result) -> Self {
        let outcome = Outcome::Done { result: C::encode_result(result).expect("small results encode") };
        Self {
            request: head_encoded_len(&sample_head::<C>(args)),
            reply: frame_encoded_len(&StreamFrame::Outcome(outcome)),
        }
    }
}

/// Returns the head of a first command with these arguments.
///
/// # Panics
///
/// When they do not encode.
#[must_use]
pub fn sample_head<C: Command>(args: &C::Args) -> Head {
    Head {
        key: CommandKey { epoch: Epoch::from_random(u64::MAX), seq: Seq::FIRST },
        class: Class::Normal,
        name: C::name(),
        idempotent: C::IDEMPOTENT,
        cancelled: false,
        resent: false,
        started: false,
        early: false,
        updates: UpdatePolicy::Follow,
        deadline_remaining: None,
        updates_received: 0,
        result_body_received: 0,
        updates_credit: 256 << 10,
        result_body_credit: 0,
        payload_bytes: 0,
        has_body: false,
        args: C::encode_args(args).expect("small arguments encode"),
    }
}
