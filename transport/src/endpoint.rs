//! The sockets of a node: those that listen live as long as the node, those that dial may be rebound.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, ServerConfig};
use runnel_certs::{ChainCheck, Identity, client_config, issue_tickets, keep_tickets, server_config};
use runnel_codec::{CloseCode, CloseText, Epoch, KnownNames};
use rustls::CipherSuite;
use rustls::SupportedCipherSuite;
use rustls::quic::Suite;
use tokio::time::Instant;
use tracing::warn;

use crate::close::CloseReason;
use crate::config::TransportConfig;
use crate::dial::{self, DialRequest, Pace};
use crate::dialling::{Binder, Bound, Dialling};
use crate::env::Env;
use crate::error::EndpointError;
use crate::handshakes::{Admission, Handshakes};
use crate::keys::EndpointKeys;
use crate::link::{Link, LinkContext, Side};
use crate::link_settings::LinkSettings;
use crate::runtime::EnvRuntime;
use crate::socket::SocketStats;
use crate::tickets::Tickets;

/// The sockets of a node and what every link of it shares. Starts no task of its own but quinn's.
#[derive(Debug)]
#[must_use]
pub struct Endpoint {
    env: Arc<dyn Env>,
    context: Arc<LinkContext>,
    binder: Binder,
    listening: Vec<Listening>,
    handshakes: Handshakes,
    /// What diallers are told at once.
    announced: Option<Epoch>,
    dialling: Arc<Dialling>,
}

/// A socket that takes links, and the wait for the next one.
struct Listening {
    bound: Bound,
    /// `None` once the endpoint is closed.
    next: Option<Pin<Box<dyn Future<Output = Option<quinn::Incoming>> + Send>>>,
}

impl Endpoint {
    /// Makes an endpoint without sockets. Heads that name one of `names` need no allocation for it.
    ///
    /// # Errors
    ///
    /// See [`EndpointError`].
    pub fn new(
        env: Arc<dyn Env>,
        identity: &Identity,
        config: TransportConfig,
        keys: EndpointKeys,
        names: KnownNames,
    ) -> Result<Self, EndpointError> {
        let runtime = Arc::new(EnvRuntime(env.clone()));
        let crypto = env.crypto();
        let initial = initial_suite(&crypto).ok_or(EndpointError::NoInitialCipherSuite)?;

        let chains = ChainCheck::new(identity.trust(), crypto.clone(), runtime.clone())?;
        let mut tls = server_config(identity, identity.trust(), crypto.clone(), runtime.clone())?;
        issue_tickets(&mut tls, Arc::new(Tickets::new(env.clone(), keys.ticket_secret(), identity)));
        let tls = QuicServerConfig::with_initial(Arc::new(tls), initial)
            .map_err(|_| EndpointError::NoInitialCipherSuite)?;
        let mut server = ServerConfig::new(Arc::new(tls), keys.token_key());
        server
            .time_source(runtime.clone())
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER_BYTES)
            .incoming_buffer_size_total(INCOMING_BUFFERS_BYTES);

        let mut tls = client_config(identity, identity.trust(), crypto, runtime)?;
        keep_tickets(&mut tls, TICKET_SERVERS);
        let tls = QuicClientConfig::with_initial(Arc::new(tls), initial)
            .map_err(|_| EndpointError::NoInitialCipherSuite)?;
        let mut client = ClientConfig::new(Arc::new(tls));
        let destination_ids = env.clone();
        client.initial_dst_cid_provider(Arc::new(move || {
            let mut id = [0; 8];
            destination_ids.fill_random(&mut id);
            quinn::ConnectionId::new(&id)
        }));

