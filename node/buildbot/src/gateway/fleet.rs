//! Which nodes can be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use runnel_client::api::NodeState;
use runnel_client::{Client, ClientError};
use tokio::sync::watch;
use tokio::time::sleep;

/// How a node can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// There is a link that is heard.
    Up,
    /// There is a link of which nothing was heard for too long.
    Suspect,
    /// There is no link, the node is not known, or the local node is away.
    #[default]
    Down,
}

/// Looks after the nodes of a gateway.
#[derive(Debug)]
pub(super) struct Fleet {
    client: Client,
    nodes: BTreeMap<String, watch::Sender<Reach>>,
}

impl Fleet {
    pub(super) fn new(client: Client) -> Self {
        Self { client, nodes: BTreeMap::new() }
    }

    /// Returns how a node can be reached, from now on.
    pub(super) fn watch(&mut self, node: &str) -> watch::Receiver<Reach> {
        self.nodes.entry(node.to_owned()).or_default().subscribe()
    }

    /// Hears what the local node says, again after each of its restarts, for ever.
    pub(super) async fn run(self) {
        let mut is_away = false;
        loop {
            let heard = self.hear(&mut is_away).await;
            if let (Err(error), false) = (heard, is_away) {
                tracing::warn!(%error, "the local node does not say which nodes can be reached");
                is_away = true;
            }
            // It may be restarted within the patience for nodes that are away.
            for node in self.nodes.keys() {
                self.set(node, Reach::Down);
            }
            sleep(ATTEMPT_PAUSE).await;
        }
    }

    async fn hear(&self, is_away: &mut bool) -> Result<(), ClientError> {
        let mut lines = self.client.lines("/v1/nodes?follow=true").await?;
        *is_away = false;
        while let Some(line) = lines.next().await? {
            let state: NodeState = serde_json::from_str(&line).map_err(ClientError::Malformed)?;
            self.set(&state.node, Reach::of(&state.state));
        }
        Ok(())
    }

    fn set(&self, node: &str, reach: Reach) {
        if let Some(sender) = self.nodes.get(node) {
            sender.send_if_modified(|last| std::mem::replace(last, reach) != reach);
        }
    }
}

impl Reach {
    fn of(state: &str) -> Self {
        match state {
            "up" => Self::Up,
            "suspect" => Self::Suspect,
            _ => Self::Down,
        }
    }
}

const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);
