//! Dialling: resolve anew, race the addresses (RFC 8305), keep the first that answers.
//!
//! What meets silence is begun again beside what is under way: the repeats of a first packet come ever later, and where the
//! path has been dark for a while, a fresh one is through long before the next repeat.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use quinn::{Connecting, Connection};
use runnel_codec::{Datagram, Epoch, NodeId};
use tokio::time::{Instant, sleep_until};

use crate::close::CloseReason;
use crate::env::Env;

/// Whom to dial, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRequest {
    /// The node that must answer.
    pub peer: NodeId,
    /// `host:port` of each way to it, best first. Resolved anew at each attempt.
    pub addresses: Vec<String>,
}

/// Takes a connection through its handshake.
async fn complete(connecting: Connecting) -> Result<Connection, CloseReason> {
    connecting.await.map_err(|error| CloseReason::of_connection(&error))
}

/// Takes an offered connection through its handshake. What is announced goes out with the first flight, before it is known
/// to whom.
pub(crate) async fn accept(
    connecting: Connecting,
    announced: Option<Epoch>,
) -> Result<Connection, CloseReason> {
    let Some(boot) = announced else { return complete(connecting).await };
    let (connection, is_done) = match connecting.into_0rtt() {
        Ok(early) => early,
        Err(connecting) => return complete(connecting).await,
    };
    // A dialler that takes no datagrams goes without.
    connection.send_datagram(Datagram::encode_announcement(boot)).ok();
    is_done.await;
    match connection.close_reason() {
        None => Ok(connection),
        Some(error) => Err(CloseReason::of_connection(&error)),
    }
}

/// When addresses have their turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Time between the first attempts at two addresses.
    pub(crate) stagger: Duration,
    /// Time after which all of them are tried again, beside the attempts that are under way.
    pub(crate) again: Duration,
}

/// Resolves and races the addresses. Losers are dropped, which closes them.
///
/// Names are resolved side by side; those that take longer join the race later. `connect` begins an attempt.
pub(crate) async fn dial<C>(
    env: Arc<dyn Env>,
    request: DialRequest,
    pace: Pace,
    connect: C,
) -> Result<Connection, CloseReason>
where
    C: Fn(SocketAddr) -> Result<Connecting, CloseReason>,
{
    let resolve = |name: String| {
        let found = env.resolve(name.clone());
        async move { found.await.map_err(|error| CloseReason::unreachable(&format!("{name}: {error}"))) }
    };
    let mut resolving: FuturesUnordered<_> = request.addresses.into_iter().map(resolve).collect();
    let mut race = Race::default();
    let mut again_at = Instant::now() + pace.again;
    while let Some(Some(found)) = resolving.next().now_or_never() {
        race.handle_resolved(found);
    }
    loop {
        while let Some(address) = race.poll_start(Instant::now(), pace.stagger) {
            match connect(address) {
                Ok(connecting) => race.attempts.push(complete(connecting)),
                Err(reason) => race.handle_failed(reason),
            }
        }
        if race.attempts.is_empty() && resolving.is_empty() {
            return Err(race.failure);
        }
        tokio::select! {
            biased;
            Some(end) = race.attempts.next() => match end {
                Ok(connection) => return Ok(connection),
                Err(reason) => race.handle_failed(reason),
            },
            Some(found) = resolving.next() => race.handle_resolved(found),
            () = sleep_until(race.next_at), if !race.waiting.is_empty() => {}
            () = sleep_until(again_at) => {
                race.begin_again();
                again_at = Instant::now() + pace.again;
            }
        }
    }
}

/// Attempts at several addresses, of which the first to answer wins.
struct Race<F> {
    /// Addresses that have not had their turn.
    waiting: VecDeque<SocketAddr>,
    seen: Vec<SocketAddr>,
    attempts: FuturesUnordered<F>,
    /// When the next address has its turn, if no attempt fails before.
    next_at: Instant,
    /// What to say if all fail.
    failure: CloseReason,
}

impl<F> Default for Race<F> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            seen: Vec::new(),
            attempts: FuturesUnordered::new(),
            next_at: Instant::now(),
            failure: CloseReason::unreachable("no address is known"),
        }
    }
}

