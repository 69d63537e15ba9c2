//! `fs.mkdir`, `fs.remove`, `fs.copy`, `fs.stat`, `fs.list` and `fs.glob` between two whole nodes: a real disk, a network in
//! memory.

use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use runnel::codec::{Command, FailureKind};
use runnel::commands::{
    FoldersConfig, FsCopy, FsCopyArgs, FsDone, FsEntry, FsGlob, FsGlobArgs, FsKind, FsList, FsListArgs,
    FsMade, FsMkdir, FsMkdirArgs, FsRemove, FsRemoveArgs, FsStat, FsStatArgs, os_error, register_built_ins,
    register_folder_commands,
};
use runnel::process::Confinement;
use runnel::{Config, Handlers, NotDone, Progress, SubmitOptions};
use runnel_tests::sim::{Pair, PathConfig};

async fn start(root: &Path, config: Option<FoldersConfig>) -> Pair {
    let confinement = Confinement { root: Some(root.to_owned()), ..Confinement::default() };
    let mut handlers = Handlers::new();
    register_built_ins(&mut handlers, confinement.clone());
    if let Some(config) = config {
        register_folder_commands(&mut handlers, confinement, config);
    }
    Pair::start(1, LOSSY, handlers).await
}

async fn done<C: Command>(pair: &Pair, args: C::Args) -> Result<C::Result, NotDone> {
    pair.submit::<C>(args, SubmitOptions::default()).await.outcome().await
}

