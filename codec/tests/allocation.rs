//! How much memory reading takes: what a peer announces costs nothing, what it sends at most twice.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use runnel_codec::*;

thread_local! {
    static USED_BYTES: Cell<usize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread. A reallocation counts as both blocks at once.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes on to `System` unchanged; the counters are thread-local cells that allocate nothing.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        USED_BYTES.set(USED_BYTES.get().saturating_sub(layout.size()));
        unsafe { System.dealloc(block, layout) }
    }
}

fn count_allocation(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    USED_BYTES.set(USED_BYTES.get() + bytes);
    PEAK_BYTES.set(PEAK_BYTES.get().max(USED_BYTES.get()));
}

/// Returns how many bytes more than before `run` were in use at most, and how often memory was asked for.
fn measure(run: impl FnOnce()) -> (usize, usize) {
    let (used, allocations) = (USED_BYTES.get(), ALLOCATIONS.get());
    PEAK_BYTES.set(used);
    run();
    (PEAK_BYTES.get() - used, ALLOCATIONS.get() - allocations)
}

const LIMITS: Limits = Limits {
    args_bytes_max: 64 << 10,
    payload_bytes_max: 1 << 20,
    piece_bytes_max: 64 << 10,
    update_bytes_max: 64 << 10,
    result_bytes_max: 1 << 20,
    control_bytes_max: 64 << 10,
};

/// What a decoder may need besides the frame: the beginning of the buffer, a name.
const SLACK_BYTES: usize = 2048;

fn head(payload_bytes: u32, args: Bytes) -> Head {
    Head {
        key: CommandKey { epoch: Epoch::from_random(7), seq: Seq::FIRST },
        class: Class::Normal,
        name: "exec/1".parse().expect("a valid name"),
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
        payload_bytes,
        has_body: true,
        args,
    }
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

fn accepted() -> Bytes {
    written(|out| encode_frame(&StreamFrame::Accepted { body_received: 0, body_credit: 0 }, out))
}

fn read_command(chunks: &[Bytes]) {
    let mut decoder = CommandStreamDecoder::new(LIMITS);
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Ok(Some(_)) = decoder.next_item() {}
    }
}

fn read_replies(chunks: &[Bytes]) {
    let mut decoder = ReplyDecoder::new(LIMITS, 0);
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Ok(Some(_)) = decoder.next_frame() {}
    }
}

fn read_control(chunks: &[Bytes]) {
    let mut decoder = ControlDecoder::new(LIMITS);
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Ok(Some(_)) = decoder.next_frame() {}
    }
}

fn read_batch(chunks: &[Bytes]) {
    let mut decoder = BatchDecoder::new(LIMITS);
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Ok(Some(_)) = decoder.next_message() {}
    }
}

/// Cuts as a network would. The clone makes the buffer a shared one, as a transport's is, and is not counted.
fn packets(stream: &Bytes) -> Vec<Bytes> {
    let mut rest = stream.clone();
    let mut packets = Vec::new();
    while !rest.is_empty() {
        packets.push(rest.split_to(rest.len().min(1200)));
    }
    packets
}

#[track_caller]
fn check(read: fn(&[Bytes]), stream: &Bytes, bytes_max: usize) {
    let packets = packets(stream);
    let (peak, _) = measure(|| read(&packets));
    assert!(peak <= bytes_max + SLACK_BYTES, "{peak} bytes in use at most, {bytes_max} allowed");
}

