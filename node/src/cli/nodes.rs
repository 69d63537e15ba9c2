//! `runnel nodes`: the other nodes, as the local one sees them.

use clap::Args;

use super::exit::{Exit, Failure};
use super::session::{Session, SessionArgs, paint, print};
use super::table::{Cell, Colour, Table};
use super::words::{duration, percent};
use runnel_client::ClientError;
use runnel_client::api::{LocalNode, NodeInfo, NodeList, NodeState, SocketInfo};

/// Arguments of `runnel nodes`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NodesArgs {
    /// Print a line for each node, and go on with one for each change.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    session: SessionArgs,
}

impl NodesArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        if self.follow {
            return follow(session).await;
        }
        if let Some(list) = session.ask::<NodeList>("/v1/nodes").await? {
            print(&table(&list.nodes).render(paint()))?;
            let local: LocalNode = session.client.get("/v1/node").await?;
            if let Some(warning) = warning(&local.store) {
                session.note(warning);
            }
            for shortage in list.sockets.iter().filter_map(shortage) {
                session.note(&shortage);
            }
        }
        Ok(Exit::Success)
    }
}

/// Prints each node's state and each change, until the local node stops.
async fn follow(session: &Session) -> Result<Exit, Failure> {
    let mut lines = session.client.lines("/v1/nodes?follow=true").await?;
    while let Some(line) = lines.next().await? {
        if session.json {
            print(&format!("{line}\n"))?;
        } else {
            let node: NodeState = serde_json::from_str(&line).map_err(ClientError::Malformed)?;
            print(&format!("{} {}\n", node.node, node.state))?;
        }
    }
    Err(Failure::new(Exit::NoDaemon, "the local node has stopped".to_owned()))
}

/// Returns what is to be said of the local node's store, if anything.
fn warning(store: &str) -> Option<&'static str> {
    match store {
        "full" => Some("there is no room for this node's store: nothing new is stored until there is"),
        "failed" => Some("this node's store has failed: the node stops"),
        _ => None,
    }
}

/// Returns what the system does not grant a socket, if anything.
fn shortage(socket: &SocketInfo) -> Option<String> {
    let asked = socket.buffer_bytes_asked;
    let granted = socket.receive_buffer_bytes.into_iter().chain(socket.send_buffer_bytes).min();
    let mut lacks = Vec::new();
    if let Some(granted) = granted.filter(|granted| *granted < asked) {
        lacks.push(format!("has {granted} bytes for a buffer where {asked} were asked for"));
    }
    if socket.send_segments < socket.send_segments_offered {
        lacks.push("sends packets one by one, although the system could send several at once".to_owned());
    }
    (!lacks.is_empty()).then(|| format!("the socket at {} {}", socket.address, lacks.join(", and ")))
}

fn table(nodes: &[NodeInfo]) -> Table {
    let mut table = Table::new(&[
        "NODE",
        "ROLE",
        "STATE",
        "FOR",
        "LAST PACKET",
        "RTT",
        "LOSS",
        "MIGRATIONS",
        "QUEUED",
        "IN FLIGHT",
        "ADDRESS",
    ]);
    for node in nodes {
        let link = node.link.as_ref();
        let of_link = |show: &dyn Fn(&runnel_client::api::LinkInfo) -> String| {
            link.map_or_else(|| "-".to_owned(), show)
        };
        table.row([
            Cell::new(&node.node),
            Cell::new(node.role.as_deref().unwrap_or("?")),
            state(node),
            Cell::new(
                node.unreachable_ms.or(link.map(|link| link.up_ms)).map_or_else(|| "-".to_owned(), duration),
            ),
            Cell::new(of_link(&|link| format!("{} ago", duration(link.silent_ms)))),
            Cell::new(of_link(&|link| format!("{:.1} ms", link.rtt_ms))),
            Cell::new(of_link(&|link| percent(link.loss))),
            Cell::new(of_link(&|link| link.migrations.to_string())),
            Cell::new(node.queued.to_string()),
            Cell::new(node.in_flight.to_string()),
            Cell::new(of_link(&|link| link.remote.clone())),
        ]);
    }
    table
}

fn state(node: &NodeInfo) -> Cell {
    let colour = match node.state.as_str() {
        "up" => Colour::Green,
        "suspect" => Colour::Yellow,
        _ => Colour::Red,
    };
    Cell::coloured(&node.state, colour)
}

const EXAMPLES: &str = "\
Examples:
  runnel nodes
  runnel nodes -f | grep --line-buffered ' down$'
  runnel nodes --json | jq -r '.nodes[] | select(.state != \"up\").node'

STATE is up, suspect (nothing authenticated came for too long, another link is being made) or
down; FOR is how long the link has been up, or the node without one. LAST PACKET is the age of
the newest authenticated packet: no link is called up without it. --json has more: what each path
carries, and what the system grants this node's sockets.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::Paint;
    use super::*;

    fn socket(receive_buffer_bytes: u64, send_segments: u64) -> SocketInfo {
        SocketInfo {
            address: "0.0.0.0:4433".into(),
            buffer_bytes_asked: 4_194_304,
            receive_buffer_bytes: Some(receive_buffer_bytes),
            send_buffer_bytes: Some(4_194_304),
            send_segments,
            send_segments_offered: 64,
        }
    }

    #[test]
    fn people_are_told_what_the_system_does_not_grant() {
        assert_eq!(shortage(&socket(4_194_304, 64)), None);
        assert_eq!(
            shortage(&socket(212_992, 1)).as_deref(),
            Some(
                "the socket at 0.0.0.0:4433 has 212992 bytes for a buffer where 4194304 were asked for, and sends \
                 packets one by one, although the system could send several at once"
            )
        );
    }

    #[test]
    fn a_list_of_nodes_is_aligned() {
        let list = json!({ "nodes": [
            { "node": "w1", "role": "worker", "state": "up", "queued": 0, "in_flight": 3, "links_total": 2,
              "unreachable_ms": null, "link": { "number": 2, "remote": "192.0.2.7:51820", "rtt_ms": 41.72, "loss": 0.0112,
              "up_ms": 3_600_000, "silent_ms": 840, "migrations": 1, "bytes_sent": 1, "bytes_received": 2 } },
            { "node": "w2", "role": null, "state": "down", "queued": 5, "in_flight": 0, "links_total": 0,
              "unreachable_ms": 61_000, "link": null },
        ] });
        let list: NodeList = serde_json::from_value(list).expect("a list");
        assert_eq!(
            table(&list.nodes).render(Paint::Plain),
            "\
NODE  ROLE    STATE  FOR    LAST PACKET  RTT      LOSS  MIGRATIONS  QUEUED  IN FLIGHT  ADDRESS
w1    worker  up     1h 0m  0.8s ago     41.7 ms  1.1%  1           0       3          192.0.2.7:51820
w2    ?       down   1m 1s  -            -        -     -           5       0          -
"
        );
    }
}
