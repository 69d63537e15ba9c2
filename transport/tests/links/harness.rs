//! A fleet of two nodes on the loopback interface, and samples of what they say.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use runnel_certs::{AUTHORITY_LIFETIME, Authority, Identity, LEAF_LIFETIME, NodeKey, Role, Validity};
use runnel_codec::{
    Class, CommandKey, ControlFrame, Epoch, Head, Hello, HelloAnswer, KnownNames, Lineage, LinkNumber,
    Outcome, Seq, StreamFrame, UpdatePolicy,
};
use runnel_transport::{
    DialRequest, Endpoint, EndpointKeys, Env, Link, LinkClosed, LinkEvent, Side, Socket, StreamId,
    TransportConfig,
};
use rustls::crypto::CryptoProvider;
use tokio::task::JoinSet;

/// The system's sockets and randomness; the date is set by the test.
#[derive(Debug)]
pub(crate) struct TestEnv {
    date: SystemTime,
    tasks: Mutex<JoinSet<()>>,
}

impl TestEnv {
    /// Ends all tasks at once, like a crash of the process.
    pub(crate) async fn kill(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().expect("no test panics under the lock"));
        tasks.shutdown().await;
    }
}

impl Env for TestEnv {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tasks.lock().expect("no test panics under the lock").spawn(task);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }

    fn wall_clock(&self) -> SystemTime {
        self.date
    }

    fn bind(&self, address: SocketAddr, buffer_bytes: u32) -> io::Result<Socket> {
        Socket::bind(address, buffer_bytes)
    }

    /// That of loopback.
    fn interface_mtu(&self, _: SocketAddr) -> Option<u16> {
        Some(u16::MAX)
    }

    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        Box::pin(async move { name.parse().map(|address| vec![address]).map_err(io::Error::other) })
    }

    fn crypto(&self) -> Arc<CryptoProvider> {
        runnel_certs::default_provider()
    }
}

pub(crate) fn authority(fleet: &str) -> Authority {
    let validity = Validity::starting(SystemTime::now(), AUTHORITY_LIFETIME).expect("a valid time");
    Authority::create(fleet.parse().expect("a valid name"), validity).expect("an authority")
}

/// Makes a node of the authority's fleet, which trusts that authority and `others`.
pub(crate) fn identity(authority: &Authority, node: &str, role: Role, others: &[&Authority]) -> Identity {
    let key = NodeKey::generate().expect("a key");
    let validity = Validity::starting(SystemTime::now(), LEAF_LIFETIME).expect("a valid time");
    let csr = key.csr().expect("a request");
    let leaf = authority.issue(&csr, &node.parse().expect("a valid name"), role, validity).expect("a leaf");
    let mut roots = authority.certificate().pem();
    roots.extend(others.iter().map(|other| other.certificate().pem()));
    Identity::from_pem(&key, &leaf.pem(), &roots).expect("an identity")
}

pub(crate) fn endpoint(identity: &Identity, config: TransportConfig, date: SystemTime) -> Endpoint {
    endpoint_with(identity, config, date, EndpointKeys::random(&mut rand::rng())).0
}

/// Makes an endpoint with known keys. Returns it with its environment.
pub(crate) fn endpoint_with(
    identity: &Identity,
    config: TransportConfig,
    date: SystemTime,
    keys: EndpointKeys,
) -> (Endpoint, Arc<TestEnv>) {
    let env = Arc::new(TestEnv { date, tasks: Mutex::default() });
    (Endpoint::new(env.clone(), identity, config, keys, KnownNames::default()).expect("an endpoint"), env)
}

/// A controller `c1` that dials and a worker `w1` that listens.
pub(crate) struct Nodes {
    pub(crate) dialler: Endpoint,
    pub(crate) acceptor: Endpoint,
    pub(crate) address: SocketAddr,
}

impl Nodes {
    /// Both of one fleet.
    pub(crate) fn new() -> Self {
        let authority = authority("lab");
        let dialler = identity(&authority, "c1", Role::Controller, &[]);
        let acceptor = identity(&authority, "w1", Role::Worker, &[]);
        Self::with(
            endpoint(&dialler, TransportConfig::default(), SystemTime::now()),
            endpoint(&acceptor, TransportConfig::default(), SystemTime::now()),
        )
    }

    pub(crate) fn with(dialler: Endpoint, mut acceptor: Endpoint) -> Self {
        let address = acceptor.listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self { dialler, acceptor, address }
    }

    pub(crate) fn dial(&mut self, node: &str) -> Link {
        self.dialler.dial(request(node, &[self.address]))
    }

    pub(crate) async fn accept(&mut self) -> Link {
        poll_fn(|cx| self.acceptor.poll_accept(cx)).await
    }

    /// Makes a link and takes it through the handshake.
    pub(crate) async fn connect(&mut self) -> Pair {
        let mut dialler = self.dial("w1");
        // The dialler moves only when it is polled.
        let acceptor = poll_fn(|cx| {
            assert_eq!(dialler.poll_event(cx), Poll::Pending);
            self.acceptor.poll_accept(cx)
        });
        let acceptor = acceptor.await;
        Pair { dialler, acceptor }
    }

