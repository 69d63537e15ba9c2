//! What choosing the next command costs, in nanoseconds, by how many are queued and for how many peers. Pure, one thread.
//!
//! `--bin scale` has more points of the same, and draws them.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use runnel_benches::QueuedCommands;

fn scheduler(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler/choose the next of");
    group.throughput(Throughput::Elements(1));
    // What is not timed takes ten times as long as what is.
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    for (queued, peers) in [(10, 10), (10_000, 100), (1_000_000, 100), (100_000, 1), (100_000, 10_000)] {
        let mut bench = QueuedCommands::new(queued, peers);
        group.bench_function(BenchmarkId::from_parameter(format!("{queued} for {peers} peers")), |bencher| {
            bencher.iter_custom(|choices| bench.choose(choices));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = scheduler
}
criterion_main!(benches);
