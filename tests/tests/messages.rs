//! Small messages that share streams: each handled once, and answered, whatever becomes of the streams and the link.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{RecvStream, SendStream};
use runnel::certs::Role;
use runnel::codec::{
    Class, Command, CommandKey, ControlFrame, FEATURE_BATCHES, Head, Limits, Message, Outcome, Reached,
    RejectionKind, Step, StreamDecoder, StreamFrame, StreamItem, encode_control, encode_frame,
};
use runnel::{NodeBuilder, NotDone, Submission, SubmitOptions};
use runnel_tests::commands::{Gate, Notice, Wait, handlers};
use runnel_tests::fleet::{FLEET, TestFleet};
use runnel_tests::follow::{outcome, started};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::{patient, report};
use runnel_tests::route::{local, lossy};
use runnel_tests::seed::Seed;
use runnel_tests::stranger::Stranger;
use runnel_tests::tally::Tally;
use tokio::task::JoinSet;

/// What a [`Notice`] would be if its sender had other types: its name with arguments that are none.
enum Misread {}

impl Message for Misread {
    const NAME: &'static str = <Notice as Command>::NAME;
    type Args = (u64, u64, u64);
}

#[tokio::test]
async fn each_of_ten_thousand_messages_is_handled_once_at_five_percent_loss() {
    let seed = Seed::or(1);
    let config = PairConfig { path: lossy(Duration::from_millis(5), 0.05), ..PairConfig::default() };
    let pair = Pair::start(config, seed.number()).await;
    let (mut ids, mut open) = (Vec::new(), VecDeque::new());
    for number in 0..10_000 {
        let class = Class::ALL[usize::try_from(number).expect("a small number") % Class::ALL.len()];
        let options = SubmitOptions { class, ..SubmitOptions::default() };
        open.push_back(pair.submit::<Notice>(number, options).await);
        if open.len() == 5_000 {
            ids.extend(end_oldest(&mut open).await);
        }
    }
    while let Some(id) = end_oldest(&mut open).await {
        ids.push(id);
    }
    ids.sort();
    let runs = pair.tally.all();
    assert_eq!(runs.keys().cloned().collect::<Vec<_>>(), ids, "seed {}", seed.number());
    assert!(runs.values().all(|runs| *runs == 1), "seed {}", seed.number());
    report(&format!("{} of 10,000 messages travelled in batches", batched(&pair).await));
    pair.stop().await;
}

async fn end_oldest(open: &mut VecDeque<Submission<Notice>>) -> Option<String> {
    let submission = open.pop_front()?;
    let id = submission.id().to_string();
    assert_eq!(outcome(submission).await, Ok(()));
    Some(id)
}

/// Returns how many messages the controller has handed to links in batches.
async fn batched(pair: &Pair) -> u64 {
    let mut status = pair.controller().status();
    // The first may be older than the last message.
    patient("the status", status.changed()).await.expect("the controller runs");
    patient("the status", status.changed()).await.expect("the controller runs");
    status.borrow().messages_batched
}

#[tokio::test]
async fn a_message_that_is_rejected_says_nothing_about_the_others_of_its_batch() {
    let pair = Pair::start_in_the_dark(PairConfig::default(), 1).await;
    let mut notices = Vec::new();
    let mut misread = None;
    for number in 0..50 {
        if number == 25 {
            misread = Some(pair.submit::<Misread>((1, 2, 3), SubmitOptions::default()).await);
        }
        notices.push(pair.submit::<Notice>(number, SubmitOptions::default()).await);
    }
    pair.route.lighten().await;
    for notice in notices {
        let id = notice.id().clone();
        assert_eq!(outcome(notice).await, Ok(()));
        assert_eq!(pair.tally.runs(&id), 1);
    }
    let misread = misread.expect("it was submitted");
    let id = misread.id().clone();
    let Err(NotDone::Rejected(rejection)) = outcome(misread).await else { panic!("it cannot be read") };
    assert_eq!((rejection.kind, pair.tally.runs(&id)), (RejectionKind::BadArguments, 0));
    assert_eq!(batched(&pair).await, 51, "all of them shared streams");
    pair.stop().await;
}