        let handshakes =
            Handshakes::new(Instant::now(), config.handshakes_max.get(), config.handshakes_percent);
        let settings = LinkSettings::new(env.clone(), config.clone(), server, client);
        let binder = Binder::new(env.clone(), config.clone(), keys);
        let context = Arc::new(LinkContext {
            trust: identity.trust().clone(),
            chains,
            config,
            names,
            handshakes: AtomicU32::new(0),
        });
        let dialling = Arc::new(Dialling::new(binder.clone(), settings));
        let (listening, announced) = (Vec::new(), None);
        Ok(Self { env, context, binder, listening, handshakes, announced, dialling })
    }

    /// Tells all who dial from now on which process this is, before they have said who they are.
    pub fn announce(&mut self, boot: Epoch) {
        self.announced = Some(boot);
    }

    /// Listens on an address; port 0 takes any free one. Returns the address.
    ///
    /// # Errors
    ///
    /// Those of the system, for example when the address is in use.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let bound = self.binder.bind(address, Some(self.dialling.settings().listening()))?;
        let address = bound.endpoint.local_addr()?;
        self.listening.push(Listening::new(bound));
        Ok(address)
    }

    /// Begins to dial a peer. The link tells the rest.
    pub fn dial(&mut self, request: DialRequest) -> Link {
        let server_name = runnel_certs::server_name(&request.peer, self.context.trust.fleet());
        let dialling = self.dialling.clone();
        let connect = move |address: SocketAddr| dialling.connect(address, &server_name.to_str());
        let config = &self.context.config;
        let pace = Pace { stagger: config.dial_stagger, again: config.dial_again };
        let connecting = dial::dial(self.env.clone(), request, pace, connect);
        Link::connecting(self.context.clone(), Side::Dialler, Box::pin(connecting))
    }

    /// Returns the next link that a peer dials. It has not said who it is yet.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Link> {
        for listening in &mut self.listening {
            while let Poll::Ready(Some(incoming)) = listening.poll_next(cx) {
                let pending = self.context.handshakes.load(Ordering::Relaxed);
                let begun_at = Instant::now();
                match self.handshakes.admit(begun_at, pending, !incoming.may_retry()) {
                    Admission::Take => {}
                    Admission::Prove => {
                        incoming.retry().ok();
                        continue;
                    }
                    Admission::Ignore => {
                        incoming.ignore();
                        continue;
                    }
                }
                let remote = incoming.remote_address();
                // Key exchange and signature are made in this call.
                let accepted = incoming.accept_with(self.dialling.settings().accepted_from(remote));
                self.handshakes.handle_spent(begun_at.elapsed());
                match accepted {
                    Ok(connecting) => {
                        let connecting = dial::accept(connecting, self.announced);
                        return Poll::Ready(
                            Link::connecting(self.context.clone(), Side::Acceptor, Box::pin(connecting))
                                .with_remote(remote),
                        );
                    }
                    Err(error) => {
                        let reason = CloseReason::of_connection(&error);
                        warn!(%remote, %reason, "an offer was not taken");
                    }
                }
            }
        }
        Poll::Pending
    }

    /// Takes no new links: peers that dial are refused at once. Links that are there stay.
    pub fn stop_accepting(&mut self) {
        for listening in &mut self.listening {
            listening.bound.endpoint.set_server_config(None);
            listening.next = None;
        }
    }

    /// Moves the dialling sockets to fresh ones: the route has changed, or the machine slept. Listening sockets stay.
    pub fn network_changed(&mut self) {
        self.dialling.rebind();
    }

    /// Says what the system grants each socket now: first those that listen, then those that dial.
    pub fn sockets(&self) -> Vec<SocketStats> {
        let offload = self.context.config.segmentation_offload;
        self.bound().filter_map(|bound| bound.stats(offload).ok()).collect()
    }

    /// Closes all links at once and takes no new ones.
    pub fn close(&self, code: CloseCode, why: impl Into<CloseText>) {
        let text = why.into().encode();
        for endpoint in self.endpoints() {
            endpoint.close(code.to_wire().into(), text.as_bytes());
        }
    }

    /// Waits until peers have been told of the close, as long as the configuration allows.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped but the wait itself.
    pub async fn wait_idle(&mut self) {
        let endpoints: Vec<_> = self.endpoints().cloned().collect();
        let all_idle = async {
            for endpoint in endpoints {
                endpoint.wait_idle().await;
            }
        };
        tokio::time::timeout(self.context.config.close_timeout, all_idle).await.ok();
    }

    fn endpoints(&self) -> impl Iterator<Item = &quinn::Endpoint> {
        self.bound().map(|bound| &bound.endpoint)
    }

    fn bound(&self) -> impl Iterator<Item = &Bound> {
        let listening = self.listening.iter().map(|listening| &listening.bound);
        listening.chain(self.dialling.bound())
    }
}

impl Listening {
    fn new(bound: Bound) -> Self {
        let mut listening = Self { bound, next: None };
        listening.wait();
        listening
    }

    /// Returns the next offer, or `None` once the endpoint is closed.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<quinn::Incoming>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let incoming = ready!(next.as_mut().poll(cx));
        self.next = None;
        if incoming.is_some() {
            self.wait();
        }
        Poll::Ready(incoming)
    }

    fn wait(&mut self) {
        let endpoint = self.bound.endpoint.clone();
        self.next = Some(Box::pin(async move { endpoint.accept().await }));
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// The cipher suite of QUIC's first packets (RFC 9001, section 5.2).
fn initial_suite(crypto: &rustls::crypto::CryptoProvider) -> Option<Suite> {
    crypto.cipher_suites.iter().find_map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) if suite.common.suite == CipherSuite::TLS13_AES_128_GCM_SHA256 => {
            suite.quic_suite()
        }
        _ => None,
    })
}

/// Peers whose tickets are kept; a peer beyond that makes a whole handshake.
const TICKET_SERVERS: usize = 1024;

/// Offers that may wait to be taken; quinn's default of 65536 would cost 640 MiB in a flood.
const MAX_INCOMING: usize = 1024;
const INCOMING_BUFFER_BYTES: u64 = 64 << 10;
const INCOMING_BUFFERS_BYTES: u64 = 16 << 20;
