//! The way between the callers' thread and that of the connection.
//!
//! Each direction has one channel for all calls and a task at its far end that deals out what comes: a wake across
//! threads is a system call, and so it is made once for everything that is under way, not once for each command.

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// The callers' end.
#[derive(Debug)]
pub(super) struct Switchboard {
    /// `None` while answers are dealt out.
    answers: Option<Answers>,
}

/// Answers of all lanes, and whom each is for.
#[derive(Debug)]
struct Answers {
    from_lanes: mpsc::UnboundedReceiver<(usize, usize)>,
    to_callers: Vec<mpsc::UnboundedSender<usize>>,
}

/// Answers are being dealt out, until `stop` is dropped.
#[derive(Debug)]
pub(super) struct Distribution {
    task: JoinHandle<Answers>,
    stop: oneshot::Sender<()>,
}

/// One caller's end. The channels have no bound of their own: each caller waits for its answer.
#[derive(Debug)]
pub(super) struct Call {
    index: usize,
    requests: mpsc::UnboundedSender<(usize, Bytes)>,
    answers: mpsc::UnboundedReceiver<usize>,
}

/// The end beside the connection.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) requests: mpsc::UnboundedReceiver<(usize, Bytes)>,
    pub(super) answers: mpsc::UnboundedSender<(usize, usize)>,
    pub(super) count: usize,
}

/// All ends.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) switchboard: Switchboard,
    pub(super) calls: Vec<Call>,
    pub(super) lanes: Lanes,
}

/// Makes so many calls and as many lanes.
pub(super) fn connect(count: usize) -> Connected {
    // Each call waits for its answer: no more than `count` are in any of these.
    let (requests, to_lanes) = mpsc::unbounded_channel();
    let (answers, from_lanes) = mpsc::unbounded_channel();
    let mut to_callers = Vec::new();
    let mut calls = Vec::new();
    for index in 0..count {
        let (answer, answers) = mpsc::unbounded_channel();
        to_callers.push(answer);
        calls.push(Call { index, requests: requests.clone(), answers });
    }
    Connected {
        switchboard: Switchboard { answers: Some(Answers { from_lanes, to_callers }) },
        calls,
        lanes: Lanes { requests: to_lanes, answers, count },
    }
}

impl Switchboard {
    /// Begins to deal out answers on the callers' runtime.
    pub(super) fn distribute(&mut self, runtime: &Runtime) -> Distribution {
        let answers = self.answers.take().expect("they are taken back before they are dealt out again");
        let (stop, stopped) = oneshot::channel();
        Distribution { task: runtime.spawn(deal_out(answers, stopped)), stop }
    }

    /// Ends that.
    pub(super) fn take_back(&mut self, runtime: &Runtime, distribution: Distribution) {
        drop(distribution.stop);
        self.answers = Some(runtime.block_on(distribution.task).expect("it does not panic"));
    }
}

impl Call {
    /// Sends a request and returns how many bytes were answered.
    pub(super) async fn send(&mut self, request: Bytes) -> usize {
        self.requests.send((self.index, request)).expect("the lanes live");
        self.answers.recv().await.expect("the lane lives")
    }
}

async fn deal_out(mut answers: Answers, mut stopped: oneshot::Receiver<()>) -> Answers {
    loop {
        tokio::select! {
            biased;
            answer = answers.from_lanes.recv() => {
                let Some((index, bytes)) = answer else { break };
                // A caller that is gone asked for nothing.
                answers.to_callers[index].send(bytes).ok();
            }
            _ = &mut stopped => break,
        }
    }
    answers
}