#[tokio::test]
async fn messages_whose_link_dies_before_they_are_answered_are_answered_on_the_next() {
    let mut config = PairConfig::default();
    for config in [&mut config.controller, &mut config.worker] {
        config.liveness.owed_interval = Duration::from_millis(100);
        config.liveness.suspect_after = Duration::from_millis(500);
        // A link that is dark is given up soon.
        config.transport.idle_timeout = Duration::from_secs(2);
        config.transport.keep_alive_interval = Duration::from_millis(500);
    }
    let pair = Pair::start(config, 1).await;
    let (mut waiting, mut submitted) = (Vec::new(), JoinSet::new());
    for number in 0..50 {
        let (handle, worker) = (pair.controller().clone(), pair.worker().clone());
        submitted
            .spawn(async move { handle.submit::<Wait>(&worker, &number, SubmitOptions::default()).await });
    }
    while let Some(submission) = submitted.join_next().await {
        waiting.push(submission.expect("no panic").expect("the queue has room"));
    }
    for message in &mut waiting {
        started(message).await;
    }
    pair.route.go_dark().await;
    let mut status = pair.controller().status();
    let worker = pair.worker().clone();
    let is_down = status.wait_for(|status| status.link(&worker).is_none());
    patient("the end of the link", is_down).await.expect("the controller runs");
    // They end in the dark.
    pair.gate.open();
    pair.route.lighten().await;
    for message in waiting {
        let id = message.id().clone();
        assert_eq!(outcome(message).await, Ok(()));
        assert_eq!(pair.tally.runs(&id), 1);
    }
    pair.stop().await;
}

#[tokio::test]
async fn each_message_has_its_own_stream_for_a_peer_that_knows_no_batches() {
    for (features, streams) in [(0, 3), (FEATURE_BATCHES, 1)] {
        let fleet = TestFleet::today();
        let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller)).listen(local());
        let controller = controller.start().await.expect("the controller starts");
        let worker = "stranger".parse().expect("a valid name");
        let mut submitted = Vec::new();
        for number in 0..3 {
            let submission = controller.handle().submit::<Notice>(&worker, &number, SubmitOptions::default());
            submitted.push(submission.await.expect("the queue has room"));
        }
        let stranger = Stranger::new(&fleet.papers("stranger", Role::Worker)).with_features(features);
        let address = controller.handle().listening()[0];
        let mut guest = stranger.enter(address, "controller", FLEET, &[Notice::name()]).await;
        let mut opened = 0;
        let mut keys = Vec::new();
        while keys.len() < 3 {
            let (mut send, mut receive) =
                patient("a stream", guest.connection.accept_bi()).await.expect("the link is up");
            let heads = heads(&mut receive).await;
            keys.extend(heads.iter().map(|head| head.key));
            opened += 1;
            match &heads[..] {
                [_] => answer_on_stream(&mut send).await,
                heads => answer_batch(&mut guest.control.0, heads).await,
            }
            send.finish().expect("it is open");
        }
        assert_eq!(opened, streams);
        for submission in submitted {
            assert_eq!(outcome(submission).await, Ok(()));
        }
        patient("the controller to stop", controller.shutdown()).await;
    }
}

/// Reads the heads on a stream up to its end.
async fn heads(receive: &mut RecvStream) -> Vec<Head> {
    let mut decoder = StreamDecoder::new(Limits::default());
    decoder.push(patient("the stream's end", receive.read_to_end(1 << 20)).await.expect("a stream").into());
    let items = std::iter::from_fn(|| decoder.next_item().expect("what the wire allows"));
    let head = |item| match item {
        StreamItem::Head(head) | StreamItem::Message(head) => Some(head),
        _ => None,
    };
    items.filter_map(head).collect()
}

async fn answer_on_stream(send: &mut SendStream) {
    let mut bytes = BytesMut::new();
    encode_frame(&StreamFrame::Outcome(Outcome::Done { result: Bytes::new() }), &mut bytes);
    send.write_all(&bytes).await.expect("the link is up");
}

async fn answer_batch(control: &mut SendStream, heads: &[Head]) {
    let keys: Vec<CommandKey> = heads.iter().map(|head| head.key).collect();
    let ranges = vec![(keys[0].seq, keys[keys.len() - 1].seq)];
    let reached = Reached { step: Step::Done, epoch: keys[0].epoch, ranges };
    let mut bytes = BytesMut::new();
    encode_control(&ControlFrame::Reached(reached), &mut bytes);
    control.write_all(&bytes).await.expect("the link is up");
}

#[tokio::test]
async fn messages_need_no_batches() {
    let (tally, gate) = (Tally::default(), Gate::closed());
    let fleet = TestFleet::today();
    let mut config = runnel::Config::default();
    config.send_queue.batched_bytes_max = 0;
    let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker))
        .handlers(handlers(&tally, &gate))
        .listen(local());
    let worker = worker.start().await.expect("the worker starts");
    let name = worker.handle().node().clone();
    let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller))
        .config(config)
        .peer(name.clone(), [worker.handle().listening()[0].to_string()]);
    let controller = controller.start().await.expect("the controller starts");
    let mut submitted = Vec::new();
    for number in 0..50 {
        let submission = controller.handle().submit::<Notice>(&name, &number, SubmitOptions::default());
        submitted.push(submission.await.expect("the queue has room"));
    }
    for submission in submitted {
        assert_eq!(outcome(submission).await, Ok(()));
    }
    assert_eq!(controller.handle().status().borrow().messages_batched, 0);
    assert_eq!(tally.all().len(), 50);
    patient("the controller to stop", controller.shutdown()).await;
    patient("the worker to stop", worker.shutdown()).await;
}
