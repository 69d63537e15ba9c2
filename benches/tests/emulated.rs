//! What crosses an emulated link, where the system lets us make one.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU64;
use std::process::{Command, Stdio};
use std::time::Duration;

use runnel_benches::emulated::{Link, LinkConfig, LinkError};

const SEED: u64 = 5;

#[test]
fn a_datagram_crosses() {
    let Some(link) = link() else { return };
    let (left, right) = (link.left().clone(), link.right().clone());
    let there = right.run(|| UdpSocket::bind((right.address(), 0))).expect("a free port");
    let here = left.run(|| UdpSocket::bind((left.address(), 0))).expect("a free port");
    here.send_to(b"ping", there.local_addr().expect("it is bound")).expect("the link is up");
    let mut buffer = [0; 9];
    let (len, from) = there.recv_from(&mut buffer).expect("the link loses nothing");
    assert_eq!(&buffer[..len], b"ping");
    assert_eq!(from, here.local_addr().expect("it is bound"));
}

#[test]
fn tcp_goes_through_unharmed_by_loss() {
    let Some(link) = start(&config().with(|path| path.loss = 0.05).seeded(SEED)) else { return };
    let (left, right) = (link.left().clone(), link.right().clone());
    let listener = right.run(|| TcpListener::bind((right.address(), 0))).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let sent: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let copy = sent.clone();
    let sender = left.spawn(move || TcpStream::connect(address)?.write_all(&copy));
    let mut received = Vec::new();
    let (mut socket, _) = listener.accept().expect("a connection comes");
    socket.read_to_end(&mut received).expect("the connection ends well");
    sender.join().expect("the sender does not panic").expect("it can send");
    assert!(received == sent, "seed {SEED}");
    let traffic = link.traffic().up;
    assert!(traffic.lost > 0 && traffic.bytes > 300_000, "seed {SEED}: {traffic:?}");
}

#[test]
fn programs_run_on_their_side_alone() {
    let Some(link) = link() else { return };
    let mut program = Command::new("ip");
    let child = link.left().start(program.args(["-brief", "address"]).stdout(Stdio::piped()));
    let output = child.expect("ip is there").wait_with_output().expect("ip ends");
    let text = String::from_utf8(output.stdout).expect("ip writes text");
    assert!(text.contains(&link.left().address().to_string()), "{text}");
    let ours = Command::new("ip").args(["-brief", "address"]).output().expect("ip is there");
    let text = String::from_utf8(ours.stdout).expect("ip writes text");
    assert!(!text.contains(&link.left().address().to_string()), "{text}");
}

fn config() -> LinkConfig {
    let rate = NonZeroU64::new(50_000_000).expect("it is not 0");
    LinkConfig::symmetric(rate, Duration::from_millis(4), Duration::from_millis(50))
}

fn link() -> Option<Link> {
    start(&config())
}

/// Returns `None` where the system does not let us make a link, and says so.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn start(config: &LinkConfig) -> Option<Link> {
    match Link::start(config) {
        Ok(link) => Some(link),
        Err(error @ LinkError::Unavailable { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
