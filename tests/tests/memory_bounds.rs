//! S9: memory stays within the configured bounds whoever is stuck, silent or hostile; a queue that is full says so and drops
//! nothing. All nodes run on the test's thread, whose heap is counted by the allocator: the nodes are not asked.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use runnel::codec::NodeId;
use runnel::{Body, Config, Submission, SubmitError, SubmitOptions};
use runnel_tests::commands::{Gate, Hold, Mark, Talk, handlers};
use runnel_tests::follow::{outcome, started};
use runnel_tests::heap::{CountingHeap, peak_bytes, used_bytes};
use runnel_tests::patience::report;
use runnel_tests::seed::Seed;
use runnel_tests::sim::{CONTROLLER_HOST, Pair, PathConfig, WORKER_HOST, first_packets};
use runnel_tests::tally::Tally;
use tokio::time::sleep;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap;

/// A pair with small bounds, and what it does.
struct House {
    seed: Seed,
    pair: Pair,
    tally: Tally,
    gate: Gate,
}

impl House {
    async fn new() -> Self {
        let (seed, tally, gate) = (Seed::or(1), Tally::default(), Gate::closed());
        let path = PathConfig::clean(Duration::from_millis(10));
        let pair =
            Pair::start_configured(seed.number(), path, handlers(&tally, &gate), &small_bounds()).await;
        Self { seed, pair, tally, gate }
    }

    /// Submits commands with a payload each until one is refused. Returns those that were not, and what the refusal says.
    async fn fill(&self, to: &NodeId) -> (Vec<Submission<Mark>>, String) {
        let mut stored = Vec::new();
        loop {
            let payload = Bytes::from(vec![0; PAYLOAD_BYTES]);
            let options = SubmitOptions { payload, ..SubmitOptions::default() };
            match self.pair.controller.submit::<Mark>(to, &7, options).await {
                Ok(submission) => stored.push(submission),
                Err(SubmitError::Queue(error)) => return (stored, error.to_string()),
                Err(error) => panic!("{error}"),
            }
            assert!(stored.len() < 10_000, "no bound is kept");
        }
    }

