//! A NAT that forgets its port every 300 ms while a body travels.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::relay::PathConfig;
use runnel::{Body, SubmitOptions};
use runnel_tests::commands::{Digest, Echo};
use runnel_tests::follow::{link_number, outcome};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::report;
use runnel_tests::route::clean;
use runnel_tests::seed::Seed;

#[tokio::test]
async fn an_upload_comes_whole_through_a_nat_that_forgets_its_port_every_300_ms() {
    let seed = Seed::or(1);
    let rate = NonZeroU64::new(20_000_000);
    let config = PairConfig {
        path: PathConfig { rate_bits_per_second: rate, ..clean(Duration::from_millis(10)) },
        rebind_every: Some(Duration::from_millis(300)),
        ..PairConfig::default()
    };
    let pair = Pair::start(config, seed.number()).await;
    let number = link_number(pair.controller(), pair.worker(), |_| true).await;
    let mut content = vec![0; BYTES];
    ChaCha8Rng::seed_from_u64(seed.number()).fill_bytes(&mut content);
    let content = Bytes::from(content);
    let rebinds_before = pair.route.handle().counts().rebinds;
    let begun_at = Instant::now();
    let body = Some(Body::bytes(content.clone()));
    let upload = pair.submit::<Digest>((), SubmitOptions { body, ..SubmitOptions::default() }).await;
    let id = upload.id().clone();
    // Small commands pass meanwhile.
    let mut echoes = 0;
    let mut upload = std::pin::pin!(outcome(upload));
    let result = loop {
        let echo = async { outcome(pair.submit::<Echo>(echoes, SubmitOptions::default()).await).await };
        tokio::select! {
            biased;
            result = &mut upload => break result,
            echo = echo => assert_eq!(echo, Ok(echoes)),
        }
        echoes += 1;
    };
    let (length, hash) = result.expect("it comes whole");
    assert_eq!((length, hash), (BYTES as u64, blake3::hash(&content).into()));
    assert_eq!(pair.tally.runs(&id), 1, "seed {}", seed.number());

    let rebinds = pair.route.handle().counts().rebinds - rebinds_before;
    assert!(rebinds >= 3, "the port was forgotten meanwhile: {rebinds}");
    let status = pair.controller().status().borrow().clone();
    let link = status.link(pair.worker()).expect("the link is up");
    report(&format!(
        "{} MiB in {:.1?} through {rebinds} rebinds, {echoes} echoes meanwhile; link {number} became {}, {} migrations on it",
        BYTES >> 20,
        begun_at.elapsed(),
        link.number,
        link.stats.migrations,
    ));
    pair.stop().await;
}

const BYTES: usize = 8 << 20;
