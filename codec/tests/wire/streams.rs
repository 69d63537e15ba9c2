//! Any value of the wire, any stream that follows the rules, and how to cut one into chunks.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use runnel_codec::*;

/// Small limits, so that short inputs reach them.
pub(crate) const LIMITS: Limits = Limits {
    args_bytes_max: 600,
    payload_bytes_max: 4096,
    piece_bytes_max: 512,
    update_bytes_max: 256,
    result_bytes_max: 2048,
    control_bytes_max: 1024,
};

/// The longest frame that [`LIMITS`] allow, in bytes of content.
pub(crate) const FRAME_BYTES_MAX: usize = LIMITS.payload_bytes_max;

/// Any content of up to `max` bytes.
pub(crate) fn content(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

/// Lengths of chunks, repeated until the stream is used up.
pub(crate) fn chunk_lens() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(1..8_usize, 1..20), vec(1..1500_usize, 1..20), Just(vec![usize::MAX])]
}

/// Cuts a stream into chunks.
pub(crate) fn cut(stream: &Bytes, lens: &[usize]) -> Vec<Bytes> {
    let mut rest = stream.clone();
    let mut chunks = Vec::new();
    for len in lens.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunks.push(rest.split_to(rest.len().min(*len)));
    }
    chunks
}

pub(crate) fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch::from_random)
}

fn seq() -> impl Strategy<Value = Seq> {
    (1..=u64::MAX).prop_map(|number| Seq::from_wire(number).expect("not 0"))
}

fn link() -> impl Strategy<Value = LinkNumber> {
    (1..=u64::MAX).prop_map(|number| LinkNumber::from_wire(number).expect("not 0"))
}

fn key() -> impl Strategy<Value = CommandKey> {
    (epoch(), seq()).prop_map(|(epoch, seq)| CommandKey { epoch, seq })
}

fn millis() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_millis)
}

fn command_name() -> impl Strategy<Value = CommandName> {
    "[a-z0-9._-]{1,40}/[1-9][0-9]{0,4}".prop_map(|name| name.parse().expect("a valid name"))
}

/// Any head within the limits, with a payload of at most `payload_bytes_max`.
pub(crate) fn head(payload_bytes_max: u32) -> impl Strategy<Value = Head> {
    let flags = any::<[bool; 6]>();
    let policy = select(vec![UpdatePolicy::Follow, UpdatePolicy::Store, UpdatePolicy::Discard]);
    let first = (key(), select(Class::ALL.to_vec()), command_name(), flags, policy, option::of(millis()));
    let payload_bytes = prop_oneof![Just(0), 0..=payload_bytes_max];
    let second = (any::<[u64; 4]>(), payload_bytes, content(LIMITS.args_bytes_max));
    (first, second).prop_map(|(first, second)| {
        let (key, class, name, flags, updates, deadline_remaining) = first;
        let (offsets, payload_bytes, args) = second;
        Head {
            key,
            class,
            name,
            idempotent: flags[0],
            cancelled: flags[1],
            resent: flags[2],
            started: flags[4],
            early: flags[5],
            updates,
            deadline_remaining,
            updates_received: offsets[0],
            result_body_received: offsets[1],
            updates_credit: offsets[2],
            result_body_credit: offsets[3],
            payload_bytes,
            has_body: flags[3],
            args,
        }
    })
}

fn body_end() -> impl Strategy<Value = BodyEnd> {
    (any::<u64>(), any::<[u8; 32]>()).prop_map(|(bytes, hash)| BodyEnd { bytes, hash })
}

fn message() -> impl Strategy<Value = String> {
    "\\PC{0,100}"
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failures = vec![
        FailureKind::Handler,
        FailureKind::Cancelled,
        FailureKind::DeadlineExceeded,
        FailureKind::Panicked,
        FailureKind::BodyBroken,
        FailureKind::BodyChanged,
    ];
    let rejections = vec![RejectionKind::UnknownCommand, RejectionKind::Denied, RejectionKind::BadArguments];
    let unknowns = vec![
        UnknownReason::ReceiverStateLost,
        UnknownReason::HandlerLost,
        UnknownReason::Abandoned,
        UnknownReason::Poisoned,
    ];
    prop_oneof![
        content(LIMITS.result_bytes_max).prop_map(|result| Outcome::Done { result }),
        (select(failures), message()).prop_map(|(kind, message)| Outcome::failed(kind, message)),
        (select(rejections), message()).prop_map(|(kind, message)| Outcome::rejected(kind, message)),
        Just(Outcome::Expired),
        Just(Outcome::Cancelled),
        select(unknowns).prop_map(Outcome::Unknown),
    ]
}

