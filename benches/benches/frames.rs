//! What one frame costs, in nanoseconds: encoding and decoding a head, an update and an outcome. Pure, one thread.

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use runnel_benches::{Echo, sample_head};
use runnel_codec::{
    Limits, Outcome, ReplyDecoder, StreamDecoder, StreamFrame, encode_frame, encode_head, frame_encoded_len,
    head_encoded_len,
};

fn frames(criterion: &mut Criterion) {
    head(criterion);
    let update = StreamFrame::Update { number: 1, content: Bytes::from(vec![7; 1024]) };
    let outcome = StreamFrame::Outcome(Outcome::Done { result: Bytes::from(vec![7; 64]) });
    reply(criterion, "update of 1 KiB", &update);
    reply(criterion, "outcome of 64 B", &outcome);
}

fn head(criterion: &mut Criterion) {
    let head = sample_head::<Echo>(&vec![7; 64]);
    let mut group = criterion.benchmark_group("frame/head with 64 B");
    group.throughput(Throughput::Bytes(head_encoded_len(&head) as u64));
    let mut encoded = BytesMut::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            encoded.clear();
            encode_head(&head, &mut encoded);
            encoded.len()
        });
    });
    let encoded = encoded.split().freeze();
    group.bench_function("decode", |bencher| {
        bencher.iter_batched(
            || encoded.clone(),
            |bytes| {
                let mut decoder = StreamDecoder::new(Limits::default());
                decoder.push(bytes);
                let kind = decoder.next_item();
                (kind, decoder.next_item())
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn reply(criterion: &mut Criterion, name: &str, frame: &StreamFrame) {
    let mut group = criterion.benchmark_group(format!("frame/{name}"));
    group.throughput(Throughput::Bytes(frame_encoded_len(frame) as u64));
    let mut encoded = BytesMut::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            encoded.clear();
            encode_frame(frame, &mut encoded);
            encoded.len()
        });
    });
    let mut answers = BytesMut::new();
    encode_frame(&StreamFrame::Accepted { body_received: 0, body_credit: 0 }, &mut answers);
    encode_frame(&StreamFrame::Started, &mut answers);
    encode_frame(frame, &mut answers);
    let answers = answers.freeze();
    group.bench_function("decode, behind accepted and started", |bencher| {
        bencher.iter_batched(
            || answers.clone(),
            |bytes| {
                let mut decoder = ReplyDecoder::new(Limits::default(), 0);
                decoder.push(bytes);
                let frames = [decoder.next_frame(), decoder.next_frame(), decoder.next_frame()];
                assert!(matches!(frames, [Ok(Some(_)), Ok(Some(_)), Ok(Some(_))]), "all are there");
                frames
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = frames
}
criterion_main!(benches);