    /// Says how much more than `before` was in use at most, and fails if that is more than it may be.
    #[track_caller]
    fn judge(&self, what: &str, before: usize, bytes_max: u64) {
        let grown = peak_bytes().saturating_sub(before);
        report(&format!("{what}: {} KiB at most, of {} KiB", grown >> 10, bytes_max >> 10));
        assert!(grown as u64 <= bytes_max, "seed {}: {what} takes {grown} bytes", self.seed.number());
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_and_callers_that_never_read_hold_what_the_windows_allow() {
    let house = House::new().await;
    let before = used_bytes();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("body");
    std::fs::write(&file, vec![7; BODY_BYTES]).expect("the file can be written");
    let (mut holds, mut talks) = (Vec::new(), Vec::new());
    for _ in 0..STUCK {
        let body = Some(Body::file(&file));
        let mut hold =
            house.pair.submit::<Hold>((), SubmitOptions { body, ..SubmitOptions::default() }).await;
        started(&mut hold).await;
        holds.push(hold);
        let mut talk = house.pair.submit::<Talk>((), SubmitOptions::default()).await;
        started(&mut talk).await;
        talks.push(talk);
    }
    sleep(REST).await;
    // What is on its way: bodies to handlers, updates to callers. And what waits for its way: of each body and each handler's
    // updates so much, and a body's file is read by pieces, of which the file has a copy.
    let config = small_bounds();
    let windows = config.receive_queue.body_windows_bytes_max + config.send_queue.credits_bytes_max;
    let held =
        config.node.body_held_bytes_max.get() + 2 * READ_BYTES + config.node.updates_held_bytes_min.get();
    house.judge("stuck readers", before, windows + (STUCK * held) as u64 + OVERHEAD_BYTES);

    house.gate.open();
    for hold in holds {
        assert_eq!(outcome(hold).await, Ok(()));
    }
    for talk in talks {
        house.pair.controller.cancel(talk.id()).await.expect("it runs");
        outcome(talk).await.expect_err("it was cancelled");
    }
    house.pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_costs_its_share_and_loses_nothing() {
    let house = House::new().await;
    let before = used_bytes();
    // Its own packets come, those for it do not: streams are written into nothing until the windows are full.
    house.pair.network.set_cut_one_way(CONTROLLER_HOST, WORKER_HOST, true);
    let (stored, refusal) = house.fill(&house.pair.worker).await;
    assert!(refusal.contains("bytes to this peer"), "{refusal}");
    sleep(REST).await;
    let config = small_bounds();
    house.judge("a silent peer", before, config.send_queue.peer_bytes_max + OVERHEAD_BYTES);

    house.pair.network.set_cut_one_way(CONTROLLER_HOST, WORKER_HOST, false);
    for submission in stored {
        let id = submission.id().clone();
        assert_eq!(outcome(submission).await, Ok(7));
        assert_eq!(house.tally.runs(&id), 1);
    }
    house.pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn peers_that_never_come_cost_the_bound_of_the_process_and_no_more() {
    let house = House::new().await;
    let before = used_bytes();
    let mut kept = Vec::new();
    for number in 0..PEERS {
        let gone = format!("gone-{number}").parse().expect("a valid name");
        let (stored, refusal) = house.fill(&gone).await;
        assert!(refusal.contains("bytes"), "{refusal}");
        kept.push((gone, stored));
    }
    // Half of the bound, and beside it for each what every peer may have of classes below Urgent.
    let config = small_bounds().send_queue;
    let bytes_max = config.bytes_max / 2 + PEERS as u64 * config.peer_bytes_min / 2;
    house.judge("peers that never come", before, bytes_max + OVERHEAD_BYTES);
    // Each of them is there, and a peer that is there gets its command through.
    for peer in house.pair.controller.peers().await.expect("it runs") {
        let stored = kept.iter().find(|(gone, _)| *gone == peer.node).map_or(0, |(_, stored)| stored.len());
        assert_eq!(peer.queued + peer.in_flight, stored, "{}", peer.node);
    }
    let mark = house.pair.submit::<Mark>(5, SubmitOptions::default()).await;
    assert_eq!(outcome(mark).await, Ok(5));
    house.pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_half_open_handshakes_cost_64_and_keep_nobody_out() {
    let house = House::new().await;
    let packets = first_packets(STRANGERS, "controller.sim.runnel").await;
    let listening = SocketAddr::new(CONTROLLER_HOST, 4433);
    (0..STRANGER_HOSTS).for_each(|host| house.pair.network.listen_raw(stranger(host)));
    let before = used_bytes();
    for (number, packet) in packets.iter().enumerate() {
        let port = u16::try_from(1024 + number / STRANGER_HOSTS).expect("few for each host");
        let from = SocketAddr::new(stranger(number % STRANGER_HOSTS), port);
        house.pair.network.send(from, listening, packet);
        if number % 100 == 0 {
            // A second in all: well within the time that a handshake may take.
            sleep(Duration::from_millis(10)).await;
        }
    }
    // The link that is there carries a command in the midst of it.
    let mark = house.pair.submit::<Mark>(5, SubmitOptions::default()).await;
    assert_eq!(outcome(mark).await, Ok(5));
    house.judge("half-open handshakes", before, HANDSHAKES * HANDSHAKE_BYTES + OVERHEAD_BYTES);
    let (begun, sent_back) = answers(&house);
    report(&format!("of {STRANGERS} strangers {begun} got a handshake, {sent_back} had to prove themselves"));
    assert!(begun as u64 <= HANDSHAKES && begun > 0, "{begun} handshakes");
    assert!(sent_back > STRANGERS / 2, "{sent_back} were sent back");

    // And a peer without a link gets one.
    house.pair.network.cut_links();
    let mark = house.pair.submit::<Mark>(6, SubmitOptions::default()).await;
    assert_eq!(outcome(mark).await, Ok(6));
    house.pair.stop().await;
}

/// Returns how many strangers were answered with a handshake, and how many with a retry.
fn answers(house: &House) -> (usize, usize) {
    let (mut begun, mut sent_back) = (BTreeSet::new(), BTreeSet::new());
    for (to, packet) in (0..STRANGER_HOSTS).flat_map(|host| house.pair.network.heard_raw(stranger(host))) {
        // The kind of a long header (RFC 9000, section 17.2).
        match packet[0] & 0xf0 {
            0xf0 => sent_back.insert(to),
            _ => begun.insert(to),
        };
    }
    (begun.len(), sent_back.len())
}

fn stranger(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, u8::try_from(host).expect("few hosts")))
}

fn small_bounds() -> Config {
    let mut config = Config::default();
    config.send_queue.bytes_max = 16 << 20;
    config.send_queue.peer_bytes_max = 4 << 20;
    config.send_queue.credits_bytes_max = 1 << 20;
    config.node.body_held_bytes_max = NonZeroUsize::new(256 << 10).expect("256 KiB is not 0");
    config.node.updates_held_bytes_min = NonZeroUsize::new(256 << 10).expect("256 KiB is not 0");
    config.node.updates_spilled_bytes_max = 0;
    config.receive_queue.body_windows_bytes_max = 2 << 20;
    config
}

/// Handlers that never read, and callers that never do.
const STUCK: usize = 40;
const BODY_BYTES: usize = 4 << 20;
const READ_BYTES: usize = 256 << 10;
const PAYLOAD_BYTES: usize = 64 << 10;
const PEERS: usize = 50;
const STRANGERS: usize = 10_000;
const STRANGER_HOSTS: usize = 100;

/// The bound on handshakes under way.
const HANDSHAKES: u64 = 64;

/// What one may hold: buffers of TLS, and the first packets until they are acknowledged.
const HANDSHAKE_BYTES: u64 = 128 << 10;

/// Links, tables, and a few hundred bytes for each command.
const OVERHEAD_BYTES: u64 = 2 << 20;

/// Longer than anything is repeated.
const REST: Duration = Duration::from_secs(20);
