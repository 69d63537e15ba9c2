//! The handlers of the workload: they do as their job says, and tell the observer.

mod kept;

use std::time::Duration;

use runnel::codec::Command;
use runnel::{BodyError, BodyReader, BodyWriter, Context, HandlerError, Handlers, StopSignal};
use tokio::time::sleep;

use self::kept::KeptWork;
use super::observer::{Ended, Observer, Seat};
use super::order::{Ending, Job, Keep, Note, Repeat, Tell, Work};
use super::programs::Programs;
use super::violation::Invariant;

/// Makes the handlers of a process.
pub(super) fn handlers(observer: &Observer, seat: Seat, programs: &Programs) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_recoverable::<Keep, _>(KeptWork::new(observer, seat, programs));
    let seen = observer.clone();
    handlers.on::<Work, _, _>(move |context, job| run(context, job, seen.clone(), seat));
    let seen = observer.clone();
    handlers.on::<Repeat, _, _>(move |context, job| run(context, job, seen.clone(), seat));
    let seen = observer.clone();
    handlers.on_inline::<Note, _>(move |number| {
        seen.called(number, seat);
        seen.ended(number, seat, Ended::Result);
        Ok(number)
    });
    let seen = observer.clone();
    handlers.on::<Tell, _, _>(move |context, job| hear(context, job, seen.clone(), seat));
    handlers
}

async fn hear(context: Context<Tell>, job: Job, observer: Observer, seat: Seat) -> Result<(), HandlerError> {
    observer.called(job.number, seat);
    let work = async {
        sleep(Duration::from_millis(job.run_ms)).await;
        result_of(&job)
    };
    let result = heed(context.stop_signal(), &job, work).await;
    conclude(&job, result, &observer, seat).map(drop)
}

async fn run<C>(
    mut context: Context<C>,
    job: Job,
    observer: Observer,
    seat: Seat,
) -> Result<Vec<u8>, HandlerError>
where
    C: Command<Args = Job, Update = Vec<u8>, Result = Vec<u8>>,
{
    observer.called(job.number, seat);
    let stop = context.stop_signal();
    let result = heed(stop, &job, perform(&mut context, &job, &observer, seat)).await;
    conclude(&job, result, &observer, seat)
}

/// Does a job's work until it is done, or told to stop and not deaf.
async fn heed(
    mut stop: StopSignal,
    job: &Job,
    work: impl Future<Output = Result<Vec<u8>, HandlerError>>,
) -> Result<Vec<u8>, HandlerError> {
    if job.is_deaf {
        return work.await;
    }
    tokio::select! {
        biased;
        reason = stop.stopped() => Err(HandlerError::stopped(reason, "told to stop")),
        result = work => result,
    }
}

/// Tells how a job ends, and ends so.
fn conclude(
    job: &Job,
    result: Result<Vec<u8>, HandlerError>,
    observer: &Observer,
    seat: Seat,
) -> Result<Vec<u8>, HandlerError> {
    let ended = match (&result, job.ending) {
        (Ok(_), Ending::Panic) => Ended::Panic,
        (Ok(_), _) => Ended::Result,
        (Err(_), _) => Ended::Error,
    };
    observer.ended(job.number, seat, ended);
    if ended == Ended::Panic {
        // Without the hook that writes of it to standard error.
        std::panic::resume_unwind(Box::new("a panic that the job asks for"));
    }
    result
}

async fn perform<C>(
    context: &mut Context<C>,
    job: &Job,
    observer: &Observer,
    seat: Seat,
) -> Result<Vec<u8>, HandlerError>
where
    C: Command<Args = Job, Update = Vec<u8>, Result = Vec<u8>>,
{
    if let Some(body) = context.body() {
        read_body(body, job, observer, seat).await?;
    }
    let pause = Duration::from_millis(job.run_ms) / (job.updates + 1);
    for index in 0..job.updates {
        sleep(pause).await;
        context.update(&job.update(index)).await?;
    }
    sleep(pause).await;
    if let Some(body) = context.result_body() {
        write_body(body, job).await?;
    }
    result_of(job)
}

fn result_of(job: &Job) -> Result<Vec<u8>, HandlerError> {
    match job.ending {
        Ending::Error => Err(HandlerError::new("an error that the job asks for")),
        Ending::Result | Ending::Panic => Ok(job.result()),
    }
}

async fn read_body(
    mut body: BodyReader,
    job: &Job,
    observer: &Observer,
    seat: Seat,
) -> Result<(), BodyError> {
    let mut taken = 0;
    loop {
        let piece = match body.next().await {
            Ok(piece) => piece,
            Err(error) => {
                if error == BodyError::Broken {
                    observer.violation(Invariant::SameBytes, format!("the body of {job:?} is broken"));
                }
                return Err(error);
            }
        };
        let Some(piece) = piece else { break };
        observer.took_body(job.number, seat);
        if piece[..] != job.body(taken, piece.len())[..] {
            observer.violation(Invariant::SameBytes, format!("the body of {job:?} differs at {taken}"));
        }
        taken += piece.len();
        sleep(Duration::from_millis(job.reading_pause_ms)).await;
    }
    if taken != job.body_bytes as usize {
        observer.violation(Invariant::SameBytes, format!("the body of {job:?} ends after {taken} bytes"));
    }
    Ok(())
}

async fn write_body(mut body: BodyWriter, job: &Job) -> Result<(), BodyError> {
    let (mut written, whole) = (0, job.result_body_bytes as usize);
    while written < whole {
        let piece = job.result_body(written, PIECE_BYTES.min(whole - written));
        written += piece.len();
        body.write(piece.into()).await?;
    }
    body.finish().await
}

const PIECE_BYTES: usize = 10_000;
