//! The states of all nodes as a stream: each at first, then whichever has changed.
//!
//! Whoever reads slowly gets the latest state of each node, not every change: nothing is kept for it but what it was told last.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use runnel::codec::NodeId;
use runnel::{LinkChanges, LinkChangesError, NodeHandle, PeerReach, PeerState};
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Reads the states of all nodes. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct NodeStateReader {
    handle: NodeHandle,
    changes: LinkChanges,
    told: Told,
    /// When it may look next; `None` if it has not looked yet.
    look_at: Option<Instant>,
    stop: CancellationToken,
}

/// What was told last, by node.
#[derive(Debug, Default)]
struct Told(BTreeMap<NodeId, (PeerState, u64)>);

impl NodeStateReader {
    /// Begins to read; `None` if the node stops.
    pub(super) fn new(handle: NodeHandle, stop: CancellationToken) -> Option<Self> {
        let changes = handle.link_changes()?;
        Some(Self { handle, changes, told: Told::default(), look_at: None, stop })
    }

    /// Returns the next lines; `None` when the node stops.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => None,
            lines = self.next_lines() => lines,
        }
    }

    async fn next_lines(&mut self) -> Option<Bytes> {
        loop {
            if let Some(at) = self.look_at {
                self.next_change().await?;
                sleep_until(at).await;
                self.pass_over_changes();
            }
            self.look_at = Some(Instant::now() + LOOK_INTERVAL);
            let lines = self.told.tell(self.handle.reach().await.ok()?);
            if !lines.is_empty() {
                return Some(lines.into());
            }
        }
    }

    async fn next_change(&mut self) -> Option<()> {
        match self.changes.next().await {
            Err(LinkChangesError::NodeStopped) => None,
            // Missed changes are seen like all others.
            _ => Some(()),
        }
    }

    /// One look is for all changes so far.
    fn pass_over_changes(&mut self) {
        while let Some(change) = self.changes.next().now_or_never() {
            if matches!(change, Err(LinkChangesError::NodeStopped)) {
                return;
            }
        }
    }
}

impl Told {
    /// Writes a line for each node that is not as it was told last.
    fn tell(&mut self, nodes: Vec<PeerReach>) -> Vec<u8> {
        let mut lines = Vec::new();
        for PeerReach { node, state, links_total } in nodes {
            let line =
                json!({ "node": node.as_str(), "state": state_word(state), "links_total": links_total });
            if self.0.insert(node, (state, links_total)) != Some((state, links_total)) {
                lines.extend_from_slice(line.to_string().as_bytes());
                lines.push(b'\n');
            }
        }
        lines
    }
}

/// Returns the word of the API.
pub(super) fn state_word(state: PeerState) -> &'static str {
    match state {
        PeerState::Up => "up",
        PeerState::Suspect => "suspect",
        PeerState::Down => "down",
    }
}

/// Shortest time between two looks at all nodes: with thousands that come back at once each change would be a look.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn reach(node: &str, state: PeerState, links_total: u64) -> PeerReach {
        PeerReach { node: node.parse().expect("a valid name"), state, links_total }
    }

    #[track_caller]
    fn check(told: &mut Told, nodes: Vec<PeerReach>, expected: &[(&str, &str, u64)]) {
        let lines = told.tell(nodes);
        let lines = serde_json::Deserializer::from_slice(&lines).into_iter::<Value>();
        let lines: Vec<_> = lines.map(|line| line.expect("JSON")).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(node, state, links)| json!({ "node": node, "state": state, "links_total": links }))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn each_node_is_told_at_first_and_then_when_it_has_changed() {
        let mut told = Told::default();
        let nodes = || vec![reach("w1", PeerState::Up, 1), reach("w2", PeerState::Down, 0)];
        check(&mut told, nodes(), &[("w1", "up", 1), ("w2", "down", 0)]);
        check(&mut told, nodes(), &[]);
        let suspect = vec![reach("w1", PeerState::Suspect, 1), reach("w2", PeerState::Down, 0)];
        check(&mut told, suspect, &[("w1", "suspect", 1)]);
        // It was away between two looks, and another came.
        let nodes = vec![reach("w1", PeerState::Up, 3), reach("w3", PeerState::Up, 1)];
        check(&mut told, nodes, &[("w1", "up", 3), ("w3", "up", 1)]);
    }
}
