//! Commands and their answers, places, and streams that end early.

use bytes::Bytes;
use runnel_certs::Role;
use runnel_codec::{Class, CloseCode, ControlFrame, HelloAnswer, LinkNumber, Outcome, StreamFrame};
use runnel_transport::{CloseReason, LinkEvent, NoPlace, Side};

use crate::harness::{Nodes, Pair, accepted, done, head, hello};

#[tokio::test]
async fn a_command_goes_there_and_its_outcome_comes_back() {
    let mut nodes = Nodes::new();
    let mut pair = nodes.link().await;
    assert_eq!(pair.dialler.peer().map(|peer| (peer.node.as_str(), peer.role)), Some(("w1", Role::Worker)));
    assert_eq!(
        pair.acceptor.peer().map(|peer| (peer.node.as_str(), peer.role)),
        Some(("c1", Role::Controller))
    );
    assert_eq!((pair.dialler.side(), pair.acceptor.side()), (Side::Dialler, Side::Acceptor));
    assert_eq!(pair.dialler.remote_address(), Some(nodes.address));

    let sent = head(Class::Urgent);
    let stream = pair.dialler.open_command(&sent, Bytes::new()).expect("a place");
    pair.dialler.finish(stream);
    let said = pair.until(Side::Acceptor, |event| matches!(event, LinkEvent::Finished { .. })).await;
    assert!(said.contains(&(Side::Acceptor, LinkEvent::Head { stream, head: sent, payload: Bytes::new() })));

    let update = StreamFrame::Update { number: 1, content: Bytes::from_static(b"half way") };
    let replies = [accepted(), StreamFrame::Started, update, done()];
    for frame in &replies {
        pair.acceptor.send(stream, frame);
    }
    pair.acceptor.finish(stream);
    let said = pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Finished { .. })).await;
    assert_eq!(Pair::frames(&said, Side::Dialler), replies);

    pair.dialler.close(CloseCode::Normal, "that was all");
    let (dialler, acceptor) = pair.until_closed().await;
    assert_eq!(dialler.reason, CloseReason::Local { code: CloseCode::Normal, text: "that was all".into() });
    assert_eq!(
        acceptor.reason,
        CloseReason::Remote { code: Some(CloseCode::Normal), text: "that was all".into(), retry_after: None }
    );
}

#[tokio::test]
async fn the_acceptor_sends_commands_too() {
    let mut pair = Nodes::new().link().await;
    if pair.acceptor.places() == 0 {
        pair.until(Side::Acceptor, |event| matches!(event, LinkEvent::Places)).await;
    }
    let sent = head(Class::Bulk);
    let stream = pair.acceptor.open_command(&sent, Bytes::new()).expect("a place");
    let said = pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Head { .. })).await;
    assert_eq!(
        said.last(),
        Some(&(Side::Dialler, LinkEvent::Head { stream, head: sent, payload: Bytes::new() }))
    );
}

#[tokio::test]
async fn an_inline_payload_comes_with_its_head() {
    let mut pair = Nodes::new().link().await;
    for class in [Class::Urgent, Class::Low] {
        let payload = Bytes::from(vec![7; 300_000]);
        let sent = runnel_codec::Head { payload_bytes: 300_000, ..head(class) };
        if pair.dialler.places() == 0 {
            pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Places)).await;
        }
        let stream = pair.dialler.open_command(&sent, payload.clone()).expect("a place");
        let said = pair.until(Side::Acceptor, |event| matches!(event, LinkEvent::Head { .. })).await;
        assert_eq!(said.last(), Some(&(Side::Acceptor, LinkEvent::Head { stream, head: sent, payload })));
    }
}

#[tokio::test]
async fn commands_count_only_after_the_welcome() {
    let mut pair = Nodes::new().connect().await;
    pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Places)).await;
    // On the wire the command is the first thing that the dialler says.
    pair.dialler.open_command(&head(Class::Normal), Bytes::new()).expect("a place");
    pair.until(Side::Acceptor, |event| matches!(event, LinkEvent::Places)).await;
    pair.dialler.send_control(&ControlFrame::Hello(Box::new(hello())));
    let is_hello = |event: &LinkEvent| matches!(event, LinkEvent::Control(ControlFrame::Hello(_)));
    let is_head = |event: &LinkEvent| matches!(event, LinkEvent::Head { .. });
    let said = pair.until(Side::Acceptor, is_hello).await;
    assert!(!said.iter().any(|(_, event)| is_head(event)), "{said:?}");
    let too_low = HelloAnswer::TooLow { highest: LinkNumber::FIRST };
    pair.acceptor.send_control(&ControlFrame::HelloAnswer(Box::new(too_low)));
    let is_answer = |event: &LinkEvent| matches!(event, LinkEvent::Control(ControlFrame::HelloAnswer(_)));
    pair.until(Side::Dialler, is_answer).await;
    pair.dialler.send_control(&ControlFrame::Hello(Box::new(hello())));
    let said = pair.until(Side::Acceptor, is_hello).await;
    assert!(!said.iter().any(|(_, event)| is_head(event)), "{said:?}");
    let welcome = HelloAnswer::Welcome(hello());
    pair.acceptor.send_control(&ControlFrame::HelloAnswer(Box::new(welcome)));
    pair.until(Side::Acceptor, is_head).await;
}

