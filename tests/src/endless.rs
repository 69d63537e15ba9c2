//! Bodies without end between the nodes of a simulated pair, either way, and a count of what of them has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use runnel::codec::{Class, Command, Never};
use runnel::{Body, BodyError, BodyReader, BodyWriter, Context, HandlerError, Handlers, SubmitOptions};
use tokio::task::JoinSet;

use crate::sim::Pair;

/// Which way bodies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With commands, from the controller to the worker.
    Up,
    /// With results, from the worker to the controller.
    Down,
}

/// How many bytes of bodies have come, whichever way. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<AtomicU64>);

/// Bodies that are under way: they end when this is dropped.
#[derive(Debug, Default)]
pub struct Endless(JoinSet<Result<(), BodyError>>);

/// Takes its body.
enum Take {}

/// Makes a body without end.
enum Make {}

impl Command for Take {
    const NAME: &'static str = "endless.take/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

impl Command for Make {
    const NAME: &'static str = "endless.make/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

impl Taken {
    /// Returns the bytes since the pair was started.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    async fn take(&self, mut body: BodyReader) -> Result<(), BodyError> {
        while let Some(piece) = body.next().await? {
            self.0.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Endless {
    /// Begins another body.
    ///
    /// # Panics
    ///
    /// When its command is not taken.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the command may have been stored; its body fails.
    pub async fn begin(&mut self, pair: &Pair, way: Way, class: Class, taken: &Taken) {
        match way {
            Way::Up => {
                let (writer, body) = Body::live();
                let options = SubmitOptions { class, body: Some(body), ..SubmitOptions::default() };
                let submission = pair.submit::<Take>((), options).await;
                self.0.spawn(async move { make(writer).await.map(|()| drop(submission)) });
            }
            Way::Down => {
                let options = SubmitOptions { class, result_body: true, ..SubmitOptions::default() };
                let mut submission = pair.submit::<Make>((), options).await;
                let body = submission.result_body().expect("it was asked for");
                let taken = taken.clone();
                self.0.spawn(async move { taken.take(body).await.map(|()| drop(submission)) });
            }
        }
    }

    /// Ends them all.
    ///
    /// # Cancel safety
    ///
    /// They end all the same if the future is dropped.
    pub async fn end(mut self) {
        self.0.shutdown().await;
    }
}

/// Adds the worker's handlers of such bodies.
pub fn handle_endless(handlers: &mut Handlers, taken: &Taken) {
    let taken = taken.clone();
    handlers.on::<Take, _, _>(move |mut context: Context<Take>, ()| {
        let taken = taken.clone();
        async move {
            let body = context.body().ok_or_else(|| HandlerError::new("a body is needed"))?;
            Ok(taken.take(body).await?)
        }
    });
    handlers.on::<Make, _, _>(|mut context: Context<Make>, ()| async move {
        let body = context.result_body().ok_or_else(|| HandlerError::new("nobody reads"))?;
        Ok(make(body).await?)
    });
}

async fn make(mut body: BodyWriter) -> Result<(), BodyError> {
    let piece = Bytes::from(vec![0x5a; 64 << 10]);
    loop {
        body.write(piece.clone()).await?;
    }
}
