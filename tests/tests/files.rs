//! `fs.put`, `fs.get` and the standard input of `exec` between two whole nodes: real files and processes, a network in
//! memory.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use runnel::codec::FailureKind;
use runnel::commands::{
    Compression, Exec, ExecArgs, ExecStatus, ExecUpdate, FileKind, FsDone, FsFound, FsGet, FsGetArgs, FsPut,
    FsPutArgs, pack, register_built_ins, unpack,
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

fn get(path: &str) -> FsGetArgs {
    FsGetArgs { path: path.to_owned(), compress: Compression::None }
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

    let get = pair.submit::<FsGet>(get("new/file"), asking()).await;
    let (found, got, done) = follow(get).await;
    assert_eq!(
        found.map(|found| (found.kind, found.bytes, found.mode & 0o777)),
        Some((FileKind::File, 1_500_000, 0o640))
    );
    assert_eq!((got, done), (Ok(content), Ok(FsDone { files: 1, bytes: 1_500_000 })));
    let there = std::fs::metadata(root.path().join("new/file")).expect("it is there");
    let modified_ns = there.mtime() * 1_000_000_000 + there.mtime_nsec();
    assert_eq!(found.map(|found| found.modified_ns), Some(modified_ns));
    assert!(found.is_some_and(|found| found.accessed_ns > 1_700_000_000_000_000_000), "{found:?}");
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_replaced_keeps_its_permissions_unless_others_are_asked_for() {
    let root = tempfile::tempdir().expect("a folder");
    let pair = start(root.path()).await;
    let place = |name: &str| root.path().join(name);
    let mode = |name: &str| std::fs::metadata(place(name)).expect("it is there").permissions().mode() & 0o777;
    std::fs::write(place("script"), "old and long").expect("room on the disk");
    std::fs::set_permissions(place("script"), PermissionsExt::from_mode(0o751)).expect("it is ours");
    let replace =
        |mode| FsPutArgs { mode, replace: true, make_parents: false, ..put("script", FileKind::File) };

    let script = pair.submit::<FsPut>(replace(None), with(Body::bytes(&b"new"[..]))).await;
    assert_eq!(script.outcome().await, Ok(FsDone { files: 1, bytes: 3 }));
    assert_eq!(
        (std::fs::read(place("script")).expect("it is there"), mode("script")),
        (b"new".to_vec(), 0o751)
    );
    let empty = pair.submit::<FsPut>(replace(Some(0o600)), with(Body::bytes(&b""[..]))).await;
    assert_eq!(empty.outcome().await, Ok(FsDone { files: 1, bytes: 0 }));
    assert_eq!((std::fs::read(place("script")).expect("it is there"), mode("script")), (Vec::new(), 0o600));

    // A link is followed; a file does not replace a folder.
    symlink("script", place("link")).expect("room on the disk");
    let link = FsPutArgs { path: "link".to_owned(), ..replace(None) };
    let link = pair.submit::<FsPut>(link, with(Body::bytes(&b"file"[..]))).await;
    assert_eq!(link.outcome().await, Ok(FsDone { files: 1, bytes: 4 }));
    assert!(place("link").is_symlink());
    assert_eq!(std::fs::read(place("script")).expect("it is there"), b"file");
    std::fs::create_dir(place("folder")).expect("room on the disk");
    let folder = FsPutArgs { path: "folder".to_owned(), ..replace(None) };
    let folder = pair.submit::<FsPut>(folder, with(Body::bytes(&b"no"[..]))).await;
    assert!(message(folder.outcome().await).contains("folder"));

    let nowhere = FsPutArgs { path: "no/way".to_owned(), ..replace(None) };
    let nowhere = pair.submit::<FsPut>(nowhere, with(Body::bytes(&b"no"[..]))).await;
    assert!(message(nowhere.outcome().await).contains("no/"));
    assert_eq!(std::fs::read_dir(root.path()).expect("the root").count(), 3, "nothing partial is left");
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_is_compressed_on_the_worker_and_other_programs_read_it() {
    let (root, local) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let pair = start(root.path()).await;
    let place = |name: &str| root.path().join("tree").join(name);
    std::fs::create_dir_all(place("sub/empty")).expect("room on the disk");
    let long = "long".repeat(60);
    std::fs::write(place("sub").join(&long), vec![b'x'; 2_000_000]).expect("room on the disk");
    std::fs::set_permissions(place("sub").join(&long), PermissionsExt::from_mode(0o755)).expect("it is ours");
    std::fs::write(place("nothing"), "").expect("room on the disk");
    std::fs::File::create(place("holes")).and_then(|file| file.set_len(1 << 20)).expect("room on the disk");
    symlink(Path::new("sub").join(&long), place("link")).expect("room on the disk");
    symlink("nowhere", place("broken")).expect("room on the disk");

    let python = has_python_filters();
    for (compress, mode) in
        [(Compression::None, "r|"), (Compression::Gzip, "r|gz"), (Compression::Bzip2, "r|bz2")]
    {
        let got = pair.submit::<FsGet>(FsGetArgs { compress, ..get("tree") }, asking()).await;
        let (found, stream, done) = follow(got).await;
        let stream = stream.expect("it comes whole");
        assert_eq!(found.map(|found| found.bytes), Some(2_000_000 + (1 << 20)));
        assert_eq!(done, Ok(FsDone { files: 3, bytes: 2_000_000 + (1 << 20) }));
        assert!(
            compress == Compression::None || stream.len() < 50_000,
            "{compress:?}: {} bytes",
            stream.len()
        );
        if !python {
            continue;
        }
        let (file, copy) = (local.path().join("stream"), local.path().join(format!("copy{mode}")));
        std::fs::write(&file, &stream).expect("room on the disk");
        let unpacked = Command::new("python3").args(["-c", UNPACK, mode]).args([&file, &copy]).output();
        let unpacked = unpacked.expect("it ran before");
        assert!(unpacked.status.success(), "{mode}: {}", String::from_utf8_lossy(&unpacked.stderr));
        let content = std::fs::read(copy.join("sub").join(&long)).expect("it is there");
        assert!(content == vec![b'x'; 2_000_000]);
        let mode = std::fs::metadata(copy.join("sub").join(&long)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(std::fs::read_link(copy.join("link")).expect("a link"), Path::new("sub").join(&long));
        assert_eq!(std::fs::read_link(copy.join("broken")).expect("a link"), Path::new("nowhere"));
        assert_eq!(std::fs::read(copy.join("holes")).expect("it is there"), vec![0; 1 << 20]);
        assert!(copy.join("sub/empty").is_dir() && copy.join("nothing").is_file());
    }
    if !python {
        println!("not unpacked by Python: there is no python3 whose tarfile has filters");
    }
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_is_compressed_too() {
    let root = tempfile::tempdir().expect("a folder");
    let pair = start(root.path()).await;
    let content = b"the same again\n".repeat(100_000);
    std::fs::write(root.path().join("log"), &content).expect("room on the disk");
    for (compress, program) in [(Compression::Gzip, "gzip"), (Compression::Bzip2, "bzip2")] {
        let got = pair.submit::<FsGet>(FsGetArgs { compress, ..get("log") }, asking()).await;
        let (found, stream, done) = follow(got).await;
        let stream = stream.expect("it comes whole");
        assert_eq!(found.map(|found| (found.kind, found.bytes)), Some((FileKind::File, 1_500_000)));
        assert_eq!(done, Ok(FsDone { files: 1, bytes: 1_500_000 }));
        assert!(stream.len() < 20_000, "{program}: {} bytes", stream.len());
        let file = root.path().join(program);
        std::fs::write(&file, &stream).expect("room on the disk");
        let input = std::fs::File::open(&file).expect("it is there");
        match Command::new(program).arg("-dc").stdin(input).output() {
            Ok(output) => {
                assert!(output.status.success() && output.stdout == content, "{program}: {output:?}")
            }
            Err(error) => println!("not read by {program}: {error}"),
        }
    }
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

    let get = pair.submit::<FsGet>(get("tree"), asking()).await;
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
    let missing = pair.submit::<FsGet>(get("nothing"), asking()).await;
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

/// Returns whether there is a Python that unpacks as a Buildbot master does.
fn has_python_filters() -> bool {
    let asked = Command::new("python3").args(["-c", "import tarfile; tarfile.data_filter"]).output();
    asked.is_ok_and(|asked| asked.status.success())
}

/// Unpacks an archive, and refuses what leads out of the folder.
const UNPACK: &str = "import sys, tarfile
_, mode, path, folder = sys.argv
with tarfile.open(path, mode) as archive:
    archive.extractall(folder, filter='data')
";

const LOSSY: PathConfig = PathConfig::lossy(Duration::from_millis(5), Duration::from_millis(1), 0.02);