#[tokio::test]
async fn free_places_are_seen_however_many_streams_are_open() {
    let mut nodes = Nodes::new();
    let mut pair = nodes.link().await;
    for used in 0..1000 {
        pair.acceptor.set_places(used, 16);
        pair.send(&head(Class::Normal), Bytes::new()).await;
    }
}

#[tokio::test]
async fn no_more_streams_are_open_than_the_peer_has_places() {
    let mut nodes = Nodes::new();
    let mut pair = nodes.link().await;
    let mut streams = Vec::new();
    while let Ok(stream) = pair.dialler.open_command(&head(Class::Normal), Bytes::new()) {
        streams.push(stream);
    }
    assert_eq!(pair.dialler.places(), 0);
    assert_eq!(streams.len(), 15, "16 before the hello, of which one is the control stream");
    assert_eq!(pair.dialler.open_command(&head(Class::Normal), Bytes::new()), Err(NoPlace));
    pair.acceptor.set_places(0, 40);
    pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Places)).await;
    while let Ok(stream) = pair.dialler.open_command(&head(Class::Normal), Bytes::new()) {
        streams.push(stream);
    }
    assert_eq!(streams.len(), 40);
}

#[tokio::test]
async fn a_place_comes_back_when_both_halves_have_ended() {
    let mut pair = Nodes::new().link().await;
    for _ in 0..100 {
        let stream = pair.send(&head(Class::Normal), Bytes::new()).await;
        pair.dialler.finish(stream);
        pair.acceptor.send(stream, &accepted());
        pair.acceptor.send(stream, &done());
        pair.acceptor.finish(stream);
        pair.until(Side::Dialler, |event| *event == LinkEvent::Finished { stream }).await;
    }
}

#[tokio::test]
async fn a_reset_stream_is_lost_with_its_code() {
    let mut pair = Nodes::new().link().await;
    let sent = runnel_codec::Head { has_body: true, ..head(Class::Normal) };
    let stream = pair.send(&sent, Bytes::new()).await;
    pair.acceptor.reset(stream, CloseCode::Detached);
    let lost = LinkEvent::Lost { stream, code: Some(CloseCode::Detached) };
    pair.until(Side::Dialler, |event| *event == lost).await;
    // The stream is unknown at the acceptor's end of this half: nothing comes of it.
    pair.acceptor.send(stream, &done());
    pair.dialler.finish(stream);
    pair.until(Side::Acceptor, |event| *event == LinkEvent::Finished { stream }).await;
}

#[tokio::test]
async fn a_crowded_stream_says_when_it_is_writable() {
    let mut pair = Nodes::new().link().await;
    let sent = runnel_codec::Head { has_body: true, ..head(Class::Bulk) };
    let stream = pair.send(&sent, Bytes::new()).await;
    let piece = Bytes::from(vec![7; 64 << 10]);
    for _ in 0..64 {
        pair.dialler.send(stream, &StreamFrame::Body(piece.clone()));
    }
    assert!(pair.dialler.pending_bytes(stream) >= 64 * piece.len());
    let said = pair.until(Side::Dialler, |event| *event == LinkEvent::Writable { stream }).await;
    assert!(pair.dialler.pending_bytes(stream) < 32 << 10);
    let mut frames = Pair::frames(&said, Side::Acceptor).len();
    pair.dialler.finish(stream);
    let said = pair.until(Side::Acceptor, |event| *event == LinkEvent::Finished { stream }).await;
    frames += Pair::frames(&said, Side::Acceptor).len();
    assert_eq!(frames, 64);
}

#[tokio::test]
async fn an_answer_out_of_order_ends_the_link() {
    let mut pair = Nodes::new().link().await;
    let stream = pair.send(&head(Class::Normal), Bytes::new()).await;
    pair.acceptor.send(stream, &StreamFrame::Started);
    let (dialler, acceptor) = pair.until_closed().await;
    let is_our_close = matches!(dialler.reason, CloseReason::Local { code: CloseCode::UnexpectedFrame, .. });
    assert!(is_our_close, "{dialler:?}");
    let is_told =
        matches!(acceptor.reason, CloseReason::Remote { code: Some(CloseCode::UnexpectedFrame), .. });
    assert!(is_told, "{acceptor:?}");
}

#[tokio::test]
async fn a_dropped_link_does_not_pass_for_finished_streams() {
    let mut pair = Nodes::new().link().await;
    let stream = pair.send(&head(Class::Normal), Bytes::new()).await;
    pair.acceptor.send(stream, &accepted());
    pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Frame { .. })).await;
    pair.acceptor
        .send(stream, &StreamFrame::Outcome(Outcome::Done { result: Bytes::from(vec![1; 1 << 20]) }));
    let Pair { mut dialler, acceptor } = pair;
    drop(acceptor);
    let event = std::future::poll_fn(|cx| dialler.poll_event(cx)).await;
    let LinkEvent::Closed(closed) = event else { panic!("{event:?}") };
    assert_eq!(
        closed.reason,
        CloseReason::Remote { code: Some(CloseCode::Normal), text: String::new(), retry_after: None }
    );
}
