//! The callers of the workload: they submit orders, follow them, and tell the observer.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use runnel::codec::{Command, CommandId, NodeId};
use runnel::{
    Body, BodyReader, Delivery, NodeHandle, NotDone, Progress, QueueError, Submission, SubmitError,
    SubmitOptions,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::mark::Mark;
use super::observer::{Observer, Seat};
use super::order::{Job, Keep, Kind, Note, Order, Repeat, Tell, Unheard, Work};
use super::tasks::TaskSet;
use super::violation::Invariant;

/// What callers in one process know.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) node: NodeHandle,
    pub(super) seat: Seat,
    pub(super) observer: Observer,
    /// The names of all hosts.
    pub(super) names: Arc<[NodeId]>,
}

impl Caller {
    /// Submits an order and follows it to its end. Returns whether it was done.
    pub(super) async fn call(self, order: Order) -> bool {
        self.observer.submits(self.seat, &order);
        match order.kind {
            Kind::Once => Box::pin(self.call_job::<Work>(&order)).await,
            Kind::Idempotent => Box::pin(self.call_job::<Repeat>(&order)).await,
            Kind::Kept => Box::pin(self.call_job::<Keep>(&order)).await,
            Kind::Unheard => Box::pin(self.call_job::<Unheard>(&order)).await,
            Kind::Inline => match self.submit::<Note>(&order, &order.job.number).await {
                Some(submission) => self.follow_note(submission, &order).await,
                None => false,
            },
            Kind::Message => match self.submit::<Tell>(&order, &order.job).await {
                Some(submission) => self.follow_message(submission, &order).await,
                None => false,
            },
        }
    }

    async fn call_job<C>(&self, order: &Order) -> bool
    where
        C: Command<Args = Job, Update = Vec<u8>, Result = Vec<u8>>,
    {
        match self.submit::<C>(order, &order.job).await {
            Some(submission) => self.follow_job(submission, order).await,
            None => false,
        }
    }

    async fn follow_note(&self, submission: Submission<Note>, order: &Order) -> bool {
        let id = submission.id().clone();
        let outcome = self.follow(submission, order).await;
        self.tell(order, &id, outcome.map(|number| number == order.job.number)).await
    }

    async fn follow_message(&self, submission: Submission<Tell>, order: &Order) -> bool {
        let id = submission.id().clone();
        let outcome = self.follow(submission, order).await;
        self.tell(order, &id, outcome.map(|()| true)).await
    }

    async fn follow_job<C>(&self, mut submission: Submission<C>, order: &Order) -> bool
    where
        C: Command<Args = Job, Update = Vec<u8>, Result = Vec<u8>>,
    {
        let id = submission.id().clone();
        let (outcome, body) = match submission.result_body() {
            None => (self.follow(submission, order).await, Ok(())),
            Some(body) => {
                tokio::join!(biased; self.follow(submission, order), read_result_body(body, order))
            }
        };
        if outcome.is_ok()
            && let Err(fault) = body
        {
            self.observer
                .violation(Invariant::SameBytes, format!("the result's body of {:?} {fault}", order.job));
        }
        self.tell(order, &id, outcome.map(|result| result == order.job.result())).await
    }

    /// Follows a durable command that an older process submitted to its end.
    async fn go_on(self, order: Order, id: CommandId) {
        match order.kind {
            Kind::Once => Box::pin(self.attach_job::<Work>(&order, &id)).await,
            Kind::Idempotent => Box::pin(self.attach_job::<Repeat>(&order, &id)).await,
            Kind::Kept => Box::pin(self.attach_job::<Keep>(&order, &id)).await,
            Kind::Unheard => Box::pin(self.attach_job::<Unheard>(&order, &id)).await,
            Kind::Inline => {
                if let Some(submission) = self.attach::<Note>(&order, &id).await {
                    self.follow_note(submission, &order).await;
                }
            }
            Kind::Message => {
                if let Some(submission) = self.attach::<Tell>(&order, &id).await {
                    self.follow_message(submission, &order).await;
                }
            }
        }
    }

    async fn attach_job<C>(&self, order: &Order, id: &CommandId)
    where
        C: Command<Args = Job, Update = Vec<u8>, Result = Vec<u8>>,
    {
        if let Some(submission) = self.attach::<C>(order, id).await {
            self.follow_job(submission, order).await;
        }
    }

    async fn attach<C: Command>(&self, order: &Order, id: &CommandId) -> Option<Submission<C>> {
        match self.node.attach::<C>(id, true).await {
            Ok(submission) => Some(submission),
            Err(SubmitError::NodeStopped) => None,
            Err(error) => {
                self.observer.violation(Invariant::NothingLost, format!("{order:?} is found: {error}"));
                None
            }
        }
    }

