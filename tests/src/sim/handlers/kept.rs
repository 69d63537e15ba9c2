//! The handler whose work outlives its process: it starts a program of the host and brings back what that says.

use std::sync::Arc;

use bytes::Bytes;
use runnel::{Context, HandlerError, Recoverable, Run};
use tokio::time::sleep_until;

use super::{conclude, heed, read_body, result_of};
use crate::sim::observer::{Ended, Observer, Seat};
use crate::sim::order::{Job, Keep};
use crate::sim::programs::{Program, Programs};

/// The handler of [`Keep`]. Its token is the number of the job.
#[derive(Debug)]
pub(super) struct KeptWork {
    observer: Observer,
    seat: Seat,
    programs: Programs,
}

impl KeptWork {
    pub(super) fn new(observer: &Observer, seat: Seat, programs: &Programs) -> Self {
        Self { observer: observer.clone(), seat, programs: programs.clone() }
    }

    /// Starts the program of a job once its body is read.
    async fn start(
        &self,
        context: &mut Context<Keep>,
        run: &Run,
        job: &Job,
    ) -> Result<Program, HandlerError> {
        if let Some(body) = context.body() {
            read_body(body, job, &self.observer, self.seat).await?;
        }
        // Before the start: a program that runs is always found again.
        run.set_token(job.number.to_le_bytes().to_vec()).await?;
        self.observer.left_token(job.number);
        Ok(self.programs.start(job))
    }

    /// Brings back what a program says, and remembers how much of it the caller's node holds.
    async fn follow(
        &self,
        context: &mut Context<Keep>,
        run: &Run,
        program: &Program,
    ) -> Result<Vec<u8>, HandlerError> {
        let mut acknowledgements = run.acknowledgements();
        let trim = async {
            loop {
                self.programs.trim(program.job.number, acknowledgements.more().await);
            }
        };
        let bring = async {
            for index in program.trimmed.updates..u64::from(program.job.updates) {
                let index = u32::try_from(index).expect("below the number of updates");
                sleep_until(program.says_at(index)).await;
                context.update(&program.job.update(index)).await?;
            }
            sleep_until(program.says_at(program.job.updates)).await;
            result_of(&program.job)
        };
        tokio::select! {
            biased;
            never = trim => never,
            result = bring => result,
        }
    }
}

impl Recoverable<Keep> for KeptWork {
    async fn run(
        self: Arc<Self>,
        mut context: Context<Keep>,
        run: Run,
        job: Job,
    ) -> Result<Vec<u8>, HandlerError> {
        self.observer.called(job.number, self.seat);
        let stop = context.stop_signal();
        let work = async {
            let program = self.start(&mut context, &run, &job).await?;
            self.follow(&mut context, &run, &program).await
        };
        let result = heed(stop, &job, work).await;
        conclude(&job, result, &self.observer, self.seat)
    }

    async fn recover(
        self: Arc<Self>,
        mut context: Context<Keep>,
        run: Run,
        token: Bytes,
    ) -> Result<Vec<u8>, HandlerError> {
        let number = number_of(&token);
        self.observer.recovered(number, self.seat);
        let Some(program) = self.programs.find(number) else {
            self.observer.ended(number, self.seat, Ended::Error);
            return Err(HandlerError::new("the program ended with its machine"));
        };
        let stop = context.stop_signal();
        let work = async {
            run.resume(program.trimmed.updates, program.trimmed.bytes).await;
            self.follow(&mut context, &run, &program).await
        };
        let result = heed(stop, &program.job, work).await;
        conclude(&program.job, result, &self.observer, self.seat)
    }

    async fn release(self: Arc<Self>, token: Bytes) {
        self.programs.end(number_of(&token));
    }

    fn begin(self: Arc<Self>, tokens: Vec<Bytes>) -> impl Future<Output = ()> + Send + 'static {
        self.programs.retain(&tokens.iter().map(|token| number_of(token)).collect());
        std::future::ready(())
    }
}

fn number_of(token: &[u8]) -> u64 {
    u64::from_le_bytes(token.try_into().expect("a token of ours"))
}
