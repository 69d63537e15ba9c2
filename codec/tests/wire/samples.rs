//! One fixed value of everything on the wire: what the vectors hold and the state tables are tried with.

use std::time::Duration;

use bytes::Bytes;
use runnel_codec::*;

/// The payload of [`stream_frames`].
pub(crate) const PAYLOAD: &[u8] = b"payload";

/// A head that uses every field, and one that uses as little as it can.
pub(crate) fn head() -> (Head, Head) {
    let full = Head {
        key: key(),
        class: Class::High,
        name: "exec/1".parse().expect("a valid name"),
        idempotent: true,
        cancelled: true,
        resent: true,
        started: true,
        early: true,
        updates: UpdatePolicy::Store,
        deadline_remaining: Some(Duration::from_millis(90_000)),
        updates_received: 6,
        result_body_received: 0x1000,
        updates_credit: 0x10_0000,
        result_body_credit: 0x20_0000,
        payload_bytes: 7,
        has_body: true,
        args: Bytes::from_static(b"arguments"),
    };
    let plain = Head {
        key: CommandKey { epoch: Epoch::from_random(1), seq: Seq::FIRST },
        class: Class::Urgent,
        name: "a/1".parse().expect("a valid name"),
        idempotent: false,
        cancelled: false,
        resent: false,
        started: false,
        early: false,
        updates: UpdatePolicy::Follow,
        deadline_remaining: None,
        updates_received: 0,
        result_body_received: 0,
        updates_credit: 0,
        result_body_credit: 0,
        payload_bytes: 0,
        has_body: false,
        args: Bytes::new(),
    };
    (full, plain)
}

/// The heads of a batch: one that says all that a message may, and one that says as little as it can.
pub(crate) fn messages() -> Vec<Head> {
    let (full, plain) = head();
    let nothing_else = |head: Head| Head {
        class: Class::Normal,
        early: false,
        updates: UpdatePolicy::Discard,
        updates_credit: 0,
        result_body_credit: 0,
        payload_bytes: 0,
        has_body: false,
        ..head
    };
    vec![nothing_else(full), nothing_else(plain)]
}

/// Every frame of a command's stream, by name.
pub(crate) fn stream_frames() -> Vec<(&'static str, StreamFrame)> {
    let busy = |scope, millis| StreamFrame::Busy { scope, retry_after: Duration::from_millis(millis) };
    vec![
        ("Payload", StreamFrame::Payload(Bytes::from_static(PAYLOAD))),
        ("Body", StreamFrame::Body(Bytes::from_static(b"piece"))),
        ("BodyEnd", StreamFrame::BodyEnd(body_end())),
        ("Accepted", StreamFrame::Accepted { body_received: 5, body_credit: 0x10_0000 }),
        ("Started", StreamFrame::Started),
        ("Update", StreamFrame::Update { number: 7, content: Bytes::from_static(b"update") }),
        ("ResultBody", StreamFrame::ResultBody(Bytes::from_static(b"piece"))),
        ("ResultBodyEnd", StreamFrame::ResultBodyEnd(body_end())),
        ("Outcome", StreamFrame::Outcome(Outcome::Done { result: Bytes::from_static(b"result") })),
        ("Busy", busy(BusyScope::Class, 250)),
        ("Stale", StreamFrame::Stale),
        ("Duplicate", StreamFrame::Duplicate),
    ]
}

/// Every outcome with every reason, by name.
pub(crate) fn outcomes() -> Vec<(&'static str, Outcome)> {
    let failed = |kind| Outcome::failed(kind, "exit 1");
    let rejected = |kind| Outcome::rejected(kind, "no");
    vec![
        ("Done", Outcome::Done { result: Bytes::new() }),
        ("Failed.Handler", failed(FailureKind::Handler)),
        ("Failed.Cancelled", failed(FailureKind::Cancelled)),
        ("Failed.DeadlineExceeded", failed(FailureKind::DeadlineExceeded)),
        ("Failed.Panicked", failed(FailureKind::Panicked)),
        ("Failed.BodyBroken", failed(FailureKind::BodyBroken)),
        ("Failed.BodyChanged", failed(FailureKind::BodyChanged)),
        ("Rejected.UnknownCommand", rejected(RejectionKind::UnknownCommand)),
        ("Rejected.Denied", rejected(RejectionKind::Denied)),
        ("Rejected.BadArguments", rejected(RejectionKind::BadArguments)),
        ("Expired", Outcome::Expired),
        ("Cancelled", Outcome::Cancelled),
        ("Unknown.ReceiverStateLost", Outcome::Unknown(UnknownReason::ReceiverStateLost)),
        ("Unknown.HandlerLost", Outcome::Unknown(UnknownReason::HandlerLost)),
        ("Unknown.Abandoned", Outcome::Unknown(UnknownReason::Abandoned)),
        ("Unknown.Poisoned", Outcome::Unknown(UnknownReason::Poisoned)),
    ]
}

