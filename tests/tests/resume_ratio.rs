//! An upload over links that are cut without notice, again and again: little of it is sent twice.

use std::time::Duration;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::codec::Class;
use runnel::{Body, SubmitOptions};
use runnel_tests::commands::{Digest, Gate, handlers};
use runnel_tests::patience::report;
use runnel_tests::seed::Seed;
use runnel_tests::sim::{Pair, PathConfig, RateConfig};
use runnel_tests::tally::Tally;
use tokio::time::{sleep, timeout};

#[tokio::test(start_paused = true)]
async fn an_upload_over_links_that_live_for_3_s_sends_little_twice() {
    let upload = Upload::start(Seed::or(1), Class::Normal).await;
    let mut status = upload.pair.controller.status();
    let mut links = 0;
    upload
        .end(async |pair| {
            let is_new = status.wait_for(|status| status.links_total > links);
            links = is_new.await.expect("the controller runs").links_total;
            sleep(CUT_AFTER).await;
            pair.network.cut_links();
        })
        .await;
}

/// It takes 5 s to find out that a link is dead, so that many links live for less, and some for nothing.
#[tokio::test(start_paused = true)]
async fn an_upload_over_a_network_that_forgets_its_links_every_3_s_sends_little_twice() {
    let upload = Upload::start(Seed::or(1), Class::Bulk).await;
    upload
        .end(async |pair| {
            sleep(CUT_AFTER).await;
            pair.network.cut_links();
        })
        .await;
}

/// An upload from a file, over 20 Mbit/s and 60 ms.
struct Upload {
    seed: Seed,
    class: Class,
    content: Vec<u8>,
    tally: Tally,
    pair: Pair,
}

impl Upload {
    async fn start(seed: Seed, class: Class) -> Self {
        let mut content = vec![0; BYTES];
        ChaCha8Rng::seed_from_u64(seed.number()).fill_bytes(&mut content);
        let tally = Tally::default();
        let rate = RateConfig { bits_per_second: 20_000_000, queue_bytes: 256_000 };
        let path = PathConfig { rate: Some(rate), ..PathConfig::clean(Duration::from_millis(30)) };
        let pair = Pair::start(seed.number(), path, handlers(&tally, &Gate::closed())).await;
        Self { seed, class, content, tally, pair }
    }

    /// Has the upload end while something befalls the network again and again, and judges it.
    async fn end(self, mut befall: impl AsyncFnMut(&Pair)) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("upload");
        std::fs::write(&file, &self.content).expect("the file can be written");
        let body = Some(Body::file(file));
        let options = SubmitOptions { class: self.class, body, ..SubmitOptions::default() };
        let upload = self.pair.submit::<Digest>((), options).await;
        let id = upload.id().clone();
        let mut upload = std::pin::pin!(timeout(PATIENCE, upload.outcome()));
        let mut cuts = 0;
        let result = loop {
            tokio::select! {
                biased;
                result = &mut upload => break result,
                () = befall(&self.pair) => cuts += 1,
            }
        };
        let (bytes, hash) = result.expect("it ends in time").expect("it comes whole");
        assert_eq!((bytes, hash), (BYTES as u64, blake3::hash(&self.content).into()));
        assert_eq!(self.tally.runs(&id), 1);
        self.judge(cuts).await;
        self.pair.stop().await;
    }

    async fn judge(&self, cuts: u32) {
        let mut status = self.pair.controller.status();
        // What it says is as old as its last look.
        let whole = status.wait_for(|status| status.body_bytes_written >= BYTES as u64);
        let written = whole.await.expect("the controller runs").body_bytes_written;
        let ratio = written as f64 / BYTES as f64;
        report(&format!(
            "{} MiB, class {}, through {cuts} cuts: {written} bytes written, {ratio:.4} of the file",
            BYTES >> 20,
            self.class.as_str(),
        ));
        assert!(cuts >= 9, "{cuts} cuts");
        assert!(ratio <= RATIO_MAX, "seed {}: {ratio}", self.seed.number());
    }
}

const BYTES: usize = 64 << 20;
const CUT_AFTER: Duration = Duration::from_secs(3);

/// Bytes of the body that are written, as a part of it.
const RATIO_MAX: f64 = 1.05;

/// In virtual time: twice what it takes.
const PATIENCE: Duration = Duration::from_secs(600);
