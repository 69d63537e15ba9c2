//! How long an echo of 64 bytes takes on loopback, with 1, 64 and 1024 in flight: through an inline handler, through an
//! ordinary one, and on raw quinn. The figures are time per command and commands per second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use runnel_benches::{Handling, NodePair, RawPair};

fn echo(criterion: &mut Criterion) {
    let inline = NodePair::start(Handling::Inline);
    let ordinary = NodePair::start(Handling::Spawned);
    for in_flight in [1, 64, 1024] {
        let mut raw = RawPair::echo(in_flight);
        let mut group = criterion.benchmark_group(format!("echo/{in_flight} in flight"));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter("raw quinn"), |bencher| {
            bencher.iter_custom(|commands| raw.run(in_flight, commands));
        });
        group.bench_function(BenchmarkId::from_parameter("inline handler"), |bencher| {
            bencher.iter_custom(|commands| inline.echo(in_flight, commands));
        });
        group.bench_function(BenchmarkId::from_parameter("ordinary handler"), |bencher| {
            bencher.iter_custom(|commands| ordinary.echo(in_flight, commands));
        });
        group.finish();
        raw.stop();
    }
    inline.stop();
    ordinary.stop();
}

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = echo
}
criterion_main!(benches);