    /// Makes a link and takes it through the hello.
    pub(crate) async fn link(&mut self) -> Pair {
        let mut pair = self.connect().await;
        pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Connected)).await;
        pair.dialler.send_control(&ControlFrame::Hello(Box::new(hello())));
        pair.until(Side::Acceptor, |event| matches!(event, LinkEvent::Control(ControlFrame::Hello(_)))).await;
        let welcome = HelloAnswer::Welcome(hello());
        pair.acceptor.send_control(&ControlFrame::HelloAnswer(Box::new(welcome)));
        pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Control(ControlFrame::HelloAnswer(_))))
            .await;
        pair
    }
}

pub(crate) fn request(node: &str, addresses: &[SocketAddr]) -> DialRequest {
    DialRequest {
        peer: node.parse().expect("a valid name"),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

/// Both ends of a link, moved together.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) dialler: Link,
    pub(crate) acceptor: Link,
}

impl Pair {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Side, LinkEvent)> {
        if let Poll::Ready(event) = self.dialler.poll_event(cx) {
            return Poll::Ready((Side::Dialler, event));
        }
        self.acceptor.poll_event(cx).map(|event| (Side::Acceptor, event))
    }

    /// Returns the next event of either end.
    pub(crate) async fn next(&mut self) -> (Side, LinkEvent) {
        let next = tokio::time::timeout(PATIENCE, poll_fn(|cx| self.poll(cx)));
        next.await.unwrap_or_else(|_| panic!("nothing happens any more: {self:?}"))
    }

    /// Moves both ends until one of them says a certain thing. Returns all that was said before and that.
    pub(crate) async fn until(
        &mut self,
        side: Side,
        is_it: impl Fn(&LinkEvent) -> bool,
    ) -> Vec<(Side, LinkEvent)> {
        let mut said = Vec::new();
        loop {
            let (speaker, event) = self.next().await;
            let is_last = speaker == side && is_it(&event);
            said.push((speaker, event));
            if is_last {
                return said;
            }
        }
    }

    /// Moves both ends until both have ended, and returns why: the dialler's reason, then the acceptor's.
    pub(crate) async fn until_closed(&mut self) -> (LinkClosed, LinkClosed) {
        let (mut dialler, mut acceptor) = (None, None);
        loop {
            match self.next().await {
                (Side::Dialler, LinkEvent::Closed(closed)) => dialler = Some(closed),
                (Side::Acceptor, LinkEvent::Closed(closed)) => acceptor = Some(closed),
                _ => {}
            }
            if let (Some(dialler), Some(acceptor)) = (&dialler, &acceptor) {
                return (dialler.clone(), acceptor.clone());
            }
        }
    }

    /// Waits until a command's stream can be opened, opens it, and waits for its head at the other end.
    pub(crate) async fn send(&mut self, head: &Head, payload: Bytes) -> StreamId {
        if self.dialler.places() == 0 {
            self.until(Side::Dialler, |event| matches!(event, LinkEvent::Places)).await;
        }
        let stream = self.dialler.open_command(head, payload).expect("a place");
        self.until(Side::Acceptor, |event| matches!(event, LinkEvent::Head { .. })).await;
        stream
    }

    /// Returns the frames of a stream that one end was told of.
    pub(crate) fn frames(said: &[(Side, LinkEvent)], side: Side) -> Vec<StreamFrame> {
        let frames = said.iter().filter_map(|(speaker, event)| match event {
            LinkEvent::Frame { frame, .. } if *speaker == side => Some(frame.clone()),
            _ => None,
        });
        frames.collect()
    }
}

pub(crate) fn head(class: Class) -> Head {
    Head {
        key: CommandKey { epoch: Epoch::from_random(7), seq: Seq::from_wire(1).expect("not 0") },
        class,
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
        updates_credit: 1 << 20,
        result_body_credit: 1 << 20,
        payload_bytes: 0,
        has_body: false,
        args: Bytes::from_static(b"arguments"),
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        fleet: "lab".parse().expect("a valid name"),
        link: LinkNumber::from_wire(1).expect("not 0"),
        boot: Epoch::from_random(1),
        store: None,
        receiver: None,
        expected_boot: None,
        expected_receiver: None,
        lineage: Lineage::default(),
        sent: vec![],
        journaled: vec![],
        settled: vec![],
        commands: vec!["exec/1".parse().expect("a valid name")],
        features: 0,
        receive_window: 16 << 20,
        args_bytes_max: 64 << 10,
        payload_bytes_max: 1 << 20,
    }
}

pub(crate) fn accepted() -> StreamFrame {
    StreamFrame::Accepted { body_received: 0, body_credit: 1 << 20 }
}

pub(crate) fn done() -> StreamFrame {
    StreamFrame::Outcome(Outcome::Done { result: Bytes::from_static(b"result") })
}

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