    async fn submit<C: Command>(&self, order: &Order, args: &C::Args) -> Option<Submission<C>> {
        let number = order.job.number;
        let has_bodies = order.kind != Kind::Inline;
        let body = Some(order.job.body_bytes as usize).filter(|bytes| has_bodies && *bytes > 0);
        let options = SubmitOptions {
            class: order.class,
            deadline: order.deadline,
            body: body.map(|bytes| Body::bytes(order.job.body(0, bytes))),
            result_body: has_bodies && order.job.result_body_bytes > 0,
            updates: order.updates,
            steps: true,
            delivery: Some(if order.is_durable { Delivery::Durable } else { Delivery::Memory }),
            label: if order.is_durable { number.to_le_bytes().to_vec().into() } else { Bytes::new() },
            keep_outcome: order.is_durable,
            ..SubmitOptions::default()
        };
        match self.node.submit::<C>(&self.names[order.worker], args, options).await {
            Ok(submission) => {
                self.observer.accepted(number, submission.id());
                if !order.look_after.is_zero() {
                    sleep(order.look_after).await;
                }
                Some(submission)
            }
            // It may have been stored before the node ended.
            Err(SubmitError::NodeStopped) if order.is_durable => None,
            Err(error) => {
                self.observer.refused(number);
                match error {
                    SubmitError::Queue(QueueError::Full { .. }) => self.observer.mark(Mark::QueueFull),
                    SubmitError::Queue(QueueError::StoreFull { .. }) => {}
                    SubmitError::NodeStopped => {}
                    other => self.observer.violation(Invariant::NothingLost, format!("{order:?}: {other}")),
                }
                None
            }
        }
    }

    async fn follow<C: Command>(
        &self,
        mut submission: Submission<C>,
        order: &Order,
    ) -> Result<C::Result, NotDone>
    where
        C::Update: AsUpdate,
    {
        let (number, begun_at) = (order.job.number, Instant::now());
        let (mut cancel_after, mut abandon_after) = (order.cancel_after, order.abandon_after);
        loop {
            let progress = tokio::select! {
                biased;
                progress = submission.progress() => progress,
                () = due(begun_at, cancel_after) => {
                    cancel_after = None;
                    self.observer.cancels(number);
                    self.node.cancel(submission.id()).await.ok();
                    continue;
                }
                () = due(begun_at, abandon_after) => {
                    abandon_after = None;
                    self.observer.abandons(number);
                    self.node.abandon(submission.id()).await.ok();
                    continue;
                }
            };
            match progress {
                None => return submission.outcome().await,
                Some(Err(error)) => {
                    self.observer.violation(Invariant::SameBytes, format!("{order:?}: {error}"))
                }
                Some(Ok(Progress::Sent)) => self.observer.sent(number),
                Some(Ok(Progress::Overdue)) => self.observer.mark(Mark::Overdue),
                Some(Ok(Progress::Update(update))) => {
                    self.observer.updated(number, submission.last_update().number, update.content());
                    if !order.reading_pause.is_zero() {
                        sleep(order.reading_pause).await;
                    }
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// Tells the observer how a command ended; `Ok` says whether the result is the right one. Then it may be forgotten.
    async fn tell(&self, order: &Order, id: &CommandId, outcome: Result<bool, NotDone>) -> bool {
        let number = order.job.number;
        if outcome == Err(NotDone::NodeStopped) {
            return false;
        }
        if outcome == Ok(false) {
            self.observer
                .violation(Invariant::OneOutcome, format!("another result than that of {:?}", order.job));
        }
        let is_done = outcome.is_ok();
        self.observer.outcome(number, outcome.map(drop));
        if order.is_durable {
            // The node may have stopped: then the next process finds it again.
            self.node.forget_outcome(id).await.ok();
        }
        is_done
    }
}

/// Finds the durable commands of older processes, and follows each to its end.
pub(super) async fn take_up(caller: Caller, callers: Arc<TaskSet>) {
    let Ok(recovered) = caller.node.recovered().await else { return };
    for (order, id) in caller.observer.found(caller.seat, &recovered) {
        callers.start(Box::pin(caller.clone().go_on(order, id)));
    }
}

/// What updates of the workload are: bytes, if there are any.
trait AsUpdate {
    fn content(&self) -> &[u8];
}

impl AsUpdate for Vec<u8> {
    fn content(&self) -> &[u8] {
        self
    }
}

impl AsUpdate for runnel::codec::Never {
    fn content(&self) -> &[u8] {
        &[]
    }
}

async fn due(begun_at: Instant, after: Option<Duration>) {
    match after {
        Some(after) => sleep_until(begun_at + after).await,
        None => pending().await,
    }
}

/// Reads the body of a result and says what is wrong with it.
async fn read_result_body(mut body: BodyReader, order: &Order) -> Result<(), String> {
    let mut taken = 0;
    loop {
        let piece = body.next().await.map_err(|error| format!("breaks off after {taken} bytes: {error}"))?;
        let Some(piece) = piece else { break };
        if piece[..] != order.job.result_body(taken, piece.len())[..] {
            return Err(format!("differs at {taken}"));
        }
        taken += piece.len();
        if !order.reading_pause.is_zero() {
            sleep(order.reading_pause).await;
        }
    }
    if taken == order.job.result_body_bytes as usize {
        Ok(())
    } else {
        Err(format!("ends after {taken} bytes"))
    }
}
