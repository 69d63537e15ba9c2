//! Bodies between two whole nodes: whole and once, however bad the path, and never in anybody's way.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::codec::{Command, FailureKind, Never};
use runnel::commands::Ping;
use runnel::{
    Body, BodyError, BodyReader, Config, Context, HandlerError, Handlers, NotDone, Progress, Submission,
    SubmitOptions,
};
use runnel_tests::sim::{Pair, PathConfig, WORKER_HOST};
use tokio::io::AsyncWriteExt;

/// Returns the length and hash of its body.
enum Digest {}

impl Command for Digest {
    const NAME: &'static str = "test.digest/1";
    type Args = ();
    type Update = Never;
    type Result = (u64, Vec<u8>);
}

/// Brings its body back as its result's body.
enum Mirror {}

impl Command for Mirror {
    const NAME: &'static str = "test.mirror/1";
    type Args = ();
    type Update = Never;
    type Result = u64;
}

/// Never looks at its body.
enum Ignore {}

impl Command for Ignore {
    const NAME: &'static str = "test.ignore/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

/// Begins a result's body and gives it up.
enum GiveUp {}

impl Command for GiveUp {
    const NAME: &'static str = "test.give-up/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

fn handlers() -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Ping, _>(Ok);
    handlers.on::<Digest, _, _>(|mut context: Context<Digest>, ()| async move {
        let mut body = context.body().ok_or_else(|| HandlerError::new("no body"))?;
        let whole = read(&mut body).await?;
        Ok((whole.len() as u64, hash(&whole)))
    });
    handlers.on::<Mirror, _, _>(|mut context: Context<Mirror>, ()| async move {
        let (Some(mut body), Some(mut result)) = (context.body(), context.result_body()) else {
            return Err(HandlerError::new("nothing to mirror"));
        };
        let mut bytes = 0;
        while let Some(piece) = body.next().await? {
            bytes += piece.len() as u64;
            result.write(piece).await?;
        }
        result.finish().await?;
        Ok(bytes)
    });
    handlers.on::<Ignore, _, _>(|context: Context<Ignore>, ()| async move {
        let reason = context.stop_signal().stopped().await;
        Err(HandlerError::stopped(reason, "told to stop"))
    });
    handlers.on::<GiveUp, _, _>(|mut context: Context<GiveUp>, ()| async move {
        let mut result = context.result_body().ok_or_else(|| HandlerError::new("nobody reads"))?;
        result.write(Bytes::from_static(b"half")).await?;
        Ok(())
    });
    handlers
}

async fn read(body: &mut BodyReader) -> Result<BytesMut, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    blake3::hash(bytes).as_bytes().to_vec()
}

fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut noise = vec![0; bytes];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut noise);
    noise.into()
}

fn with(body: Body) -> SubmitOptions {
    SubmitOptions { body: Some(body), ..SubmitOptions::default() }
}

async fn started<C: Command>(submission: &mut Submission<C>) {
    assert!(matches!(submission.progress().await, Some(Ok(Progress::Started))), "its handler is called");
}

