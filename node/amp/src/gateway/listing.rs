//! The nodes, in pages that fit into a value. Pure.

use runnel_client::api::NodeInfo;

use super::refusal::Refusal;
use crate::amp_box::AmpBox;
use crate::value::{amp_list, integer};

/// Answers the nodes behind a name, as many as fit.
pub(super) fn page(mut nodes: Vec<NodeInfo>, after: &str, bytes_max: usize) -> Result<AmpBox, Refusal> {
    nodes.retain(|node| node.node.as_str() > after);
    nodes.sort_by(|one, other| one.node.cmp(&other.node));
    let (mut boxes, mut bytes, mut next) = (Vec::new(), 0, None);
    for node in &nodes {
        let said = to_box(node);
        bytes += said.encoded_len();
        if bytes > bytes_max && !boxes.is_empty() {
            next = nodes.get(boxes.len() - 1).map(|last| last.node.clone());
            break;
        }
        boxes.push(said);
    }
    let list = amp_list(&boxes).map_err(|error| Refusal::too_large(&error))?;
    Ok(AmpBox::new().with("nodes", list).with_some("next", next))
}

fn to_box(node: &NodeInfo) -> AmpBox {
    AmpBox::new()
        .with("node", node.node.clone())
        .with("state", node.state.clone())
        .with_some("role", node.role.clone())
        .with("queued", integer(node.queued))
        .with("in_flight", integer(node.in_flight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::value::read_boxes;

    fn node(name: &str) -> NodeInfo {
        NodeInfo {
            node: name.to_owned(),
            role: None,
            state: "up".to_owned(),
            link: None,
            unreachable_ms: None,
            queued: 1,
            in_flight: 2,
            links_total: 3,
        }
    }

    #[test]
    fn pages_join_without_gaps() {
        let nodes = || ["c", "a", "b", "d", "e"].map(node).to_vec();
        let (mut after, mut names) = (String::new(), Vec::new());
        loop {
            let mut page = page(nodes(), &after, 130).unwrap();
            let boxes = read_boxes(&page.take("nodes").unwrap(), &Limits::default()).unwrap();
            assert!(boxes.len() <= 2, "{boxes:?}");
            names.extend(boxes.iter().map(|said| said.value("node").unwrap().clone()));
            let Some(next) = page.take("next") else { break };
            after = String::from_utf8(next.to_vec()).unwrap();
        }
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        assert_eq!(page(nodes(), "e", 130), Ok(AmpBox::new().with("nodes", "")));
    }
}
