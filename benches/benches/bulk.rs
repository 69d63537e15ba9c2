//! How many bytes a second a link carries on loopback: bodies of 8 MiB, four at once, read by an ordinary handler, beside
//! raw quinn. Runnel hashes each body at both ends, in the same time.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use runnel_benches::{BODY_BYTES, Handling, NodePair, RawPair};

fn bulk(criterion: &mut Criterion) {
    let mut raw = RawPair::bulk(IN_FLIGHT);
    let nodes = NodePair::start(Handling::Spawned);
    let mut group = criterion.benchmark_group(format!("bulk/{IN_FLIGHT} bodies at once"));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Bytes(BODY_BYTES as u64));
    group.bench_function("raw quinn", |bencher| {
        bencher.iter_custom(|bodies| raw.run(IN_FLIGHT, bodies));
    });
    group.bench_function("body to an ordinary handler", |bencher| {
        bencher.iter_custom(|bodies| nodes.bulk(IN_FLIGHT, bodies));
    });
    group.finish();
    raw.stop();
    nodes.stop();
}

const IN_FLIGHT: usize = 4;

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = bulk
}
criterion_main!(benches);
