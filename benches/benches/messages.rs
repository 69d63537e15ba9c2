//! How many messages of 64 bytes, commands without a result, are handled on loopback with 1024 of them on their way,
//! beside raw quinn. The figures are time per message and messages per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use runnel_benches::{Handling, NodePair, RawPair};

fn messages(criterion: &mut Criterion) {
    let mut raw = RawPair::messages(IN_FLIGHT);
    let nodes = NodePair::start(Handling::Inline);
    let mut group = criterion.benchmark_group(format!("messages/{IN_FLIGHT} in flight"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("raw quinn", |bencher| {
        bencher.iter_custom(|commands| raw.run(IN_FLIGHT, commands));
    });
    group.bench_function("inline handler", |bencher| {
        bencher.iter_custom(|commands| nodes.messages(IN_FLIGHT, commands));
    });
    group.finish();
    raw.stop();
    nodes.stop();
}

const IN_FLIGHT: usize = 1024;

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = messages
}
criterion_main!(benches);