fn last_word() -> impl Strategy<Value = StreamFrame> {
    let scope = select(vec![BusyScope::Peer, BusyScope::Class]);
    prop_oneof![
        (scope, millis()).prop_map(|(scope, retry_after)| StreamFrame::Busy { scope, retry_after }),
        Just(StreamFrame::Stale),
        Just(StreamFrame::Duplicate),
        outcome().prop_map(StreamFrame::Outcome),
    ]
}

/// A last word that fits in a control frame.
fn short_last_word() -> impl Strategy<Value = LastWord> {
    last_word().prop_map(|frame| match LastWord::from_frame(frame).expect("a last word") {
        LastWord::Outcome(Outcome::Done { result }) => {
            LastWord::Outcome(Outcome::Done { result: result.slice(..result.len().min(900)) })
        }
        last => last,
    })
}

fn accepted() -> impl Strategy<Value = StreamFrame> {
    any::<(u64, u64)>()
        .prop_map(|(body_received, body_credit)| StreamFrame::Accepted { body_received, body_credit })
}

/// Any frame of a command's stream, in either direction.
pub(crate) fn stream_frame() -> impl Strategy<Value = StreamFrame> {
    prop_oneof![
        content(LIMITS.payload_bytes_max).prop_map(StreamFrame::Payload),
        content(LIMITS.piece_bytes_max).prop_map(StreamFrame::Body),
        body_end().prop_map(StreamFrame::BodyEnd),
        accepted(),
        Just(StreamFrame::Started),
        (1..4_u64, content(LIMITS.update_bytes_max))
            .prop_map(|(number, content)| StreamFrame::Update { number, content }),
        content(LIMITS.piece_bytes_max).prop_map(StreamFrame::ResultBody),
        body_end().prop_map(StreamFrame::ResultBodyEnd),
        last_word(),
    ]
}

/// A head and the frames that rightly follow it from the command's sender.
pub(crate) fn command_stream() -> impl Strategy<Value = (Head, Vec<StreamFrame>)> {
    let payload = content(LIMITS.payload_bytes_max);
    let pieces = vec(content(LIMITS.piece_bytes_max), 0..6);
    (head(0), payload, pieces, body_end()).prop_map(|(mut head, payload, pieces, end)| {
        let mut frames = Vec::new();
        head.payload_bytes = u32::try_from(payload.len()).expect("within the limits");
        if !payload.is_empty() {
            frames.push(StreamFrame::Payload(payload));
        }
        if head.has_body {
            frames.extend(pieces.into_iter().map(StreamFrame::Body));
            frames.push(StreamFrame::BodyEnd(end));
        }
        (head, frames)
    })
}

/// The messages of a batch.
pub(crate) fn batch() -> impl Strategy<Value = Vec<Head>> {
    (select(Class::ALL.to_vec()), vec(head(0), 1..12)).prop_map(|(class, mut heads)| {
        for head in &mut heads {
            (head.class, head.early, head.has_body) = (class, false, false);
            (head.updates, head.updates_credit, head.result_body_credit) = (UpdatePolicy::Discard, 0, 0);
        }
        heads
    })
}

/// Answers to a head that said `updates_received`, in a right order up to the last.
pub(crate) fn replies(updates_received: u64) -> impl Strategy<Value = Vec<StreamFrame>> {
    let progress = vec((any::<bool>(), content(LIMITS.update_bytes_max)), 0..12);
    let accepted = (accepted(), option::of(body_end()), outcome(), any::<bool>());
    prop_oneof![
        last_word().prop_map(|frame| vec![frame]),
        (accepted, progress).prop_map(move |((accepted, end, outcome, is_started), progress)| {
            let mut frames = vec![accepted];
            let mut number = updates_received;
            if is_started {
                frames.push(StreamFrame::Started);
            }
            for (is_update, content) in progress {
                frames.push(if is_update {
                    number += 1;
                    StreamFrame::Update { number, content }
                } else {
                    StreamFrame::ResultBody(content)
                });
            }
            frames.extend(end.map(StreamFrame::ResultBodyEnd));
            frames.push(StreamFrame::Outcome(outcome));
            frames
        }),
    ]
}

