//! The same seed gives the same run: every packet, byte for byte, and every time.

use std::time::Duration;

use runnel::{Body, SubmitOptions};
use runnel_tests::commands::{Digest, Echo, Gate, handlers};
use runnel_tests::sim::{Pair, PathConfig};
use runnel_tests::tally::Tally;

/// Runs a pair over a bad path on a virtual clock of its own. Returns the hash of all packets, and their number.
fn run(seed: u64) -> (blake3::Hash, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("the system has room for a runtime").block_on(async {
        let path = PathConfig {
            reordered: 0.02,
            reordered_by: Duration::from_millis(30),
            duplicated: 0.02,
            ..PathConfig::lossy(Duration::from_millis(20), Duration::from_millis(10), 0.05)
        };
        let pair = Pair::start(seed, path, handlers(&Tally::default(), &Gate::closed())).await;
        for number in 0..20 {
            let echo = pair.submit::<Echo>(number, SubmitOptions::default()).await;
            assert_eq!(echo.outcome().await, Ok(number));
        }
        let options = SubmitOptions { body: Some(Body::bytes(vec![7; 300_000])), ..SubmitOptions::default() };
        let (length, _) = pair.submit::<Digest>((), options).await.outcome().await.expect("it is read");
        assert_eq!(length, 300_000);
        let network = pair.network.clone();
        pair.stop().await;
        network.trace().digest()
    })
}

#[test]
fn two_runs_of_a_seed_have_the_same_packets_and_two_seeds_do_not() {
    let (first, second) = (run(1), run(1));
    assert!(first.1 > 300, "{} packets", first.1);
    assert_eq!(first, second);
    assert_ne!(first, run(2));
}