#[test]
fn lying_lengths_cost_nothing() {
    let head = written(|out| encode_head(&head(1 << 20, Bytes::new()), out));
    let begin = |before: &[u8], frame: &[u8]| Bytes::from([before, frame, &[0; 16]].concat());
    check(read_command, &begin(&[], &[0x03, 0x80, 0x01, 0x00, 0x00]), 0);
    check(read_command, &begin(&head, &[0x05, 0x80, 0x10, 0x00, 0x00]), 0);
    check(read_replies, &begin(&accepted(), &[0x11, 0x80, 0x01, 0x00, 0x00]), 0);
    check(read_replies, &begin(&accepted(), &[0x15, 0x80, 0x10, 0x00, 0x00]), 0);
    check(read_control, &begin(&[], &[0x23, 0x80, 0x01, 0x00, 0x00]), 0);
    check(read_batch, &begin(&[0x35], &[0x37, 0x7f, 0x00]), 0);
    check(read_replies, &begin(&accepted(), &[0x3e, 0x80, 0x01, 0x00, 0x00]), 0);
    check(read_replies, &begin(&accepted(), &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 0);
}

#[test]
fn the_longest_frames_cost_less_than_twice_their_limit() {
    let args = Bytes::from(vec![0; LIMITS.args_bytes_max]);
    check(read_command, &written(|out| encode_head(&head(0, args), out)), 2 * LIMITS.args_bytes_max);

    let payload = Bytes::from(vec![0; LIMITS.payload_bytes_max]);
    let stream = written(|out| {
        encode_head(&head(1 << 20, Bytes::new()), out);
        encode_frame(&StreamFrame::Payload(payload.clone()), out);
        encode_frame(&StreamFrame::Body(payload.slice(..LIMITS.piece_bytes_max)), out);
    });
    check(read_command, &stream, 2 * LIMITS.payload_bytes_max);

    let stream = written(|out| {
        out.extend_from_slice(&accepted());
        encode_frame(&StreamFrame::Outcome(Outcome::Done { result: payload }), out);
    });
    check(read_replies, &stream, 2 * LIMITS.result_bytes_max);
}

#[test]
fn a_skipped_frame_is_not_kept() {
    let skipped = [&accepted()[..], &[0x3e, 0x80, 0x01, 0x00, 0x00], &vec![0; 64 << 10]].concat();
    check(read_replies, &skipped.into(), 0);
}

#[test]
fn the_lists_of_a_hello_are_bounded_by_its_length_and_their_own_counts() {
    let mut hello = Hello {
        fleet: "farm".parse().expect("a valid name"),
        link: LinkNumber::FIRST,
        boot: Epoch::from_random(1),
        store: None,
        receiver: None,
        expected_boot: None,
        expected_receiver: None,
        lineage: Lineage::default(),
        sent: vec![],
        journaled: vec![],
        settled: vec![
            Settled { epoch: Epoch::from_random(1), low: None, ranges: Vec::new() };
            HELLO_SETTLED_MAX
        ],
        commands: vec!["exec/1".parse().expect("a valid name"); HELLO_COMMANDS_MAX],
        features: 0,
        receive_window: 0,
        args_bytes_max: 0,
        payload_bytes_max: 0,
    };
    let answer = |hello: &Hello| {
        let answer = HelloAnswer::Welcome(hello.clone());
        written(|out| encode_control(&ControlFrame::HelloAnswer(Box::new(answer)), out))
    };
    let read_one = |stream| {
        let mut decoder = ControlDecoder::new(LIMITS);
        decoder.push(stream);
        decoder.next_frame().map(|frame| frame.is_some())
    };
    assert_eq!(read_one(answer(&hello)), Ok(true));
    check(read_control, &answer(&hello), 2 * LIMITS.control_bytes_max);

    hello.commands.push("a/1".parse().expect("a valid name"));
    assert!(matches!(read_one(answer(&hello)), Err(DecodeError::Malformed { .. })));
    hello.commands.pop();
    hello.settled.push(hello.settled[0].clone());
    assert!(matches!(read_one(answer(&hello)), Err(DecodeError::Malformed { .. })));
}

#[test]
fn values_with_lying_lengths_cost_nothing() {
    let lies: [&[u8]; 4] = [
        &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xfc, 0xff, 0xff, 0xff, 0x7f],
        &[0xfb, 0xff, 0xff],
        &[0xfa],
    ];
    for lie in lies {
        let (peak, _) = measure(|| assert!(decode_body::<Vec<u64>>(lie, SMALL_BODY_BYTES_MAX).is_err()));
        assert!(peak <= 2 * SMALL_BODY_BYTES_MAX, "{peak}");
        let (peak, _) = measure(|| assert!(decode_body::<Vec<String>>(lie, LARGE_BODY_BYTES_MAX).is_err()));
        assert!(peak <= 2 * LARGE_BODY_BYTES_MAX, "{peak}");
    }
}

#[test]
fn a_head_of_a_known_type_is_written_and_read_without_allocating() {
    let head = head(0, Bytes::from_static(b"arguments"));
    let names: KnownNames = [head.name.clone()].into_iter().collect();
    let mut out = BytesMut::with_capacity(256);
    let (_, allocations) = measure(|| encode_head(&head, &mut out));
    assert_eq!(allocations, 0, "writing");

    let stream = out.freeze();
    let chunk = stream.clone();
    let mut decoder = CommandStreamDecoder::new(LIMITS).with_names(names);
    let mut item = None;
    let (_, allocations) = measure(|| {
        decoder.push(chunk);
        item = decoder.next_item().expect("a good head");
    });
    assert_eq!(item, Some(CommandItem::Head(head)));
    assert_eq!(allocations, 0, "reading");
}