fn failure<T: std::fmt::Debug>(outcome: Result<T, NotDone>) -> FailureKind {
    match outcome {
        Err(NotDone::Failed(failure)) => failure.kind,
        other => panic!("it should have failed: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_go_both_ways_whole_over_a_path_that_loses_packets_and_goes_dark() {
    for seed in 1..=3 {
        let pair = Pair::start(seed, LOSSY, handlers()).await;
        let content = noise(seed, 3 << 20);
        let options = SubmitOptions { result_body: true, ..with(Body::bytes(content.clone())) };
        let mut mirror = pair.submit::<Mirror>((), options).await;
        let mut result = mirror.result_body().expect("it was asked for");
        let network = pair.network.clone();
        let mut whole = BytesMut::new();
        let mut blackouts = 0;
        while let Some(piece) = result.next().await.expect("it comes whole") {
            whole.extend_from_slice(&piece);
            if whole.len() > (1 << 20) * (blackouts + 1) && blackouts < 2 {
                blackouts += 1;
                network.set_cut_off(WORKER_HOST, true);
                // On the paused clock: longer than suspicion, so that a new link takes over.
                tokio::time::sleep(Duration::from_secs(12)).await;
                network.set_cut_off(WORKER_HOST, false);
            }
        }
        assert_eq!(blackouts, 2, "seed {seed}");
        assert_eq!(whole, content, "seed {seed}");
        assert_eq!(mirror.outcome().await, Ok(content.len() as u64), "seed {seed}");
        pair.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_holds_less_of_a_body_than_its_reader_has_room_for_gets_on() {
    let mut config = Config::default();
    config.node.body_held_bytes_max = NonZeroUsize::MIN;
    let window = config.receive_queue.body_window_bytes.min(config.send_queue.result_body_window_bytes);
    let content = noise(1, usize::try_from(3 * window).expect("it fits into memory"));
    let pair = Pair::start_configured(1, CLEAN, handlers(), &config).await;
    let options = SubmitOptions { result_body: true, ..with(Body::bytes(content.clone())) };
    let mut mirror = pair.submit::<Mirror>((), options).await;
    let mut result = mirror.result_body().expect("it was asked for");
    assert!(read(&mut result).await.expect("it comes whole") == content, "it is the same");
    assert_eq!(mirror.outcome().await, Ok(content.len() as u64));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_and_a_live_producer_are_bodies_too() {
    let pair = Pair::start(1, LOSSY, handlers()).await;
    let content = noise(1, 700_001);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("body");
    tokio::fs::write(&path, &content).await.expect("a file");
    let from_file = pair.submit::<Digest>((), with(Body::file(&path))).await;
    let (mut writer, body) = Body::live();
    let live = pair.submit::<Digest>((), with(body)).await;
    for piece in content.chunks(10_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.expect("the command runs");
    }
    writer.finish().await.expect("the command runs");
    let expected = (content.len() as u64, hash(&content));
    assert_eq!(from_file.outcome().await, Ok(expected.clone()));
    assert_eq!(live.outcome().await, Ok(expected));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_is_a_body() {
    let pair = Pair::start(1, CLEAN, handlers()).await;
    let digest = pair.submit::<Digest>((), with(Body::bytes(Bytes::new()))).await;
    assert_eq!(digest.outcome().await, Ok((0, hash(b""))));
    let without = pair.submit::<Digest>((), SubmitOptions::default()).await;
    assert_eq!(failure(without.outcome().await), FailureKind::Handler);
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_after_the_submit_fails_the_command() {
    let pair = Pair::start(1, CLEAN, handlers()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("body");
    tokio::fs::write(&path, b"before").await.expect("a file");
    pair.network.set_cut_off(WORKER_HOST, true);
    let digest = pair.submit::<Digest>((), with(Body::file(&path))).await;
    let mut file = tokio::fs::OpenOptions::new().append(true).open(&path).await.expect("the file");
    file.write_all(b" and after").await.expect("room on the disk");
    file.flush().await.expect("room on the disk");
    pair.network.set_cut_off(WORKER_HOST, false);
    assert_eq!(failure(digest.outcome().await), FailureKind::BodyChanged);
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_gives_up_fails_the_command_at_both_ends() {
    let pair = Pair::start(1, CLEAN, handlers()).await;
    let (mut writer, body) = Body::live();
    let digest = pair.submit::<Digest>((), with(body)).await;
    writer.write(Bytes::from_static(b"half")).await.expect("the command runs");
    drop(writer);
    assert_eq!(failure(digest.outcome().await), FailureKind::BodyBroken);

    let (writer, body) = Body::live();
    let never_begun = pair.submit::<Digest>((), with(body)).await;
    drop(writer);
    assert_eq!(failure(never_begun.outcome().await), FailureKind::BodyBroken);

    let options = SubmitOptions { result_body: true, ..SubmitOptions::default() };
    let mut given_up = pair.submit::<GiveUp>((), options).await;
    let mut result = given_up.result_body().expect("it was asked for");
    assert_eq!(result.next().await, Ok(Some(Bytes::from_static(b"half"))));
    assert_eq!(result.next().await, Err(BodyError::Aborted));
    assert_eq!(given_up.outcome().await, Ok(()));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_stops_its_own_command_only() {
    let pair = Pair::start(1, CLEAN, handlers()).await;
    // Many more than have windows of their own at once.
    let mut ignored = Vec::new();
    for seed in 0..60 {
        let mut ignore = pair.submit::<Ignore>((), with(Body::bytes(noise(seed, 1_050_000)))).await;
        started(&mut ignore).await;
        ignored.push(ignore);
    }
    let ping = pair.submit::<Ping>(7, SubmitOptions::default()).await;
    assert_eq!(ping.outcome().await, Ok(7));
    let content = noise(99, 300_000);
    let digest = pair.submit::<Digest>((), with(Body::bytes(content.clone()))).await;
    assert_eq!(digest.outcome().await, Ok((content.len() as u64, hash(&content))));
    for ignore in ignored {
        pair.controller.cancel(ignore.id()).await.ok();
        assert_eq!(failure(ignore.outcome().await), FailureKind::Cancelled);
    }
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_body_that_nobody_reads_does_not_hold_its_handler() {
    let pair = Pair::start(1, CLEAN, handlers()).await;
    let content = noise(1, 5 << 20);
    let options = SubmitOptions { result_body: true, ..with(Body::bytes(content.clone())) };
    let mut mirror = pair.submit::<Mirror>((), options).await;
    let mut result = mirror.result_body().expect("it was asked for");
    assert!(result.next().await.expect("it comes").is_some());
    drop(result);
    assert_eq!(mirror.outcome().await, Ok(content.len() as u64));
    pair.stop().await;
}

const CLEAN: PathConfig = PathConfig::clean(Duration::from_millis(20));
const LOSSY: PathConfig = PathConfig::lossy(Duration::from_millis(20), Duration::from_millis(2), 0.02);