/// Every frame of the control stream, by name.
pub(crate) fn control_frames() -> Vec<(&'static str, ControlFrame)> {
    let answer = |answer| ControlFrame::HelloAnswer(Box::new(answer));
    let go_away = GoAway { reason: GoAwayReason::Upgrade, retry_after: Duration::from_millis(5_000) };
    let highest = LinkNumber::from_wire(12).expect("not 0");
    let Settled { epoch, ranges, .. } = settled();
    let reached = |step| ControlFrame::Reached(Reached { step, epoch, ranges: ranges.clone() });
    let ended = |last| ControlFrame::Ended { key: key(), last };
    let busy = LastWord::Busy { scope: BusyScope::Peer, retry_after: Duration::from_millis(250) };
    vec![
        ("Hello", ControlFrame::Hello(Box::new(hello()))),
        ("HelloAnswer.Welcome", answer(HelloAnswer::Welcome(hello()))),
        ("HelloAnswer.TooLow", answer(HelloAnswer::TooLow { highest })),
        ("Heartbeat", ControlFrame::Heartbeat),
        ("Cancel", ControlFrame::Cancel(key())),
        ("Settled", ControlFrame::Settled(settled())),
        ("Taken", ControlFrame::Taken { bytes: 0x1234_5678 }),
        ("StreamEnded", ControlFrame::StreamEnded { stream: 8, bytes: 0x4321 }),
        ("Credit", ControlFrame::Credit { key: key(), part: Part::Updates, offset: 0x20_0000 }),
        ("Received", ControlFrame::Received { key: key(), updates: 9, result_body: 0x8000 }),
        ("GoAway", ControlFrame::GoAway(go_away)),
        ("Reached.Accepted", reached(Step::Accepted)),
        ("Reached.Started", reached(Step::Started)),
        ("Reached.Done", reached(Step::Done)),
        ("Ended.Outcome", ended(LastWord::Outcome(Outcome::rejected(RejectionKind::Denied, "no")))),
        ("Ended.Busy", ended(busy)),
        ("Ended.Stale", ended(LastWord::Stale)),
        ("Ended.Duplicate", ended(LastWord::Duplicate)),
    ]
}

/// A hello that uses every field.
pub(crate) fn hello() -> Hello {
    Hello {
        fleet: "farm".parse().expect("a valid name"),
        link: LinkNumber::from_wire(3).expect("not 0"),
        boot: Epoch::from_random(0x0b),
        store: Some(Epoch::from_random(0x0c)),
        receiver: Some(Epoch::from_random(0x0d)),
        expected_boot: None,
        expected_receiver: Some(Epoch::from_random(0x0e)),
        lineage: Lineage::from_parts(9, vec![Epoch::from_random(0x0a), Epoch::from_random(0x0b)])
            .expect("a lineage"),
        sent: vec![Reach { process: 9, position: 41 }],
        journaled: vec![Reach { process: 2, position: 0x0102 }, Reach { process: 8, position: 0x0304 }],
        settled: vec![settled()],
        commands: vec!["exec/1".parse().expect("a valid name"), "fs.put/12".parse().expect("a valid name")],
        features: 0x05,
        receive_window: 16 << 20,
        args_bytes_max: 64 << 10,
        payload_bytes_max: 1 << 20,
    }
}

fn settled() -> Settled {
    let seq = |number| Seq::from_wire(number).expect("not 0");
    Settled {
        epoch: Epoch::from_random(0x0123_4567_89ab_cdef),
        low: Some(seq(41)),
        ranges: vec![(seq(43), seq(44)), (seq(50), seq(50))],
    }
}

