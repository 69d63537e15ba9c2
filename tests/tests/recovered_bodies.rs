//! A handler that goes on after a crash of its worker gets its body again, and writes that of its result again.

use std::sync::Arc;

use bytes::Bytes;
use runnel::codec::{Command, Never};
use runnel::{
    Body, BodyError, BodyReader, Context, HandlerError, Handlers, Recoverable, Run, Submission, SubmitOptions,
};
use runnel_tests::crashing::{CrashingNode, Site};
use runnel_tests::follow::outcome;
use runnel_tests::patience::patient;

/// Copies its body into that of its result, and says how long it was.
enum Copy {}

impl Command for Copy {
    const NAME: &'static str = "test.copy/1";
    type Args = ();
    type Update = Never;
    type Result = u64;
}

/// How a process of the worker copies.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// So many bytes, and then it hangs.
    Hanging(usize),
    /// To the end.
    Whole,
    /// To the end, and every byte is another one.
    Otherwise,
    /// Nothing at all.
    Nothing,
}

struct CopyHandler(Manner);

impl CopyHandler {
    async fn copy(&self, mut context: Context<Copy>) -> Result<u64, HandlerError> {
        let (Some(mut body), Some(mut result)) = (context.body(), context.result_body()) else {
            return Err(HandlerError::new("it lacks a body"));
        };
        let mut bytes = 0;
        while let Some(piece) = body.next().await? {
            let piece = match self.0 {
                Manner::Hanging(most) => piece.slice(..piece.len().min(most - bytes)),
                Manner::Whole => piece,
                Manner::Otherwise => piece.iter().map(|byte| !byte).collect(),
                Manner::Nothing => Bytes::new(),
            };
            bytes += piece.len();
            result.write(piece).await?;
            if matches!(self.0, Manner::Hanging(most) if most == bytes) {
                std::future::pending::<()>().await;
            }
        }
        result.finish().await?;
        Ok(bytes as u64)
    }
}

impl Recoverable<Copy> for CopyHandler {
    async fn run(self: Arc<Self>, context: Context<Copy>, run: Run, (): ()) -> Result<u64, HandlerError> {
        run.set_token(&b"token"[..]).await?;
        self.copy(context).await
    }

    async fn recover(
        self: Arc<Self>,
        context: Context<Copy>,
        _run: Run,
        _token: Bytes,
    ) -> Result<u64, HandlerError> {
        self.copy(context).await
    }

    async fn release(self: Arc<Self>, _token: Bytes) {}

    async fn begin(self: Arc<Self>, _tokens: Vec<Bytes>) {}
}

/// A controller that stays, and a worker with a disk.
struct World(Site);

impl World {
    async fn worker(&self, manner: Manner) -> CrashingNode {
        let mut handlers = Handlers::new();
        handlers.on_recoverable::<Copy, _>(CopyHandler(manner));
        CrashingNode::start(self.0.worker(handlers)).await
    }

    /// Has a body copied whose worker crashes after half of it, when the caller has that half.
    async fn copy_half(&self) -> (Submission<Copy>, BodyReader) {
        let worker = self.worker(Manner::Hanging(BYTES / 2)).await;
        let path = self.0.folder.path().join("body");
        std::fs::write(&path, content()).expect("the folder can be written");
        let options =
            SubmitOptions { body: Some(Body::file(path)), result_body: true, ..SubmitOptions::default() };
        let to = "w1".parse().expect("a name");
        let submitted = self.0.controller.handle().submit::<Copy>(&to, &(), options).await;
        let mut copy = submitted.expect("there is room");
        let mut reader = copy.result_body().expect("it was asked for");
        let half = read(&mut reader, BYTES / 2).await.expect("it comes");
        assert!(half == content()[..BYTES / 2], "the first half is another");
        worker.crash();
        (copy, reader)
    }

    async fn end(self, worker: CrashingNode) {
        worker.crash();
        patient("the controller to stop", self.0.controller.shutdown()).await;
    }
}

/// Reads so many bytes, or to the end.
async fn read(reader: &mut BodyReader, bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut content = Vec::new();
    while content.len() < bytes {
        match patient("a piece of the body", reader.next()).await? {
            Some(piece) => content.extend_from_slice(&piece),
            None => break,
        }
    }
    Ok(content)
}

fn content() -> Vec<u8> {
    (0..BYTES).map(|at| (at / 7).to_le_bytes()[at % 7]).collect()
}

#[tokio::test]
async fn a_body_comes_again_and_its_copy_goes_on_where_the_caller_is() {
    let world = World(Site::new().await);
    let (copy, mut reader) = world.copy_half().await;
    // One that is lost before it has copied as much.
    let worker = world.worker(Manner::Hanging(BYTES / 4)).await;
    let mut status = world.0.controller.handle().status();
    let name = "w1".parse().expect("a name");
    drop(patient("a link", status.wait_for(|status| status.link(&name).is_some())).await.expect("it runs"));
    worker.crash();
    let worker = world.worker(Manner::Whole).await;
    let rest = read(&mut reader, usize::MAX).await.expect("it comes whole");
    assert!(rest == content()[BYTES / 2..], "{} bytes, or others", rest.len());
    assert_eq!(outcome(copy).await, Ok(BYTES as u64));
    world.end(worker).await;
}

#[tokio::test]
async fn a_copy_that_goes_on_otherwise_is_broken() {
    let world = World(Site::new().await);
    let (copy, mut reader) = world.copy_half().await;
    let worker = world.worker(Manner::Otherwise).await;
    assert_eq!(read(&mut reader, usize::MAX).await, Err(BodyError::Broken));
    assert_eq!(outcome(copy).await, Ok(BYTES as u64), "the handler has its own words");
    world.end(worker).await;
}

#[tokio::test]
async fn a_copy_that_is_shorter_than_what_its_caller_has_is_given_up() {
    let world = World(Site::new().await);
    let (copy, mut reader) = world.copy_half().await;
    let worker = world.worker(Manner::Nothing).await;
    assert_eq!(read(&mut reader, usize::MAX).await, Err(BodyError::Aborted));
    assert_eq!(outcome(copy).await, Ok(0));
    world.end(worker).await;
}

/// More than all that is held on the way.
const BYTES: usize = 8 << 20;
