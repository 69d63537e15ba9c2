//! `/v1/node` and `/v1/nodes`: this node, and those it knows.

use std::time::{Instant, SystemTime};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use runnel::{LinkEnd, LinkStatus, PeerStatus, SocketStats, StoreStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::bad_query;
use super::{Api, lines_response, ok};
use crate::daemon::error::ApiError;
use crate::daemon::node_states::{NodeStateReader, state_word};
use crate::daemon::registry::millis;

pub(super) async fn node(State(api): State<Api>) -> Result<Response, ApiError> {
    let store = api.handle.store_status().await.map_err(|_| ApiError::stopping())?;
    let about = &api.about;
    let listening: Vec<_> = api.handle.listening().iter().map(ToString::to_string).collect();
    Ok(ok(&json!({
        "node": api.handle.node().as_str(),
        "fleet": about.fleet,
        "role": about.role,
        "version": env!("CARGO_PKG_VERSION"),
        "boot": api.handle.boot().to_string(),
        "listening": listening,
        "uptime_ms": millis(about.started_at.elapsed()),
        "certificate_expires_in_ms": signed_millis_until(about.certificate_ends_at, SystemTime::now()),
        "store": store_word(&store),
    })))
}

/// The query of `GET /v1/nodes`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodesQuery {
    #[serde(default)]
    follow: bool,
}

pub(super) async fn nodes(
    State(api): State<Api>,
    query: Result<Query<NodesQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    if query.follow {
        return follow_nodes(api);
    }
    let peers = api.handle.peers().await.map_err(|_| ApiError::stopping())?;
    let sockets = api.handle.sockets().await.map_err(|_| ApiError::stopping())?;
    let now = Instant::now();
    let nodes: Vec<_> = peers.iter().map(|peer| peer_json(now, peer)).collect();
    let sockets: Vec<_> = sockets.iter().map(socket_json).collect();
    Ok(ok(&json!({ "nodes": nodes, "sockets": sockets })))
}

fn follow_nodes(api: Api) -> Result<Response, ApiError> {
    let reader = NodeStateReader::new(api.handle, api.stop).ok_or_else(ApiError::stopping)?;
    Ok(lines_response(stream::unfold(reader, async |mut reader: NodeStateReader| {
        let lines = reader.next().await?;
        Some((lines, reader))
    })))
}

pub(super) async fn network_changed(State(api): State<Api>) -> StatusCode {
    api.handle.network_changed().await;
    StatusCode::NO_CONTENT
}

/// Lets go of what another node has left here. Done twice it does no harm.
pub(super) async fn forget(State(api): State<Api>, Path(node): Path<String>) -> Result<StatusCode, ApiError> {
    let node = node
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{node:?} is no name for a node: {error}")))?;
    let is_forgotten = api.handle.forget(&node).await.is_ok();
    if is_forgotten || api.handle.knows(&node).await.map_err(|_| ApiError::stopping())? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::unknown_node(&node))
}

fn store_word(store: &StoreStatus) -> &'static str {
    match store {
        StoreStatus::None => "none",
        StoreStatus::Works => "works",
        StoreStatus::Full => "full",
        StoreStatus::Failed(_) => "failed",
    }
}

fn peer_json(now: Instant, peer: &PeerStatus) -> Value {
    json!({
        "node": peer.node.as_str(),
        "role": peer.role.map(|role| role.as_str()),
        "state": state_word(peer.state()),
        "link": peer.link.as_ref().map(|link| link_json(now, link)),
        "unreachable_ms": peer.unreachable_since.map(|since| millis(now.saturating_duration_since(since))),
        "last_end": peer.end.as_ref().map(|end| end_json(now, end)),
        "queued": peer.queued,
        "in_flight": peer.in_flight,
        "links_total": peer.links_total,
    })
}

fn end_json(now: Instant, end: &LinkEnd) -> Value {
    json!({
        "number": end.number.map(|number| number.to_wire()),
        "ago_ms": millis(now.saturating_duration_since(end.at)),
        "reason": end.reason.to_string(),
    })
}

fn link_json(now: Instant, link: &LinkStatus) -> Value {
    let stats = &link.stats;
    json!({
        "number": link.number.to_wire(),
        "remote": link.remote.to_string(),
        "rtt_ms": stats.rtt.as_secs_f64() * 1000.0,
        "loss": share(stats.packets_lost, stats.packets_sent),
        "up_ms": millis(now.saturating_duration_since(link.up_at)),
        "silent_ms": millis(link.silent_for),
        "migrations": stats.migrations,
        "mtu": stats.mtu,
        "mtu_probes_sent": stats.mtu_probes_sent,
        "mtu_probes_lost": stats.mtu_probes_lost,
        "black_holes": stats.black_holes,
        "bytes_sent": stats.bytes_sent,
        "bytes_received": stats.bytes_received,
    })
}

fn socket_json(socket: &SocketStats) -> Value {
    json!({
        "address": socket.address.to_string(),
        "buffer_bytes_asked": socket.buffer_bytes_asked,
        "receive_buffer_bytes": socket.receive_buffer_bytes,
        "send_buffer_bytes": socket.send_buffer_bytes,
        "send_segments": socket.send_segments,
        "send_segments_offered": socket.send_segments_offered,
        "receive_segments": socket.receive_segments,
    })
}

/// Returns a share between 0 and 1.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Returns the milliseconds until a moment, negative once it has passed.
fn signed_millis_until(moment: SystemTime, now: SystemTime) -> i64 {
    let signed = |duration| i64::try_from(millis(duration)).unwrap_or(i64::MAX);
    match moment.duration_since(now) {
        Ok(left) => signed(left),
        Err(passed) => -signed(passed.duration()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_expired_certificate_has_negative_time_left() {
        let now = SystemTime::now();
        assert_eq!(signed_millis_until(now + Duration::from_secs(2), now), 2000);
        assert_eq!(signed_millis_until(now - Duration::from_secs(2), now), -2000);
    }

    #[test]
    fn nothing_sent_is_nothing_lost() {
        assert_eq!(share(0, 0), 0.0);
        assert_eq!(share(1, 4), 0.25);
    }
}