fn settled() -> impl Strategy<Value = Settled> {
    let low = option::of(1..1_000_u64);
    (epoch(), low, vec((2..100_u64, 0..100_u64), 0..4)).prop_map(|(epoch, low, gaps)| {
        let mut end = low.unwrap_or(0);
        let to_seq = |number| Seq::from_wire(number).expect("not 0");
        let ranges = gaps.into_iter().map(|(gap, len)| {
            let first = end + gap;
            end = first + len;
            (to_seq(first), to_seq(end))
        });
        let ranges = ranges.collect();
        Settled { epoch, low: low.map(to_seq), ranges }
    })
}

fn lineage() -> impl Strategy<Value = Lineage> {
    let boots = vec(epoch(), 0..4);
    (any::<u64>(), boots).prop_map(|(processes, boots)| {
        let processes = if boots.is_empty() { 0 } else { processes.max(boots.len() as u64) };
        Lineage::from_parts(processes, boots).expect("as many as there can be")
    })
}

fn reaches() -> impl Strategy<Value = Vec<Reach>> {
    vec((1..100_u64, 1..100_u64), 0..4).prop_map(|steps| {
        let next = |reach: &mut Reach, (process, position)| {
            *reach = Reach { process: reach.process + process, position: reach.position + position };
            Some(*reach)
        };
        steps.into_iter().scan(Reach::default(), next).collect()
    })
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let epochs = (epoch(), vec(option::of(epoch()), 4));
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    let lists = (vec(settled(), 0..4), vec(command_name(), 0..6), lineage(), reaches(), reaches());
    ("[a-z0-9]{1,63}", link(), epochs, numbers, lists).prop_map(|(fleet, link, epochs, numbers, lists)| {
        Hello {
            fleet: fleet.parse().expect("a valid name"),
            link,
            boot: epochs.0,
            store: epochs.1[0],
            receiver: epochs.1[1],
            expected_boot: epochs.1[2],
            expected_receiver: epochs.1[3],
            lineage: lists.2,
            sent: lists.3,
            journaled: lists.4,
            settled: lists.0,
            commands: lists.1,
            features: numbers.0,
            receive_window: numbers.1,
            args_bytes_max: numbers.2,
            payload_bytes_max: numbers.3,
        }
    })
}

/// Any frame of the control stream that either side may write once the link is up.
pub(crate) fn control_frame() -> impl Strategy<Value = ControlFrame> {
    let part = select(vec![Part::Body, Part::Updates, Part::ResultBody]);
    let step = select(vec![Step::Accepted, Step::Started, Step::Done]);
    let reason = select(vec![GoAwayReason::Shutdown, GoAwayReason::Upgrade, GoAwayReason::Pause]);
    prop_oneof![
        Just(ControlFrame::Heartbeat),
        key().prop_map(ControlFrame::Cancel),
        settled().prop_map(ControlFrame::Settled),
        any::<u64>().prop_map(|bytes| ControlFrame::Taken { bytes }),
        any::<(u64, u64)>().prop_map(|(stream, bytes)| ControlFrame::StreamEnded { stream, bytes }),
        (key(), part, any::<u64>()).prop_map(|(key, part, offset)| ControlFrame::Credit {
            key,
            part,
            offset
        }),
        (key(), any::<u64>(), any::<u64>()).prop_map(|(key, updates, result_body)| ControlFrame::Received {
            key,
            updates,
            result_body
        }),
        (reason, millis())
            .prop_map(|(reason, retry_after)| ControlFrame::GoAway(GoAway { reason, retry_after })),
        (step, settled()).prop_map(|(step, Settled { epoch, ranges, .. })| ControlFrame::Reached(Reached {
            step,
            epoch,
            ranges
        })),
        (key(), short_last_word()).prop_map(|(key, last)| ControlFrame::Ended { key, last }),
    ]
}

/// What the dialler rightly writes on the control stream.
pub(crate) fn dialler_frames() -> impl Strategy<Value = Vec<ControlFrame>> {
    let hello = || hello().prop_map(|hello| ControlFrame::Hello(Box::new(hello)));
    let later = vec(prop_oneof![1 => hello().boxed(), 9 => control_frame().boxed()], 0..12);
    (hello(), later).prop_map(|(hello, mut frames)| {
        frames.insert(0, hello);
        frames
    })
}

