//! Byte streams: TCP with TLS in both directions, set up alike for all systems.

use std::net::SocketAddr;
use std::sync::Arc;

use runnel_certs::{client_config, default_provider, server_config, server_name};
use runnel_workload::{SERVER, Setup, load_client, load_server};
use rustls::time_provider::DefaultTimeProvider;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// rustls reads some 4 KiB at a time: without a buffer below it each is a system call.
pub(crate) type Stream = TlsStream<BufReader<TcpStream>>;

/// Takes streams.
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener {
    /// Listens where the setup says; `protocol` is what both sides must name.
    pub(crate) fn bind(setup: &Setup, protocol: &[u8]) -> Self {
        let socket = Socket::new(Domain::for_address(setup.address), Type::STREAM, Some(Protocol::TCP));
        let socket = socket.expect("the system has sockets");
        // What is accepted inherits it.
        tune(&SockRef::from(&socket), setup);
        socket.set_nonblocking(true).expect("sockets can wait");
        socket.bind(&setup.address.into()).expect("the address is free");
        socket.listen(BACKLOG).expect("it is bound");
        let identity = load_server(&setup.identities);
        let time = Arc::new(DefaultTimeProvider);
        let tls = server_config(&identity, identity.trust(), default_provider(), time);
        let mut tls = tls.expect("the identity is whole");
        tls.alpn_protocols = vec![protocol.to_vec()];
        Self {
            tcp: TcpListener::from_std(socket.into()).expect("a runtime runs"),
            tls: TlsAcceptor::from(Arc::new(tls)),
        }
    }

    /// Has `carry` carry every stream that comes, until what is returned is dropped.
    pub(crate) fn serve<F>(
        self,
        carry: impl Fn(Stream) -> F + Send + Sync + 'static,
    ) -> (SocketAddr, JoinSet<()>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = self.address();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            loop {
                streams.spawn(carry(self.accept().await));
            }
        });
        (address, tasks)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.local_addr().expect("it is bound")
    }

    /// Waits for a stream. The client is one of the fleet, or there is no comparison.
    pub(crate) async fn accept(&self) -> Stream {
        let (tcp, _) = self.tcp.accept().await.expect("the socket lives");
        tcp.set_nodelay(true).expect("the socket lives");
        let stream = self.tls.accept(BufReader::with_capacity(READ_BYTES, tcp)).await;
        TlsStream::Server(stream.expect("the client is one of the fleet"))
    }
}

/// Connects to the server.
pub(crate) async fn dial(setup: &Setup, protocol: &[u8]) -> Stream {
    let socket = if setup.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.expect("the system has sockets");
    tune(&SockRef::from(&socket), setup);
    let tcp = socket.connect(setup.address).await.expect("the server listens");
    let identity = load_client(&setup.identities);
    let time = Arc::new(DefaultTimeProvider);
    let tls = client_config(&identity, identity.trust(), default_provider(), time);
    let mut tls = tls.expect("the identity is whole");
    tls.alpn_protocols = vec![protocol.to_vec()];
    let server = server_name(&SERVER.parse().expect("a valid name"), identity.fleet());
    let tcp = BufReader::with_capacity(READ_BYTES, tcp);
    let stream = TlsConnector::from(Arc::new(tls)).connect(server, tcp).await;
    TlsStream::Client(stream.expect("the server is one of the fleet"))
}

fn tune(socket: &SockRef<'_>, setup: &Setup) {
    socket.set_tcp_nodelay(true).expect("Linux can do that");
    socket.set_tcp_congestion(setup.congestion.name().as_bytes()).expect("the kernel has it");
    socket.set_tcp_notsent_lowat(UNSENT_BYTES).expect("Linux can do that");
}

const BACKLOG: i32 = 16;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What may wait in the kernel beyond the congestion window: more only delays what is urgent.
const UNSENT_BYTES: u32 = 16 << 10;
