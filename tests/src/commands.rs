//! The commands of the tests, and a gate that decides when those that wait may end.

use runnel::codec::{Command, Message, Never};
use runnel::{Context, HandlerError, Handlers};
use tokio::sync::watch;

use crate::tally::Tally;

/// Gives its argument back, on the engine's thread.
#[derive(Debug)]
pub enum Echo {}

/// Notes its call and gives its argument back.
#[derive(Debug)]
pub enum Mark {}

/// Notes its call and ends when the gate opens, or when it is told to stop.
#[derive(Debug)]
pub enum Hold {}

/// Notes its call, as a message does: small ones share streams.
#[derive(Debug)]
pub enum Notice {}

/// A message that notes its call and ends when the gate opens, or when it is told to stop.
#[derive(Debug)]
pub enum Wait {}

/// Notes its call and sends updates without end, until it is told to stop or nobody takes them.
#[derive(Debug)]
pub enum Talk {}

/// Notes its call, reads its body and returns the body's length and BLAKE3 hash.
#[derive(Debug)]
pub enum Digest {}

impl Command for Echo {
    const NAME: &'static str = "test.echo/1";
    const IDEMPOTENT: bool = true;
    type Args = u64;
    type Update = Never;
    type Result = u64;
}

impl Command for Mark {
    const NAME: &'static str = "test.mark/1";
    type Args = u64;
    type Update = Never;
    type Result = u64;
}

impl Command for Hold {
    const NAME: &'static str = "test.hold/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

impl Message for Notice {
    const NAME: &'static str = "test.notice/1";
    type Args = u64;
}

impl Message for Wait {
    const NAME: &'static str = "test.wait/1";
    type Args = u64;
}

impl Command for Talk {
    const NAME: &'static str = "test.talk/1";
    type Args = ();
    type Update = Vec<u8>;
    type Result = ();
}

impl Command for Digest {
    const NAME: &'static str = "test.digest/1";
    type Args = ();
    type Update = Never;
    type Result = (u64, [u8; 32]);
}

/// Holds back every [`Hold`] until it is opened. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets all pass, those to come too.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn passed(&self) {
        // The sender is ours, so the wait ends only with an open gate.
        self.0.subscribe().wait_for(|is_open| *is_open).await.ok();
    }
}

/// Makes the handlers of a worker in this process.
pub fn handlers(tally: &Tally, gate: &Gate) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Echo, _>(Ok);
    let noted = tally.clone();
    handlers.on::<Mark, _, _>(move |context: Context<Mark>, number| {
        noted.note(context.id());
        std::future::ready(Ok(number))
    });
    let noted = tally.clone();
    handlers.on::<Notice, _, _>(move |context: Context<Notice>, _| {
        noted.note(context.id());
        std::future::ready(Ok(()))
    });
    let (noted, waited_for) = (tally.clone(), gate.clone());
    handlers.on::<Wait, _, _>(move |context: Context<Wait>, _| {
        noted.note(context.id());
        hold(context, waited_for.clone())
    });
    let (noted, gate) = (tally.clone(), gate.clone());
    handlers.on::<Hold, _, _>(move |context: Context<Hold>, ()| {
        noted.note(context.id());
        hold(context, gate.clone())
    });
    let noted = tally.clone();
    handlers.on::<Talk, _, _>(move |context: Context<Talk>, ()| {
        noted.note(context.id());
        talk(context)
    });
    let noted = tally.clone();
    handlers.on::<Digest, _, _>(move |context: Context<Digest>, ()| {
        noted.note(context.id());
        digest(context)
    });
    handlers
}

/// Ends when the gate opens, or as told.
///
/// # Errors
///
/// It was told to stop.
///
/// # Cancel safety
///
/// Nothing is lost if the future is dropped.
pub async fn hold<C: Command>(context: Context<C>, gate: Gate) -> Result<(), HandlerError> {
    let mut stop = context.stop_signal();
    tokio::select! {
        () = gate.passed() => Ok(()),
        reason = stop.stopped() => Err(HandlerError::stopped(reason, "told to stop")),
    }
}

async fn talk(mut context: Context<Talk>) -> Result<(), HandlerError> {
    let mut stop = context.stop_signal();
    let piece = vec![b'.'; TALK_BYTES];
    loop {
        tokio::select! {
            reason = stop.stopped() => return Err(HandlerError::stopped(reason, "told to stop")),
            sent = context.update(&piece) => sent?,
        }
    }
}

async fn digest(mut context: Context<Digest>) -> Result<(u64, [u8; 32]), HandlerError> {
    let mut body = context.body().ok_or_else(|| HandlerError::new("a body is needed"))?;
    let (mut length, mut hash) = (0, blake3::Hasher::new());
    while let Some(piece) = body.next().await? {
        length += piece.len() as u64;
        hash.update(&piece);
    }
    Ok((length, hash.finalize().into()))
}

/// Bytes of one update of [`Talk`]: eight of them fill the credit of a caller that does not read.
pub const TALK_BYTES: usize = 32 << 10;
