//! The greeting of a link: what comes on commands' streams counts after the welcome.
//!
//! Packets come in any order, and a dialler may send commands right behind its hello. Pure.

use std::collections::VecDeque;

use runnel_codec::{ControlFrame, HelloAnswer};

use super::event::LinkEvent;

/// Whether welcome was said, by the peer or to it, and what came before that.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    is_done: bool,
    early: Vec<LinkEvent>,
}

impl Greeting {
    /// Welcome was said. What came before is [passed on](Self::pass_on) next.
    pub(super) fn handle_welcome(&mut self) {
        self.is_done = true;
    }

    /// Passes on what happened on a command's stream, or keeps it until the welcome and behind what came before that.
    pub(super) fn say(&mut self, event: LinkEvent, events: &mut VecDeque<LinkEvent>) {
        let is_next = self.is_done && self.early.is_empty();
        if is_next { events.push_back(event) } else { self.early.push(event) }
    }

    /// Passes on what came before the welcome, once that was said.
    pub(super) fn pass_on(&mut self, events: &mut VecDeque<LinkEvent>) {
        if self.is_done {
            events.extend(self.early.drain(..));
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }
}

/// Returns whether both sides of the link are up with this frame.
pub(super) fn is_welcome(frame: &ControlFrame) -> bool {
    matches!(frame, ControlFrame::HelloAnswer(answer) if matches!(**answer, HelloAnswer::Welcome(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::stream::StreamId;

    #[test]
    fn what_comes_before_the_welcome_is_passed_on_after_it() {
        let (mut greeting, mut events) = (Greeting::default(), VecDeque::new());
        let finished = |number| LinkEvent::Finished { stream: StreamId::from_wire(number) };
        greeting.say(finished(0), &mut events);
        greeting.pass_on(&mut events);
        assert_eq!(events, []);
        greeting.handle_welcome();
        greeting.say(finished(4), &mut events);
        assert_eq!(events, [], "what came before is said first");
        greeting.pass_on(&mut events);
        greeting.say(finished(8), &mut events);
        assert_eq!(events, [finished(0), finished(4), finished(8)]);
    }
}
