//! Messages that share a stream, which nobody answers and nobody cuts.

use bytes::Bytes;
use runnel_codec::{Class, CloseCode, CommandKey, Head, Seq, UpdatePolicy};
use runnel_transport::{CloseReason, LinkEvent, NoPlace, Side, StreamId};

use crate::harness::{Nodes, Pair, head};

/// So many messages of a class, with arguments of this length.
fn messages(class: Class, count: u64, args_bytes: usize) -> Vec<Head> {
    let of = |seq| Head {
        key: CommandKey { seq: Seq::from_wire(seq).expect("not 0"), ..head(class).key },
        updates: UpdatePolicy::Discard,
        updates_credit: 0,
        result_body_credit: 0,
        args: Bytes::from(vec![7; args_bytes]),
        ..head(class)
    };
    (1..=count).map(of).collect()
}

/// Opens a batch as soon as there is a place.
async fn send(pair: &mut Pair, class: Class, messages: &[Head]) -> StreamId {
    if pair.dialler.places() == 0 {
        pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Places)).await;
    }
    pair.dialler.open_batch(class, messages).expect("a place")
}

#[tokio::test]
async fn a_batch_arrives_whole_and_its_sender_learns_that_it_was_read() {
    let mut pair = Nodes::new().link().await;
    for (class, count, args_bytes) in
        [(Class::Normal, 100, 64), (Class::Urgent, 3, 0), (Class::Bulk, 2, 7000)]
    {
        let sent = messages(class, count, args_bytes);
        let stream = send(&mut pair, class, &sent).await;
        assert_eq!(pair.dialler.in_flight() > 0, class != Class::Urgent, "it counts in the budget");
        let said = pair.until(Side::Dialler, |event| *event == LinkEvent::Finished { stream }).await;
        let come = said.into_iter().filter_map(|(side, event)| match event {
            LinkEvent::Messages { stream: of, heads } => {
                assert_eq!((side, of), (Side::Acceptor, stream));
                Some(heads)
            }
            LinkEvent::Finished { .. } | LinkEvent::Budget | LinkEvent::Places => None,
            other => panic!("{other:?}"),
        });
        assert_eq!(come.flatten().collect::<Vec<_>>(), sent);
        while pair.dialler.in_flight() > 0 {
            pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Budget)).await;
        }
    }
}

#[tokio::test]
async fn batches_take_places_and_give_them_back() {
    let mut pair = Nodes::new().link().await;
    pair.acceptor.set_places(0, 16);
    for _ in 0..100 {
        send(&mut pair, Class::Low, &messages(Class::Low, 2, 10)).await;
    }
    let mut opened = 0;
    while pair.dialler.open_batch(Class::Low, &messages(Class::Low, 2, 10)).is_ok() {
        opened += 1;
    }
    assert!(opened <= 17, "{opened}");
    assert_eq!(pair.dialler.open_batch(Class::Low, &messages(Class::Low, 2, 10)), Err(NoPlace));
}

#[tokio::test]
async fn a_batch_that_breaks_the_rules_ends_its_link() {
    let mut pair = Nodes::new().link().await;
    let mut of_two_classes = messages(Class::Low, 2, 10);
    of_two_classes[1].class = Class::High;
    send(&mut pair, Class::Low, &of_two_classes).await;
    let (dialler, _) = pair.until_closed().await;
    assert!(
        matches!(&dialler.reason, CloseReason::Remote { code: Some(CloseCode::Malformed), .. }),
        "{dialler:?}"
    );
}

#[tokio::test]
async fn a_batch_of_more_than_16_kib_ends_its_link() {
    let mut pair = Nodes::new().link().await;
    send(&mut pair, Class::Low, &messages(Class::Low, 3, 6000)).await;
    let (dialler, _) = pair.until_closed().await;
    assert!(
        matches!(&dialler.reason, CloseReason::Remote { code: Some(CloseCode::TooLarge), .. }),
        "{dialler:?}"
    );
}
