//! Accepting programs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use runnel_client::Client;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span, warn};

use super::config::GatewayConfig;
use super::connection::Connection;

/// Where programs come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket. Whoever may open its file commands the fleet.
    Unix(UnixListener),
    /// A TCP port. Whoever can connect to it commands the fleet: AMP knows no passwords.
    Tcp(TcpListener),
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Serves programs until `stop` fires, and ends their connections then. What they have submitted goes on at the node.
///
/// # Cancel safety
///
/// Dropping the future ends all connections.
pub async fn serve(listener: Listener, client: Client, config: GatewayConfig, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(config.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut number = 0u64;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(end) = connections.join_next() => report(end),
            (stream, place) = accept(&listener, &places) => {
                number += 1;
                let connection = Connection::new(client.clone(), config.clone());
                let served = serve_one(connection, stream, place, stop.child_token());
                connections.spawn(served.instrument(info_span!("program", number)));
            }
        }
    }
    while let Some(end) = connections.join_next().await {
        report(end);
    }
}

async fn serve_one(
    connection: Connection,
    stream: Stream,
    _place: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    match stream {
        Stream::Unix(stream) => connection.serve(stream, stop).await,
        Stream::Tcp(stream) => {
            // Small boxes are not to wait for larger ones; without it they do, and that is all.
            stream.set_nodelay(true).ok();
            connection.serve(stream, stop).await;
        }
    }
}

/// Accepts once there is a place. Cancel-safe: a connection that is not accepted waits in the kernel.
async fn accept(listener: &Listener, places: &Arc<Semaphore>) -> (Stream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        let accepted = match listener {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
        };
        match accepted {
            Ok(stream) => return (stream, place),
            Err(error) => wait_after(&error).await,
        }
    }
}

/// Waits a little if the system has no room, so that it is not asked again at once.
async fn wait_after(error: &io::Error) {
    let is_of_the_other_side = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !is_of_the_other_side {
        warn!(%error, "a program cannot be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn report(end: Result<(), tokio::task::JoinError>) {
    if let Err(error) = end
        && error.is_panic()
    {
        error!(%error, "a connection has panicked");
    }
}

/// Pause after the system could not accept: as axum and hyper do.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
