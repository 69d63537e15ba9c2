//! The end of a node, in order: stop accepting, stop sending commands, say the outcomes that are ready, GoAway, close,
//! wait for tasks.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use runnel_codec::{CloseCode, CloseText, ControlFrame, GoAway, GoAwayReason};
use tokio::time::timeout;
use tracing::{info, warn};

use super::Engine;
use super::link_set::LinkIndex;
use super::storing::Storing;

impl Engine {
    /// Shuts down in order. Every wait has an end, so a dead peer or a handler that does not stop holds nothing up.
    pub(super) async fn shut_down(mut self: Box<Self>) {
        self.begin_draining();
        let drained = self.work_until(self.config.node.drain_timeout, Self::is_drained).await;
        if !drained {
            warn!("outcomes that could not be said in time are lost");
        }
        let heard = self.say_go_away();
        self.work_until(self.config.transport.close_timeout, |engine| engine.was_heard(&heard)).await;
        self.close_all();
        if let Some(storing) = self.storing.take()
            && timeout(self.config.node.drain_timeout, storing.close()).await.is_err()
        {
            warn!("the store is still at work");
        }
        // Nobody gathers wakes from here on.
        drop(self.wakes);
        drop(self.links);
        self.endpoint.wait_idle().await;
        drop(self.endpoint);
        let have_ended = self.env.wait_for_tasks(self.config.node.drain_timeout).await;
        info!(node = %self.identity.node(), have_ended, "the node has stopped");
    }

    /// From now on nothing new begins. Handlers are told to stop, but those that the next process finds
    /// again; what they then say still counts.
    fn begin_draining(&mut self) {
        info!(node = %self.identity.node(), "the node stops");
        self.is_draining = true;
        self.endpoint.stop_accepting();
        self.send.handle_draining();
        self.receive.handle_draining();
        self.detach_handlers();
        self.dispatch.stop_all();
        let indices: Vec<LinkIndex> = self.links.iter().map(|(index, _)| index).collect();
        for index in indices {
            self.give_room(index);
        }
    }

    /// Nothing runs or is becoming durable, and every peer that can be reached holds its outcomes.
    fn is_drained(&self) -> bool {
        let is_reached = |(_, peer): &(_, &super::peers::Peer)| peer.link.is_some();
        self.dispatch.is_idle()
            && self.storing.as_ref().is_none_or(Storing::is_idle)
            && self.peers.iter().filter(is_reached).all(|(node, _)| !self.receive.owes_outcomes(node))
    }

    /// Says GoAway on every link. Returns the frames received on each of them so far.
    fn say_go_away(&mut self) -> BTreeMap<LinkIndex, u64> {
        let retry_after = self.config.node.retry_after;
        let go_away = ControlFrame::GoAway(GoAway { reason: GoAwayReason::Shutdown, retry_after });
        let up = self.links.iter_mut().filter(|(_, entry)| entry.is_up());
        up.map(|(index, entry)| {
            entry.link.send_control(&go_away);
            (index, entry.link.stats().frames_received)
        })
        .collect()
    }

    /// Returns whether something came since on every link that is still up: peers answer GoAway with a heartbeat. A close
    /// would overtake what is still on its way.
    fn was_heard(&self, before: &BTreeMap<LinkIndex, u64>) -> bool {
        let mut up = self.links.iter().filter(|(_, entry)| entry.is_up());
        up.all(|(index, entry)| {
            before.get(&index).is_none_or(|frames| entry.link.stats().frames_received > *frames)
        })
    }

    fn close_all(&mut self) {
        self.inbox.requests.close();
        self.dispatch.abandon_all();
        // Those that were not up have not heard GoAway.
        let goodbye = CloseText { text: GOODBYE.to_owned(), retry_after: Some(self.config.node.retry_after) };
        for (_, entry) in self.links.iter_mut() {
            entry.link.close(CloseCode::Normal, goodbye.clone());
        }
        self.endpoint.close(CloseCode::Normal, goodbye);
    }

    /// Goes on working until `is_over`, or the time is up. Returns whether it is over.
    fn work_until(&mut self, limit: Duration, is_over: impl Fn(&Self) -> bool) -> impl Future<Output = bool> {
        let work = poll_fn(move |cx| {
            self.work(cx);
            if is_over(self) { Poll::Ready(()) } else { Poll::Pending }
        });
        async move { timeout(limit, work).await.is_ok() }
    }
}

const GOODBYE: &str = "the node shuts down";
