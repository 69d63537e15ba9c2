//! Dialling: resolve anew, race the addresses (RFC 8305), keep the first that answers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{ConnectError, Connecting, Connection};
use runnel_codec::NodeId;
use tokio::time::sleep;

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

/// Takes an offered connection through its handshake.
pub(crate) async fn accept(connecting: Connecting) -> Result<Connection, CloseReason> {
    connecting.await.map_err(|error| CloseReason::of_connection(&error))
}

/// Resolves and races the addresses. Losers are dropped, which closes them.
pub(crate) async fn dial<C>(
    env: Arc<dyn Env>,
    request: DialRequest,
    stagger: Duration,
    connect: C,
) -> Result<Connection, CloseReason>
where
    C: Fn(SocketAddr) -> Option<Result<Connecting, ConnectError>>,
{
    let mut failure = CloseReason::Unreachable { text: "no address is known".to_owned() };
    let mut addresses = Vec::new();
    for name in request.addresses {
        match env.resolve(name.clone()).await {
            Ok(found) => addresses.extend(found),
            Err(error) => failure = CloseReason::Unreachable { text: format!("{name}: {error}") },
        }
    }
    let mut waiting = interleave(addresses).into_iter();
    let mut racing = FuturesUnordered::new();
    loop {
        if let Some(address) = waiting.next() {
            match connect(address) {
                Some(Ok(connecting)) => racing.push(accept(connecting)),
                Some(Err(error)) => failure = CloseReason::of_connect(&error),
                None => failure = CloseReason::Unreachable { text: format!("no socket for {address}") },
            }
        } else if racing.is_empty() {
            return Err(failure);
        }
        let is_last = waiting.len() == 0;
        match next_or_stagger(&mut racing, (!is_last).then_some(stagger)).await {
            Some(Ok(connection)) => return Ok(connection),
            Some(Err(reason)) => failure = reason,
            None => {}
        }
    }
}

/// Waits for the next end of the race, but no longer than until the next address may start.
async fn next_or_stagger<F: Future>(
    racing: &mut FuturesUnordered<F>,
    stagger: Option<Duration>,
) -> Option<F::Output> {
    if racing.is_empty() {
        return None;
    }
    match stagger {
        None => racing.next().await,
        Some(stagger) => tokio::select! {
            biased;
            end = racing.next() => end,
            () = sleep(stagger) => None,
        },
    }
}

/// Orders addresses so that the families alternate, IPv6 first, each in its own order (RFC 8305, section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
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

    #[test]
    fn families_alternate_with_ipv6_first() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let ordered = interleave(["1.1.1.1:1", "2.2.2.2:2", "3.3.3.3:3", "[::1]:1"].map(address).to_vec());
        assert_eq!(ordered, ["[::1]:1", "1.1.1.1:1", "2.2.2.2:2", "3.3.3.3:3"].map(address));
    }
}