fn message<T: std::fmt::Debug>(outcome: Result<T, NotDone>) -> String {
    match outcome {
        Err(NotDone::Failed(failure)) if failure.kind == FailureKind::Handler => failure.message,
        other => panic!("it should have failed: {other:?}"),
    }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn removing(paths: &[&str]) -> FsRemoveArgs {
    FsRemoveArgs { paths: texts(paths), folders: true, force: false }
}

fn copying(from: &str, to: &str) -> FsCopyArgs {
    FsCopyArgs { from: from.to_owned(), to: to.to_owned(), replace: false, merge: false, make_parents: false }
}

#[tokio::test(start_paused = true)]
async fn folders_are_made_looked_at_copied_and_removed() {
    let root = tempfile::tempdir().expect("a folder");
    let pair = start(root.path(), None).await;
    let made = done::<FsMkdir>(&pair, FsMkdirArgs { paths: texts(&["src/a/b", "src/c"]) }).await;
    assert_eq!(made, Ok(FsMade { folders: 4 }));
    std::fs::write(root.path().join("src/a/b/file"), "content").expect("room on the disk");
    symlink("a/b/file", root.path().join("src/link")).expect("room on the disk");

    assert_eq!(done::<FsCopy>(&pair, copying("src", "copy")).await, Ok(FsDone { files: 1, bytes: 7 }));
    assert!(message(done::<FsCopy>(&pair, copying("src", "copy")).await).contains("exists"));

    let look = |path: &str| FsStatArgs { path: path.to_owned(), follow: false };
    let link = done::<FsStat>(&pair, look("copy/link")).await.expect("it is there").expect("it is there");
    assert_eq!((link.kind, link.link_target.as_deref()), (FsKind::Link, Some("a/b/file")));
    let file = done::<FsStat>(&pair, look("copy/a/b/file")).await.expect("it is there").expect("it is there");
    let original = std::fs::metadata(root.path().join("src/a/b/file")).expect("it is there");
    assert_eq!((file.bytes, file.mode), (7, original.mode()));
    assert_eq!(file.modified_ns, original.mtime() * 1_000_000_000 + original.mtime_nsec());

    let removed = done::<FsRemove>(&pair, removing(&["copy", "missing"])).await.expect("it can be removed");
    assert_eq!((removed.paths, removed.entries), (texts(&["copy"]), 6));
    assert_eq!(done::<FsStat>(&pair, look("copy")).await, Ok(None));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lists_and_searches_come_in_answers_that_join() {
    let root = tempfile::tempdir().expect("a folder");
    let two = NonZeroUsize::new(2).expect("it is not 0");
    let pair = start(root.path(), Some(FoldersConfig { entries_max: two, ..FoldersConfig::default() })).await;
    for name in ["a/x.c", "b/x.c", "b/y.h", "c/d/x.c", "c/.x.c"] {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("room on the disk");
        std::fs::write(path, "").expect("room on the disk");
    }
    let (mut entries, mut after, mut answers) = (Vec::new(), None, 0);
    loop {
        let args = FsListArgs { path: ".".to_owned(), after, limit: None };
        let answer = done::<FsList>(&pair, args).await.expect("it can be read");
        answers += 1;
        entries.extend(answer.entries);
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    let folder = |name: &str| FsEntry { name: name.to_owned(), kind: FsKind::Folder };
    assert_eq!((entries, answers), (vec![folder("a"), folder("b"), folder("c")], 2));

    let glob = |after: Option<&str>| FsGlobArgs {
        pattern: "**/*.c".to_owned(),
        after: after.map(str::to_owned),
        limit: None,
    };
    let first = done::<FsGlob>(&pair, glob(None)).await.expect("it can be read");
    assert_eq!((first.paths, first.next.as_deref()), (texts(&["a/x.c", "b/x.c"]), Some("b/x.c")));
    let second = done::<FsGlob>(&pair, glob(Some("b/x.c"))).await.expect("it can be read");
    assert_eq!((second.paths, second.next), (texts(&["c/d/x.c"]), None));
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_leads_out_of_the_root() {
    let place = tempfile::tempdir().expect("a folder");
    let (root, outside) = (place.path().join("root"), place.path().join("outside"));
    std::fs::create_dir(&root).expect("room on the disk");
    std::fs::create_dir(&outside).expect("room on the disk");
    std::fs::write(outside.join("kept"), "kept").expect("room on the disk");
    symlink(&outside, root.join("way")).expect("room on the disk");
    let pair = start(&root, None).await;
    for path in ["way/kept", "../outside/kept", outside.join("kept").to_str().expect("it is text")] {
        message(done::<FsRemove>(&pair, removing(&[path])).await);
        message(done::<FsCopy>(&pair, copying(path, "copy")).await);
        message(done::<FsStat>(&pair, FsStatArgs { path: path.to_owned(), follow: true }).await);
        message(done::<FsMkdir>(&pair, FsMkdirArgs { paths: texts(&[&format!("{path}.new")]) }).await);
    }
    let glob = FsGlobArgs { pattern: "**/kept".to_owned(), ..FsGlobArgs::default() };
    assert_eq!(done::<FsGlob>(&pair, glob).await.map(|found| found.paths), Ok(Vec::new()));
    let list = FsListArgs { path: "way".to_owned(), ..FsListArgs::default() };
    assert!(message(done::<FsList>(&pair, list).await).contains("outside"));
    let missing = FsListArgs { path: "missing".to_owned(), ..FsListArgs::default() };
    assert_eq!(os_error(&message(done::<FsList>(&pair, missing).await)), Some(2));

    assert!(done::<FsRemove>(&pair, removing(&["way"])).await.is_ok());
    assert_eq!(std::fs::read_dir(&root).expect("the root").count(), 0);
    assert_eq!(std::fs::read(outside.join("kept")).expect("it is there"), b"kept");
    pair.stop().await;
}

/// The one thread that may block is held, so that the removal has started and not begun when it is cancelled.
#[test]
fn what_is_cancelled_before_it_has_begun_on_the_disk_removes_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.expect("a runtime").block_on(async {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("kept"), "").expect("room on the disk");
        let mut handlers = Handlers::new();
        let confinement = Confinement { root: Some(root.path().to_owned()), ..Confinement::default() };
        register_built_ins(&mut handlers, confinement);
        let mut config = Config::default();
        config.receive_queue.stop_grace = Duration::from_millis(1);
        let pair = Pair::start_configured(1, LOSSY, handlers, &config).await;
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv().is_err());

        let mut removal = pair.submit::<FsRemove>(removing(&["kept"]), SubmitOptions::default()).await;
        assert!(matches!(removal.progress().await, Some(Ok(Progress::Started))));
        pair.controller.cancel(removal.id()).await.expect("it runs");
        match removal.outcome().await {
            Err(NotDone::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Cancelled),
            other => panic!("{other:?}"),
        }
        drop(release);
        assert!(holding.await.expect("it was released"));
        // The removal has had its turn on the thread once this has.
        tokio::task::spawn_blocking(|| ()).await.expect("it is nothing");
        assert!(root.path().join("kept").exists());
        pair.stop().await;
    });
}

const LOSSY: PathConfig = PathConfig::lossy(Duration::from_millis(5), Duration::from_millis(1), 0.02);