/// What the acceptor rightly writes on the control stream.
pub(crate) fn acceptor_frames() -> impl Strategy<Value = Vec<ControlFrame>> {
    let answer = |answer| ControlFrame::HelloAnswer(Box::new(answer));
    let refusals = vec(link(), 0..3);
    (refusals, hello(), vec(control_frame(), 0..12)).prop_map(move |(refusals, hello, later)| {
        let refusals = refusals.into_iter().map(|highest| answer(HelloAnswer::TooLow { highest }));
        refusals.chain([answer(HelloAnswer::Welcome(hello))]).chain(later).collect()
    })
}

/// Writes a whole stream of a command's sender.
pub(crate) fn write_command_stream(head: &Head, frames: &[StreamFrame]) -> Bytes {
    let mut out = BytesMut::new();
    encode_head(head, &mut out);
    frames.iter().for_each(|frame| encode_frame(frame, &mut out));
    out.freeze()
}

/// Writes a whole batch.
pub(crate) fn write_batch(messages: &[Head]) -> Bytes {
    let mut out = BytesMut::new();
    encode_stream_kind(StreamKind::Batch, &mut out);
    messages.iter().for_each(|head| encode_message(head, &mut out));
    out.freeze()
}

/// Writes frames of a command's stream.
pub(crate) fn write_frames(frames: &[StreamFrame]) -> Bytes {
    let mut out = BytesMut::new();
    frames.iter().for_each(|frame| encode_frame(frame, &mut out));
    out.freeze()
}

/// Writes frames of the control stream, after its kind if the dialler writes them.
pub(crate) fn write_control(from: ControlSide, frames: &[ControlFrame]) -> Bytes {
    let mut out = BytesMut::new();
    if from == ControlSide::Dialler {
        encode_stream_kind(StreamKind::Control, &mut out);
    }
    frames.iter().for_each(|frame| encode_control(frame, &mut out));
    out.freeze()
}

/// The decoders behind one face, so that one test can feed any of them.
pub(crate) trait Decoder {
    type Item: PartialEq + std::fmt::Debug;
    fn push(&mut self, chunk: Bytes);
    fn next(&mut self) -> Result<Option<Self::Item>, DecodeError>;
    fn finish(&self) -> Result<(), DecodeError>;
    fn buffered_bytes(&self) -> usize;
}

macro_rules! decoders {
    ($($decoder:ty, $item:ty, $next:ident;)*) => {$(
        impl Decoder for $decoder {
            type Item = $item;

            fn push(&mut self, chunk: Bytes) {
                self.push(chunk);
            }

            fn next(&mut self) -> Result<Option<$item>, DecodeError> {
                self.$next()
            }

            fn finish(&self) -> Result<(), DecodeError> {
                self.finish()
            }

            fn buffered_bytes(&self) -> usize {
                self.buffered_bytes()
            }
        }
    )*};
}

decoders! {
    StreamDecoder, StreamItem, next_item;
    CommandStreamDecoder, CommandItem, next_item;
    ReplyDecoder, StreamFrame, next_frame;
    ControlDecoder, ControlFrame, next_frame;
    BatchDecoder, Head, next_message;
}

/// Feeds all chunks and returns what was read, and how it ended.
///
/// # Panics
///
/// When the decoder holds more than the longest frame besides the chunk, does not stay failed, or does not go on.
pub(crate) fn read_all<D: Decoder>(
    decoder: &mut D,
    chunks: impl IntoIterator<Item = Bytes>,
) -> (Vec<D::Item>, Result<(), DecodeError>) {
    let mut items = Vec::new();
    for chunk in chunks {
        let len = chunk.len();
        decoder.push(chunk);
        assert!(decoder.buffered_bytes() <= FRAME_BYTES_MAX + 8 + len);
        let items_max = items.len() + len + 1;
        loop {
            match decoder.next() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(), Err(error), "failed decoders stay failed");
                    assert_eq!(decoder.finish(), Err(error));
                    decoder.push(Bytes::from_static(b"more"));
                    assert_eq!(decoder.buffered_bytes(), 0, "failed decoders hold nothing");
                    return (items, Err(error));
                }
            }
            assert!(items.len() <= items_max, "every item takes at least a byte");
        }
        assert!(decoder.buffered_bytes() <= FRAME_BYTES_MAX + 8, "the chunk is consumed");
    }
    (items, decoder.finish())
}
