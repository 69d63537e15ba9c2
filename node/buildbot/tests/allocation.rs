//! How much memory reading takes: what a peer announces costs nothing, what it sends a known multiple of the limits.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::BytesMut;
use runnel_buildbot::banana::{Decoder, Dialect, Element, encode};
use runnel_buildbot::jelly::{Value, read};
use runnel_buildbot::{Broker, Credentials, Event, Limits};

thread_local! {
    static USED_BYTES: Cell<usize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread. A reallocation counts as both blocks at once.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes on to `System` unchanged; the counters are thread-local cells that allocate nothing.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED_BYTES.set(USED_BYTES.get() + layout.size());
        PEAK_BYTES.set(PEAK_BYTES.get().max(USED_BYTES.get()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        USED_BYTES.set(USED_BYTES.get().saturating_sub(layout.size()));
        unsafe { System.dealloc(block, layout) }
    }
}

/// Returns how many bytes more than before `run` were in use at most.
fn peak_of<T>(run: impl FnOnce() -> T) -> usize {
    let used = USED_BYTES.get();
    PEAK_BYTES.set(used);
    let result = run();
    let peak = PEAK_BYTES.get() - used;
    drop(result);
    peak
}

/// What a decoder may need besides: the beginning of its buffer and of its lists.
const SLACK_BYTES: usize = 4096;

fn decoder() -> Decoder {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_dialect(Dialect::Pb);
    decoder
}

/// Reads what came in packets, and holds what it has read.
fn read_packets(bytes: &[u8]) -> Vec<Element> {
    let (mut decoder, mut elements) = (decoder(), Vec::new());
    for packet in bytes.chunks(1200) {
        decoder.push(packet);
        while let Ok(Some(element)) = decoder.next_element() {
            elements.push(element);
        }
    }
    elements
}

fn written(element: &Element) -> BytesMut {
    let mut out = BytesMut::new();
    encode(element, Dialect::Pb, &Limits::default(), &mut out).expect("within the limits");
    out
}

#[test]
fn lying_lengths_cost_nothing() {
    let long_string: &[u8] = &[0, 0, 0x28, 0x82];
    let long_list: &[u8] = &[0x7f, 0x7f, 7, 0x80];
    let longer: &[u8] = &[0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x80];
    for lie in [long_string, long_list, longer] {
        let peak = peak_of(|| read_packets(lie));
        assert!(peak <= SLACK_BYTES, "{peak} bytes for {lie:?}");
    }
}

#[test]
fn the_longest_string_costs_less_than_five_times_its_length() {
    let len = Limits::default().string_bytes_max;
    let bytes = written(&Element::Bytes(vec![7; len].into()));
    let peak = peak_of(|| read_packets(&bytes));
    // The buffer grows by doubling, and the string is copied out of it.
    assert!(peak <= 5 * len + SLACK_BYTES, "{peak} bytes for {len}");
}

#[test]
fn the_most_elements_cost_some_hundred_bytes_each() {
    let count = Limits::default().elements_max;
    let shortest = vec![Element::List(vec![]); count - 1];
    let bytes = written(&Element::List(shortest));
    let peak = peak_of(|| read_packets(&bytes));
    assert!(peak <= count * 130, "{peak} bytes for {count} elements");

    let values = Element::List(vec![Element::word("tuple"); count - 1]);
    let peak = peak_of(|| read(values.clone(), &Limits::default()).expect("as many as allowed"));
    assert!(peak <= count * 130, "{peak} bytes for {count} values");
}

#[test]
fn references_cost_no_more_than_other_values() {
    let limits = Limits::default();
    let typed =
        |kind, rest: Vec<Element>| Element::List([Element::word(kind)].into_iter().chain(rest).collect());
    // Each value is two of the one before it.
    let refer = |id| typed("dereference", vec![Element::Int(id)]);
    let mut values = vec![typed("reference", vec![Element::Int(0), typed("list", vec![])])];
    for id in 1..60 {
        let both = typed("list", vec![refer(id - 1), refer(id - 1)]);
        values.push(typed("reference", vec![Element::Int(id), both]));
    }
    let bomb = typed("tuple", values);
    let peak = peak_of(|| assert!(read(bomb, &limits).is_err()));
    assert!(peak <= limits.elements_max * 130, "{peak} bytes");

    let text = Element::Bytes(vec![b'x'; 600 << 10].into());
    let text = typed("reference", vec![Element::Int(0), typed("unicode", vec![text])]);
    let texts = typed("tuple", [text].into_iter().chain((0..1000).map(|_| refer(0))).collect());
    let peak = peak_of(|| assert!(read(texts, &limits).is_err()));
    assert!(peak <= 2 * limits.message_bytes_max, "{peak} bytes");
}

#[test]
fn a_connection_of_calls_costs_what_was_read_at_once() {
    let credentials = Credentials { username: "worker1".to_owned(), password: "secret".to_owned() };
    let mut broker = Broker::new(Limits::default(), credentials);
    let typed =
        |kind, rest: Vec<Element>| Element::List([Element::word(kind)].into_iter().chain(rest).collect());
    broker.handle_bytes(b"\x01\x80\x02\x82pb");
    for said in [
        typed("version", vec![Element::Int(6)]),
        typed(
            "answer",
            vec![
                Element::Int(1),
                typed("tuple", vec![Element::word("challenge"), typed("remote", vec![Element::Int(1)])]),
            ],
        ),
    ] {
        broker.handle_bytes(&written(&said));
    }
    let call = typed(
        "message",
        vec![
            Element::Int(1),
            Element::Int(1),
            Element::word("print"),
            Element::Int(1),
            typed("tuple", vec![Element::word("attached")]),
            typed("dictionary", vec![]),
        ],
    );
    let chunk = written(&call).repeat(1000);
    let peak = peak_of(|| {
        for _ in 0..200 {
            broker.handle_bytes(&chunk);
            while let Some(event) = broker.poll_event() {
                if let Event::Called(called) = event {
                    broker.answer(called.request.expect("wanted"), Value::None).expect("it can be sent");
                }
            }
            while broker.poll_transmit().is_some() {}
        }
    });
    assert!(peak <= 30 * chunk.len(), "{peak} bytes for {} at once", chunk.len());
}

#[test]
fn what_comes_after_the_end_is_not_kept() {
    let credentials = Credentials { username: "worker1".to_owned(), password: "secret".to_owned() };
    let mut broker = Broker::new(Limits::default(), credentials);
    broker.handle_bytes(b"\x01\x80\x02\x82pb");
    let half_a_string = [b"\x00\x00\x28\x82".as_slice(), &[0; 300_000]].concat();
    let peak = peak_of(|| {
        broker.handle_bytes(&half_a_string);
        broker.handle_end();
        broker.handle_bytes(&half_a_string);
    });
    assert!(peak <= 2 * half_a_string.len(), "{peak} bytes");
    let left = peak_of(|| broker.handle_bytes(&half_a_string));
    assert_eq!(left, 0);
}