fn key() -> CommandKey {
    CommandKey { epoch: Epoch::from_random(0x0123_4567_89ab_cdef), seq: Seq::from_wire(42).expect("not 0") }
}

fn body_end() -> BodyEnd {
    BodyEnd { bytes: 10, hash: [0xab; 32] }
}

/// Defines the same types for two implementations of the format.
macro_rules! sample_types {
    ($module:ident, $($derive:ident)::+) => {
        /// A struct and an enum with the shapes that commands use.
        pub(crate) mod $module {
            #[derive(Clone, Debug, PartialEq, $($derive)::+::Encode, $($derive)::+::Decode)]
            pub(crate) struct Sample {
                pub(crate) flag: bool,
                pub(crate) small: u8,
                pub(crate) number: u64,
                pub(crate) signed: i32,
                pub(crate) ratio: f64,
                pub(crate) text: String,
                pub(crate) bytes: Vec<u8>,
                pub(crate) list: Vec<(String, u32)>,
                pub(crate) choice: Choice,
                pub(crate) none: Option<u16>,
                pub(crate) some: Option<Choice>,
                pub(crate) array: [u8; 4],
            }

            #[derive(Clone, Debug, PartialEq, $($derive)::+::Encode, $($derive)::+::Decode)]
            pub(crate) enum Choice {
                Unit,
                Tuple(i64, char),
                Struct { pid: u32, env: Vec<(String, String)> },
            }
        }
    };
}

sample_types!(ours, runnel_codec);
sample_types!(theirs, bincode_next);

/// What closes say, by name.
pub(crate) fn close_texts() -> Vec<(&'static str, CloseText)> {
    let close = |text: &str, retry_after| CloseText { text: text.into(), retry_after };
    let millis = |millis| Some(Duration::from_millis(millis));
    vec![
        ("CloseText.plain", close("a limit was exceeded", None)),
        ("CloseText.pause", close("the node shuts down", millis(1500))),
        ("CloseText.pause_alone", close("", millis(1))),
        ("CloseText.longest_pause", close("zwölf", Some(CLOSE_PAUSE_MAX))),
    ]
}

/// Copies of what streams said, by name.
pub(crate) fn copies() -> Vec<(&'static str, StreamCopy)> {
    let copy = |stream, offset, bytes| StreamCopy { stream, offset, bytes: Bytes::from_static(bytes) };
    vec![
        ("StreamCopy.first", copy(0, 0, b"a head")),
        ("StreamCopy.later", copy(401, 0x1_0000, b"an answer")),
        ("StreamCopy.empty", copy(4, 7, b"")),
        ("StreamCopy.longest_numbers", copy((1 << 62) - 1, (1 << 62) - 2, b"b")),
    ]
}

/// Processes that say who answers, by name.
pub(crate) fn announcements() -> Vec<(&'static str, Epoch)> {
    vec![
        ("Announcement.plain", Epoch::from_random(0x0102_0304_0506_0708)),
        ("Announcement.first", Epoch::from_random(1)),
        ("Announcement.last", Epoch::from_random(u64::MAX)),
    ]
}

/// Values of the sample types, by name.
pub(crate) fn values() -> Vec<(&'static str, ours::Sample)> {
    let full = ours::Sample {
        flag: true,
        small: 250,
        number: 1 << 40,
        signed: -70_000,
        ratio: 0.5,
        text: "zwölf".into(),
        bytes: vec![0, 1, 0xfb, 0xff],
        list: vec![("a".into(), 251), ("b".into(), 65_536)],
        choice: ours::Choice::Tuple(-1, 'ß'),
        none: None,
        some: Some(ours::Choice::Struct { pid: 4711, env: vec![("PATH".into(), "/bin".into())] }),
        array: [1, 2, 3, 4],
    };
    let plain = ours::Sample {
        flag: false,
        small: 0,
        number: 0,
        signed: 0,
        ratio: 0.0,
        text: String::new(),
        bytes: Vec::new(),
        list: Vec::new(),
        choice: ours::Choice::Unit,
        none: Some(250),
        some: None,
        array: [0; 4],
    };
    vec![("Sample.full", full), ("Sample.plain", plain)]
}
