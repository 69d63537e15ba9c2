//! A peer, a caller or a handler that never reads slows nobody else.

use std::pin::pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use runnel::certs::Role;
use runnel::codec::{Class, Command};
use runnel::{Body, Progress, Submission, SubmitOptions};
use runnel_tests::commands::{Digest, Echo, Hold, Mark, TALK_BYTES, Talk};
use runnel_tests::fleet::FLEET;
use runnel_tests::follow::{link_number, outcome, started};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::patient;
use runnel_tests::stranger::Stranger;

#[tokio::test]
async fn a_peer_that_never_reads_does_not_slow_another() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    // It is let in, and never looks at a stream again. All that QUIC lets it hold is soon full.
    let stranger = Stranger::new(&pair.fleet.papers("deaf", Role::Worker));
    let address = pair.controller().listening()[0];
    let guest = stranger.enter(address, "controller", FLEET, &[Mark::name()]).await;
    let deaf = "deaf".parse().expect("a valid name");
    link_number(pair.controller(), &deaf, |_| true).await;
    let mut stuck = Vec::new();
    for number in 0..50 {
        let options = SubmitOptions {
            class: Class::ALL[usize::try_from(number).expect("small") % Class::ALL.len()],
            payload: Bytes::from(vec![0; 1 << 20]),
            ..SubmitOptions::default()
        };
        let submission = pair.controller().submit::<Mark>(&deaf, &number, options).await;
        stuck.push(submission.expect("the queue has room"));
    }

    for number in 0..500 {
        let class = Class::ALL[usize::try_from(number).expect("small") % Class::ALL.len()];
        let payload = Bytes::from(vec![0; 16 << 10]);
        let options = SubmitOptions { class, payload, ..SubmitOptions::default() };
        assert_eq!(outcome(pair.submit::<Mark>(number, options).await).await, Ok(number));
    }
    // All of these have ended, and none of those has even begun.
    assert!(stuck.iter_mut().all(is_silent), "the deaf peer said something");
    assert_eq!(pair.tally.all().len(), 500);
    drop(guest);
    pair.stop().await;
}

#[tokio::test]
async fn a_caller_that_never_reads_stops_its_own_command_and_no_other() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut talk = pair.submit::<Talk>((), SubmitOptions::default()).await;
        started(&mut talk).await;
        unread.push(talk);
    }
    // On the same link, a caller that reads gets far more than any credit or window holds,
    let mut talk = pair.submit::<Talk>((), SubmitOptions::default()).await;
    started(&mut talk).await;
    let mut read = 0;
    while read < READ_BYTES {
        match patient("an update", talk.progress()).await {
            Some(Ok(Progress::Update(content))) => read += content.len(),
            other => panic!("{other:?}"),
        }
    }
    // and small commands come and go.
    for number in 0..200 {
        assert_eq!(outcome(pair.submit::<Echo>(number, SubmitOptions::default()).await).await, Ok(number));
    }
    for talk in unread.into_iter().chain([talk]) {
        pair.controller().cancel(talk.id()).await.expect("it runs");
        outcome(talk).await.expect_err("it was cancelled");
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_handler_that_never_reads_its_body_stops_its_own_command_and_no_other() {
    let pair = Pair::start(PairConfig::default(), 1).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        // It waits for the gate, and never looks at its body.
        let body = Some(Body::bytes(vec![0; 2 << 20]));
        let mut hold = pair.submit::<Hold>((), SubmitOptions { body, ..SubmitOptions::default() }).await;
        started(&mut hold).await;
        unread.push(hold);
    }
    // On the same link small commands come and go,
    for number in 0..200 {
        let class = Class::ALL[usize::try_from(number).expect("small") % Class::ALL.len()];
        let options = SubmitOptions { class, ..SubmitOptions::default() };
        assert_eq!(outcome(pair.submit::<Echo>(number, options).await).await, Ok(number));
    }
    // and so does a body that is read.
    let body = Some(Body::bytes(vec![7; 8 << 20]));
    let digest = pair.submit::<Digest>((), SubmitOptions { body, ..SubmitOptions::default() }).await;
    assert_eq!(outcome(digest).await, Ok((8 << 20, blake3::hash(&vec![7; 8 << 20]).into())));
    assert!(unread.iter_mut().all(is_silent), "a command ended behind the closed gate");

    pair.gate.open();
    for hold in unread {
        assert_eq!(outcome(hold).await, Ok(()));
    }
    pair.stop().await;
}

/// Returns whether nothing has come of a command so far.
fn is_silent<C: Command>(submission: &mut Submission<C>) -> bool {
    pin!(submission.progress()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// More than the windows of a link and the credit of a command together.
const READ_BYTES: usize = 1024 * TALK_BYTES;
