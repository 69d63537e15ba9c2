//! `fs.put`, `fs.get` and the standard input of `exec` between two whole nodes: real files and processes, a network in
//! memory.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use runnel::codec::FailureKind;
use runnel::commands::{
    Exec, ExecArgs, ExecStatus, ExecUpdate, FileKind, FsDone, FsFound, FsGet, FsGetArgs, FsPut, FsPutArgs,
    pack, register_built_ins, unpack,
};
use runnel::process::Confinement;
use runnel::{Body, BodyError, Handlers, NotDone, Progress, Submission, SubmitOptions};
use runnel_tests::sim::{Pair, PathConfig};

async fn start(root: &Path) -> Pair {
    let mut handlers = Handlers::new();
    register_built_ins(&mut handlers, Confinement { root: Some(root.to_owned()), ..Confinement::default() });
    Pair::start(1, LOSSY, handlers).await
}

fn put(path: &str, kind: FileKind) -> FsPutArgs {
    FsPutArgs { path: path.to_owned(), kind, mode: Some(0o640), replace: false, make_parents: true }
}

fn with(body: Body) -> SubmitOptions {
    SubmitOptions { body: Some(body), ..SubmitOptions::default() }
}

/// Follows a get to its end. Returns what was found, the body, and the result.
async fn follow(
    mut get: Submission<FsGet>,
) -> (Option<FsFound>, Result<Bytes, BodyError>, Result<FsDone, NotDone>) {
    let mut body = get.result_body().expect("it was asked for");
    let reading = async {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    };
    let finding = async {
        let mut found = None;
        while let Some(progress) = get.progress().await {
            if let Progress::Update(update) = progress.expect("it says what it found") {
                found = Some(update);
            }
        }
        (found, get.outcome().await)
    };
    let (whole, (found, outcome)) = tokio::join!(reading, finding);
    (found, whole, outcome)
}

fn asking() -> SubmitOptions {
    SubmitOptions { result_body: true, ..SubmitOptions::default() }
}

fn message<T: std::fmt::Debug>(outcome: Result<T, NotDone>) -> String {
    match outcome {
        Err(NotDone::Failed(failure)) => failure.message,
        other => panic!("it should have failed: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_put_and_got_whole_and_not_replaced_unasked() {
    let root = tempfile::tempdir().expect("a folder");
    let pair = start(root.path()).await;
    let content = Bytes::from(vec![42; 1_500_000]);
    let file =
        pair.submit::<FsPut>(put("new/file", FileKind::File), with(Body::bytes(content.clone()))).await;
    assert_eq!(file.outcome().await, Ok(FsDone { files: 1, bytes: 1_500_000 }));
    assert_eq!(std::fs::read(root.path().join("new/file")).expect("it is there"), content);

    let again = pair.submit::<FsPut>(put("new/file", FileKind::File), with(Body::bytes(&b"no"[..]))).await;
    assert!(message(again.outcome().await).contains("exists"));

    let get = pair.submit::<FsGet>(FsGetArgs { path: "new/file".to_owned() }, asking()).await;
    let (found, got, done) = follow(get).await;
    assert_eq!(
        found.map(|found| (found.kind, found.bytes, found.mode & 0o777)),
        Some((FileKind::File, 1_500_000, 0o640))
    );
    assert_eq!((got, done), (Ok(content), Ok(FsDone { files: 1, bytes: 1_500_000 })));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_put_replaced_and_got_as_it_was() {
    let (root, local) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let pair = start(root.path()).await;
    for (round, name) in [(0, "first"), (1, "second")] {
        let from = local.path().join(name);
        std::fs::create_dir_all(from.join("sub")).expect("room on the disk");
        std::fs::write(from.join("sub").join(name), vec![round; 200_000]).expect("room on the disk");
        let (_, stream) = pack(&from, Vec::new()).expect("it can be read");
        let args = FsPutArgs { replace: round > 0, ..put("tree", FileKind::Folder) };
        let folder = pair.submit::<FsPut>(args, with(Body::bytes(stream))).await;
        assert_eq!(folder.outcome().await, Ok(FsDone { files: 1, bytes: 200_000 }));
    }
    let names: Vec<_> = std::fs::read_dir(root.path())
        .expect("the root")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["tree"], "nothing partial and nothing old is left");

    let get = pair.submit::<FsGet>(FsGetArgs { path: "tree".to_owned() }, asking()).await;
    let (found, stream, done) = follow(get).await;
    assert_eq!(found.map(|found| (found.kind, found.bytes)), Some((FileKind::Folder, 200_000)));
    assert_eq!(done, Ok(FsDone { files: 1, bytes: 200_000 }));
    let copy = local.path().join("copy");
    unpack(&stream.expect("it comes whole")[..], &copy).expect("it is a folder");
    assert_eq!(std::fs::read(copy.join("sub/second")).expect("it is there"), vec![1; 200_000]);
    assert!(!copy.join("sub/first").exists());
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_or_outside_the_root_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let pair = start(root.path()).await;
    let (mut writer, body) = Body::live();
    let half = pair.submit::<FsPut>(put("half", FileKind::File), with(body)).await;
    writer.write(Bytes::from_static(b"half")).await.expect("it is wanted");
    drop(writer);
    assert!(message(half.outcome().await).contains("given up"));
    let outside = pair.submit::<FsPut>(put("/etc/x", FileKind::File), with(Body::bytes(&b"no"[..]))).await;
    assert!(message(outside.outcome().await).contains("outside"));
    let missing = pair.submit::<FsGet>(FsGetArgs { path: "nothing".to_owned() }, asking()).await;
    let (found, got, done) = follow(missing).await;
    assert_eq!((found, got), (None, Err(BodyError::Aborted)));
    assert!(message(done).contains("nothing"));
    assert_eq!(std::fs::read_dir(root.path()).expect("the root").count(), 0);
    pair.stop().await;
}

#[tokio::test]
async fn a_body_is_the_standard_input_of_exec() {
    let root = tempfile::tempdir().expect("a folder");
    let pair = start(root.path()).await;
    let content: Bytes = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let args = ExecArgs { program: "cat".to_owned(), ..ExecArgs::default() };
    let mut cat = pair.submit::<Exec>(args, with(Body::bytes(content.clone()))).await;
    let mut output = Vec::new();
    while let Some(progress) = cat.progress().await {
        if let Progress::Update(ExecUpdate::Stdout(bytes)) = progress.expect("it is output") {
            output.extend(bytes);
        }
    }
    assert_eq!(output, content);
    assert_eq!(cat.outcome().await.map(|result| result.status), Ok(ExecStatus::Code(0)));

    // A program that does not read its input ends all the same.
    let args = ExecArgs { program: "true".to_owned(), ..ExecArgs::default() };
    let deaf = pair.submit::<Exec>(args, with(Body::bytes(content))).await;
    assert_eq!(deaf.outcome().await.map(|result| result.status), Ok(ExecStatus::Code(0)));

    // One that waits for its input can be cancelled.
    let args = ExecArgs { program: "cat".to_owned(), ..ExecArgs::default() };
    let (_writer, body) = Body::live();
    let mut waiting = pair.submit::<Exec>(args, with(body)).await;
    assert!(matches!(waiting.progress().await, Some(Ok(Progress::Started))));
    pair.controller.cancel(waiting.id()).await.expect("it runs");
    match waiting.outcome().await {
        Err(NotDone::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Cancelled),
        other => panic!("{other:?}"),
    }
    pair.stop().await;
}

const LOSSY: PathConfig = PathConfig::lossy(Duration::from_millis(5), Duration::from_millis(1), 0.02);
