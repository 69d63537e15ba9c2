//! What the model holds the queue's words against: the promises.

use super::*;

impl World {
    pub(super) fn check_note(&mut self, note: &Note) {
        match note {
            Note::Started(id) => {
                let (key, model) = (id.key, self.model_at(*id));
                assert_eq!(model.started, Written::No, "{key} is started twice");
                assert_eq!(model.ended, Written::No, "{key} is started after its end");
                assert!(!model.is_settled, "{key} is started after it was settled");
                model.started = Written::OnItsWay;
            }
            Note::Ended { id, .. } => {
                let (known, key) = (self.queue.known_mut(*id), id.key);
                let Some(Known { state: State::Ending(outcome), .. }) = known else {
                    panic!("{key} ends without an outcome");
                };
                let outcome = &outcome.clone();
                let model = self.model_at(*id);
                assert_eq!(model.ended, Written::No, "{key} ends twice");
                assert_eq!(outcome.is_never(), !model.handed_over, "{key} ends as {outcome:?}");
                match (outcome, &model.returned) {
                    (outcome, Some(returned)) => assert_eq!(outcome, returned, "{key}"),
                    (Outcome::Failed(_), None) => assert!(model.was_told_to_stop, "{key} failed by itself"),
                    (outcome, None) => assert!(outcome.is_never(), "{key} ends as {outcome:?}"),
                }
                model.is_known = true;
                model.ended = Written::OnItsWay;
                model.outcome = Some(outcome.clone());
            }
            _ => {}
        }
    }

    pub(super) fn check_start(&mut self, start: &Start) {
        let model = self.model_of(&start.from, start.key);
        assert!(!model.handed_over, "{} is handed over twice", start.key);
        assert_eq!(
            model.started,
            Written::Stored,
            "{} is handed over before its record is stored",
            start.key
        );
        assert_eq!(model.ended, Written::No, "{} is handed over after its end", start.key);
        assert!(!model.is_settled, "{} is handed over after it was settled", start.key);
        model.handed_over = true;
        model.runs = true;
        let key = start.key;
        let expected = head_of(number_of(key), &Model::default());
        assert_eq!((&start.name, start.class, &start.args), (&expected.name, expected.class, &expected.args));
        let (all, slow) = self.places_taken();
        assert!(all <= self.config.running_max && slow <= 1, "{key}: {all} run, {slow} of them slow");
        let others = self.others_taken();
        assert!(others < self.config.running_max, "{key}: {others} that are not urgent run");
    }

    pub(super) fn check_reply(&mut self, reply: &Reply) {
        let peer = self.peers.iter_mut().find(|peer| peer.node == reply.peer).unwrap();
        assert_eq!(Some(reply.at.link.to_wire()), peer.link, "a word on a link that is gone: {reply:?}");
        let Some(stream) = peer.streams.get_mut(&reply.at.stream) else {
            panic!("a word on a stream that is gone: {reply:?}");
        };
        let model = peer.commands.get_mut(&stream.number).unwrap();
        assert!(!stream.is_closed, "a word after the last: {reply:?}");
        let is_current = model.stream == Some(reply.at.stream);
        match &reply.frame {
            StreamFrame::Accepted { .. } => {
                assert!(is_current && !stream.is_accepted && !stream.is_started, "{reply:?}");
                stream.is_accepted = true;
                model.is_known = true;
                model.was_accepted = true;
            }
            StreamFrame::Started => {
                assert!(is_current && stream.is_accepted && !stream.is_started, "{reply:?}");
                assert_eq!(model.started, Written::Stored, "said before it is stored: {reply:?}");
                stream.is_started = true;
            }
            StreamFrame::Update { number, content } => {
                assert!(is_current && stream.is_started, "{reply:?}");
                assert_eq!(*number, stream.update + 1, "{reply:?}");
                stream.update = *number;
                let index = usize::try_from(*number).unwrap();
                assert_eq!(model.updates.get(index - 1), Some(content), "{reply:?}");
                let before: usize = model.updates[..index - 1].iter().map(Bytes::len).sum();
                assert!((before as u64) < model.credit, "begun beyond the credit: {reply:?}");
            }
            StreamFrame::Outcome(outcome) => {
                assert!(is_current, "{reply:?}");
                assert_eq!(model.ended, Written::Stored, "said before it is stored: {reply:?}");
                assert_eq!(model.outcome.as_ref(), Some(outcome), "not what was stored: {reply:?}");
                assert_eq!(model.said.get_or_insert_with(|| outcome.clone()), outcome, "it has changed");
                let is_whole = stream.update == model.updates.len() as u64;
                assert!(is_whole || model.is_settled, "updates are missing: {reply:?}");
                model.received = stream.update;
            }
            StreamFrame::Busy { .. } => assert!(is_current && !model.is_known, "a known command: {reply:?}"),
            StreamFrame::Stale => assert!(model.is_settled, "{reply:?}"),
            StreamFrame::Duplicate => assert!(!is_current, "{reply:?}"),
            frame => panic!("not a word of a receiver: {frame:?}"),
        }
        let is_last = !matches!(
            reply.frame,
            StreamFrame::Accepted { .. } | StreamFrame::Started | StreamFrame::Update { .. }
        );
        assert_eq!(reply.is_last, is_last, "{reply:?}");
        stream.is_closed = is_last;
        if is_last && is_current {
            model.stream = None;
        }
    }

    pub(super) fn check_counts(&self) {
        let counts = self.queue.counts();
        let mut unfinished = 0;
        for peer in &self.peers {
            let is_unfinished = |model: &&Model| model.was_accepted && model.ended != Written::Stored;
            let places = peer.commands.values().filter(is_unfinished).count();
            assert_eq!(self.queue.places(&peer.node), places, "places of {}", peer.node);
            assert!(places <= self.config.sender_commands_max);
            unfinished += places;
        }
        assert_eq!(counts.unfinished, unfinished);
        assert_eq!(counts.late, self.late);
        assert!(counts.remembered <= self.config.journal_max * self.peers.len());
        let (running, _) = self.places_taken();
        assert_eq!(counts.running, running);
    }

    /// Counts the running places that are taken: in all, and by the slow type.
    fn places_taken(&self) -> (usize, usize) {
        let models = self.peers.iter().flat_map(|peer| &peer.commands);
        let taken: Vec<_> = models
            .filter(|(_, model)| model.started != Written::No && model.ended != Written::Stored)
            .map(|(number, _)| is_slow(*number))
            .collect();
        (taken.len(), taken.iter().filter(|is_slow| **is_slow).count())
    }

    /// Counts the running places that are taken by commands below Urgent.
    fn others_taken(&self) -> usize {
        let models = self.peers.iter().flat_map(|peer| &peer.commands);
        models
            .filter(|(_, model)| model.started != Written::No && model.ended != Written::Stored)
            .filter(|(number, _)| class_of(**number) != Class::Urgent)
            .count()
    }

    /// Nobody reads what a handler of an older process says, so it has all its room back and does not wait for ever.
    pub(super) fn check_room(&self) {
        for peer in &self.peers {
            for (number, model) in peer.commands.iter().filter(|(number, _)| **number / BOOT < peer.boot) {
                assert!(
                    !model.runs || model.room_owed == 0,
                    "the handler of {number} of {} is stuck",
                    peer.node
                );
            }
        }
    }
}
