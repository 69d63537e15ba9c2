//! A relay on real sockets, between a client and a target on the loopback interface.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const SEED: u64 = 2012;

#[tokio::test]
async fn packets_pass_both_ways() {
    let bench = Bench::start(RelayConfig::default()).await;
    let client = bench.client().await;
    client.send(b"ping").await.unwrap();
    let (payload, seen_as) = bench.at_target().await;
    assert_eq!(payload, b"ping");
    assert_ne!(seen_as, client.local_addr().unwrap());

    bench.target.send_to(b"pong!", seen_as).await.unwrap();
    assert_eq!(at_client(&client).await, b"pong!");
    let counts = bench.stop().await;
    assert_eq!((counts.up.forwarded, counts.up.forwarded_bytes), (1, 4));
    assert_eq!((counts.down.forwarded, counts.down.forwarded_bytes), (1, 5));
}

#[tokio::test]
async fn each_client_gets_its_own_answers() {
    let bench = Bench::start(RelayConfig::default()).await;
    let (first, second) = (bench.client().await, bench.client().await);
    first.send(b"first").await.unwrap();
    second.send(b"second").await.unwrap();
    for _ in 0..2 {
        let (payload, seen_as) = bench.at_target().await;
        bench.target.send_to(&payload, seen_as).await.unwrap();
    }
    assert_eq!(at_client(&first).await, b"first");
    assert_eq!(at_client(&second).await, b"second");
    assert_eq!(bench.stop().await.clients, 2);
}

#[tokio::test]
async fn a_rebind_changes_the_port_that_the_target_sees() {
    let bench = Bench::start(RelayConfig::default()).await;
    let client = bench.client().await;
    client.send(b"before").await.unwrap();
    let (_, old) = bench.at_target().await;

    bench.handle.rebind();
    bench.until(|counts| counts.rebinds == 1).await;
    client.send(b"after").await.unwrap();
    let (payload, new) = bench.at_target().await;
    assert_eq!(payload, b"after");
    assert_ne!(new, old);

    bench.target.send_to(b"to the old port", old).await.unwrap();
    bench.target.send_to(b"to the new port", new).await.unwrap();
    assert_eq!(at_client(&client).await, b"to the new port");
}

#[tokio::test(start_paused = true)]
async fn ports_change_on_schedule() {
    let rebind_every = Some(Duration::from_secs(5));
    let bench = Bench::start(RelayConfig { rebind_every, ..RelayConfig::default() }).await;
    let started_at = now();
    bench.until(|counts| counts.rebinds == 3).await;
    assert_eq!((now() - started_at).as_secs(), 15);
}