impl<F> Race<F> {
    /// A name has been resolved, or cannot be.
    fn handle_resolved(&mut self, found: Result<Vec<SocketAddr>, CloseReason>) {
        match found {
            Ok(addresses) => {
                for address in addresses {
                    if !self.seen.contains(&address) {
                        self.seen.push(address);
                        self.waiting.push_back(address);
                    }
                }
                self.waiting = interleave(self.waiting.drain(..)).into();
            }
            Err(reason) => self.failure = worse(&self.failure, reason),
        }
    }

    /// An attempt has failed: the next address has its turn at once.
    fn handle_failed(&mut self, reason: CloseReason) {
        self.failure = worse(&self.failure, reason);
        self.next_at = Instant::now();
    }

    /// Nothing has come of the attempts so far: each address has another turn.
    fn begin_again(&mut self) {
        self.waiting = interleave(self.seen.iter().copied()).into();
        self.next_at = Instant::now();
    }

    /// Returns the address whose turn it is.
    fn poll_start(&mut self, now: Instant, stagger: Duration) -> Option<SocketAddr> {
        if self.next_at > now {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.next_at = now + stagger;
        Some(address)
    }
}

/// Returns the failure that tells more: what a peer said, then silence, then what kept us from trying.
fn worse(known: &CloseReason, new: CloseReason) -> CloseReason {
    let weight = |reason: &CloseReason| match reason {
        CloseReason::Unreachable { .. } => 0,
        CloseReason::TimedOut | CloseReason::Reset => 1,
        _ => 2,
    };
    if weight(&new) >= weight(known) { new } else { known.clone() }
}

/// Orders addresses so that the families alternate, IPv6 first, each in its own order (RFC 8305, section 4).
fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut ordered = Vec::new();
    loop {
        let (six, four) = (v6.next(), v4.next());
        if six.is_none() && four.is_none() {
            return ordered;
        }
        ordered.extend(six);
        ordered.extend(four);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses<const N: usize>(texts: [&str; N]) -> Vec<SocketAddr> {
        texts.map(|text| text.parse().expect("an address")).to_vec()
    }

    /// Returns what a race without attempts begins with, each in its turn.
    fn turns(race: &mut Race<()>) -> Vec<SocketAddr> {
        std::iter::from_fn(|| race.poll_start(race.next_at, STAGGER)).collect()
    }

    const STAGGER: Duration = Duration::from_millis(250);

    #[test]
    fn families_alternate_with_ipv6_first_and_each_address_has_one_turn() {
        let mut race = Race::default();
        race.handle_resolved(Ok(addresses(["1.1.1.1:1", "2.2.2.2:2", "3.3.3.3:3"])));
        race.handle_resolved(Ok(addresses(["[::1]:1", "2.2.2.2:2"])));
        assert_eq!(turns(&mut race), addresses(["[::1]:1", "1.1.1.1:1", "2.2.2.2:2", "3.3.3.3:3"]));
    }

    #[test]
    fn an_address_waits_for_its_turn_unless_the_one_before_fails() {
        let mut race = Race::<()>::default();
        race.handle_resolved(Ok(addresses(["1.1.1.1:1", "2.2.2.2:2", "3.3.3.3:3"])));
        let now = race.next_at;
        assert!(race.poll_start(now, STAGGER).is_some());
        assert_eq!(race.poll_start(now, STAGGER), None);
        assert!(race.poll_start(now + STAGGER, STAGGER).is_some());
        race.handle_failed(CloseReason::TimedOut);
        assert!(race.poll_start(Instant::now(), STAGGER).is_some());
    }

    #[test]
    fn each_address_has_another_turn_when_the_race_begins_again() {
        let mut race = Race::default();
        race.handle_resolved(Ok(addresses(["1.1.1.1:1", "[::1]:1"])));
        assert_eq!(turns(&mut race).len(), 2);
        race.begin_again();
        assert_eq!(turns(&mut race), addresses(["[::1]:1", "1.1.1.1:1"]));
    }

    #[test]
    fn what_a_peer_said_is_reported_rather_than_silence() {
        let mut race = Race::<()>::default();
        race.handle_failed(CloseReason::VersionMismatch);
        race.handle_failed(CloseReason::TimedOut);
        race.handle_resolved(Err(CloseReason::unreachable("no such name")));
        assert_eq!(race.failure, CloseReason::VersionMismatch);
    }
}
