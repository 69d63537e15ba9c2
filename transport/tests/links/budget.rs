//! What is in flight is counted the same at both ends, whatever becomes of the streams.

use bytes::Bytes;
use runnel_codec::{Class, CloseCode, Head, StreamFrame};
use runnel_transport::{LinkEvent, Side, StreamId};

use crate::harness::{Nodes, Pair, accepted, done, head};

/// Moves both ends until nothing of the dialler's is in flight.
async fn until_nothing_is_in_flight(pair: &mut Pair) {
    while pair.dialler.in_flight() > 0 {
        pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Budget)).await;
    }
}

/// Opens a command with a body and writes some of it.
async fn send_body(pair: &mut Pair, class: Class) -> StreamId {
    let stream = pair.send(&Head { has_body: true, ..head(class) }, Bytes::new()).await;
    for _ in 0..10 {
        pair.dialler.send(stream, &StreamFrame::Body(Bytes::from(vec![7; 64 << 10])));
    }
    assert!(pair.dialler.in_flight() > 10 * (64 << 10));
    stream
}

#[tokio::test]
async fn bytes_are_in_flight_until_the_peer_has_taken_them() {
    for class in Class::ALL {
        let mut pair = Nodes::new().link().await;
        let stream = send_body(&mut pair, class).await;
        pair.dialler.finish(stream);
        until_nothing_is_in_flight(&mut pair).await;
    }
}

#[tokio::test]
async fn urgent_heads_and_answers_are_not_counted() {
    let mut pair = Nodes::new().link().await;
    let stream = pair.send(&head(Class::Urgent), Bytes::new()).await;
    assert_eq!(pair.dialler.in_flight(), 0);
    pair.acceptor.send(stream, &accepted());
    pair.acceptor.send(stream, &done());
    assert_eq!(pair.acceptor.in_flight(), 0);
    pair.acceptor.finish(stream);
    pair.until(Side::Dialler, |event| *event == LinkEvent::Finished { stream }).await;
}

#[tokio::test]
async fn an_aborted_body_is_in_flight_no_more() {
    for class in [Class::Urgent, Class::Bulk] {
        let mut pair = Nodes::new().link().await;
        let stream = send_body(&mut pair, class).await;
        pair.dialler.reset(stream, CloseCode::Stopped);
        until_nothing_is_in_flight(&mut pair).await;
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_in_flight_no_more() {
    for class in [Class::Urgent, Class::Bulk] {
        let mut pair = Nodes::new().link().await;
        let stream = pair.send(&Head { has_body: true, ..head(class) }, Bytes::new()).await;
        pair.acceptor.stop(stream, CloseCode::Stopped);
        for _ in 0..10 {
            pair.dialler.send(stream, &StreamFrame::Body(Bytes::from(vec![7; 64 << 10])));
        }
        pair.dialler.finish(stream);
        while pair.dialler.in_flight() > 0 {
            let (side, event) = pair.next().await;
            let is_dropped = !matches!(event, LinkEvent::Frame { .. } | LinkEvent::Finished { .. });
            assert!(is_dropped, "{side:?}: {event:?}");
        }
    }
}
