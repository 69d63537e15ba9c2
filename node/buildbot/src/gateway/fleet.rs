//! Which nodes can be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use runnel_client::Client;
use runnel_client::api::NodeList;
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

    /// Asks the local node again and again, for ever.
    pub(super) async fn run(self) {
        loop {
            match self.client.get::<NodeList>("/v1/nodes").await {
                Ok(list) => self.handle_list(&list),
                Err(error) => {
                    tracing::debug!(%error, "the local node does not say which nodes can be reached");
                    self.handle_list(&NodeList { nodes: Vec::new(), sockets: Vec::new() });
                }
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    fn handle_list(&self, list: &NodeList) {
        for (name, sender) in &self.nodes {
            let info = list.nodes.iter().find(|info| info.node == *name);
            let reach = info.map_or(Reach::Down, |info| Reach::of(&info.state));
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

/// Between two looks. A question costs the local node some microseconds.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_listed_is_down() {
        let mut fleet = Fleet::new(Client::new("/nowhere".into()));
        let (w1, w2) = (fleet.watch("w1"), fleet.watch("w2"));
        let list = r#"{"nodes":[{"node":"w1","role":null,"state":"up","link":null,"unreachable_ms":null,"queued":0,"in_flight":0}]}"#;
        fleet.handle_list(&serde_json::from_str(list).unwrap());
        assert_eq!((*w1.borrow(), *w2.borrow()), (Reach::Up, Reach::Down));
        fleet.handle_list(&serde_json::from_str(&list.replace("up", "suspect")).unwrap());
        assert_eq!(*w1.borrow(), Reach::Suspect);
        fleet.handle_list(&serde_json::from_str(r#"{"nodes":[]}"#).unwrap());
        assert_eq!(*w1.borrow(), Reach::Down);
    }
}