#[tokio::test]
async fn a_blackout_drops_everything_and_then_the_path_recovers() {
    let bench = Bench::start(RelayConfig::default()).await;
    let client = bench.client().await;
    client.send(b"light").await.unwrap();
    let (_, seen_as) = bench.at_target().await;

    bench.handle.set_blackout(true);
    client.send(b"dark").await.unwrap();
    bench.target.send_to(b"dark", seen_as).await.unwrap();
    bench.until(|counts| counts.up.blackout_dropped + counts.down.blackout_dropped == 2).await;

    bench.handle.set_blackout(false);
    bench.until(|counts| !counts.is_dark).await;
    client.send(b"light again").await.unwrap();
    assert_eq!(bench.at_target().await.0, b"light again");
    assert_eq!(bench.stop().await.blackouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_blackout_begins_and_ends() {
    let blackout = Blackout { after: Duration::from_secs(2), length: Duration::from_secs(8) };
    let bench = Bench::start(RelayConfig { blackouts: vec![blackout], ..RelayConfig::default() }).await;
    let started_at = now();
    bench.until(|counts| counts.is_dark).await;
    assert_eq!((now() - started_at).as_secs(), 2);
    bench.client().await.send(b"dark").await.unwrap();
    bench.until(|counts| counts.up.blackout_dropped == 1).await;

    bench.until(|counts| !counts.is_dark).await;
    assert_eq!((now() - started_at).as_secs(), 10);
    bench.client().await.send(b"light").await.unwrap();
    assert_eq!(bench.at_target().await.0, b"light");
}

#[tokio::test(start_paused = true)]
async fn each_direction_keeps_its_delay() {
    let path = |delay| PathConfig { delay, ..PathConfig::default() };
    let (up, down) = (path(Duration::from_millis(30)), path(Duration::from_millis(500)));
    let bench = Bench::start(RelayConfig { up, down, ..RelayConfig::default() }).await;
    let client = bench.client().await;
    let sent_at = now();
    client.send(b"ping").await.unwrap();
    let (_, seen_as) = bench.at_target().await;
    assert!((30..35).contains(&(now() - sent_at).as_millis()), "{:?}", now() - sent_at);

    bench.target.send_to(b"pong", seen_as).await.unwrap();
    at_client(&client).await;
    assert!((530..540).contains(&(now() - sent_at).as_millis()), "{:?}", now() - sent_at);
}

#[tokio::test]
async fn a_duplicated_packet_arrives_twice() {
    let up = PathConfig { duplicate: 1.0, ..PathConfig::default() };
    let bench = Bench::start(RelayConfig { up, ..RelayConfig::default() }).await;
    bench.client().await.send(b"echo").await.unwrap();
    assert_eq!(bench.at_target().await, bench.at_target().await);
    assert_eq!(bench.stop().await.up.duplicated, 1);
}

#[tokio::test]
async fn faults_change_while_the_relay_runs() {
    let bench = Bench::start(RelayConfig::default()).await;
    let client = bench.client().await;
    bench.handle.set_path(PathConfig { loss: 1.0, ..PathConfig::default() }).unwrap();
    client.send(b"lost").await.unwrap();
    bench.until(|counts| counts.up.lost == 1).await;

    bench.handle.set_direction(Direction::Up, PathConfig::default()).unwrap();
    bench.handle.set_path(PathConfig { loss: -1.0, ..PathConfig::default() }).unwrap_err();
    client.send(b"found").await.unwrap();
    let (payload, seen_as) = bench.at_target().await;
    assert_eq!(payload, b"found");
    bench.target.send_to(b"lost", seen_as).await.unwrap();
    bench.until(|counts| counts.down.lost == 1).await;
}

#[tokio::test]
async fn a_client_too_many_is_refused() {
    let clients_max = NonZeroUsize::MIN;
    let bench = Bench::start(RelayConfig { clients_max, ..RelayConfig::default() }).await;
    bench.client().await.send(b"first").await.unwrap();
    bench.until(|counts| counts.clients == 1).await;
    bench.client().await.send(b"second").await.unwrap();
    bench.until(|counts| counts.refused == 1).await;
}

#[tokio::test]
async fn more_clients_than_a_poll_has_budget_for_are_all_answered() {
    let bench = Bench::start(RelayConfig::default()).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let client = bench.client().await;
        client.send(b"").await.unwrap();
        let (_, seen_as) = bench.at_target().await;
        clients.push((client, seen_as));
    }
    for (client, seen_as) in clients {
        bench.target.send_to(b"hello", seen_as).await.unwrap();
        assert_eq!(at_client(&client).await, b"hello");
    }
}

#[tokio::test]
async fn a_burst_longer_than_a_batch_passes_whole() {
    let bench = Bench::start(RelayConfig::default()).await;
    let client = bench.client().await;
    let burst = 80;
    for number in 0..burst {
        client.send(&[number]).await.unwrap();
    }
    for number in 0..burst {
        assert_eq!(bench.at_target().await.0, [number]);
    }
}

#[tokio::test]
async fn waiting_ends_with_the_relay() {
    let bench = Bench::start(RelayConfig::default()).await;
    let handle = bench.handle.clone();
    bench.stop().await;
    assert_eq!(handle.wait_until(|_| false).await, Err(RelayEnded));
}

#[tokio::test]
async fn nonsense_is_refused_at_the_door() {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7));
    let error = Relay::bind(loopback(), nowhere, RelayConfig::default(), SEED).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "0.0.0.0:7 is no address to send to");
}

/// A target, and a relay in front of it.
struct Bench {
    target: UdpSocket,
    address: SocketAddr,
    handle: RelayHandle,
    stop: CancellationToken,
    task: JoinHandle<io::Result<RelayCounts>>,
}

impl Bench {
    async fn start(config: RelayConfig) -> Self {
        let target = UdpSocket::bind(loopback()).await.unwrap();
        let relay = Relay::bind(loopback(), target.local_addr().unwrap(), config, SEED).unwrap();
        let (address, handle) = (relay.local_addr(), relay.handle());
        let stop = CancellationToken::new();
        let task = tokio::spawn(relay.run(stop.clone()));
        Self { target, address, handle, stop, task }
    }

    async fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind(loopback()).await.unwrap();
        client.connect(self.address).await.unwrap();
        client
    }

    /// The next packet that the target receives, and the address it seems to come from.
    async fn at_target(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 64];
        let (len, from) = soon(self.target.recv_from(&mut buffer)).await.unwrap();
        (buffer[..len].to_vec(), from)
    }

    async fn until(&self, condition: impl FnMut(&RelayCounts) -> bool) -> RelayCounts {
        soon(self.handle.wait_until(condition)).await.unwrap()
    }

    async fn stop(self) -> RelayCounts {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap()
    }
}

async fn at_client(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = soon(client.recv(&mut buffer)).await.unwrap();
    buffer[..len].to_vec()
}

/// Turns a test that would hang into one that fails.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
