//! One cell of the matrix: who shares a bottleneck, and what each of them got.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use runnel_benches::emulated::{Link, LinkConfig, LinkError, TcpFlow};

use crate::flow::RunnelFlow;

/// Who shares a bottleneck of 20 Mbit/s and 50 ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// Runnel links.
    pub(crate) links: usize,
    /// How long after one the next begins.
    pub(crate) apart: Duration,
    /// A TCP connection of the kernel beside them, with this congestion control.
    pub(crate) tcp: Option<&'static str>,
    /// How long the longest queue takes to send.
    pub(crate) buffer: Duration,
}

/// What one run of a cell has shown.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Of each flow, its part of the link's rate, in payload: the Runnel links first.
    pub(crate) shares: Vec<f64>,
    /// The same for each second.
    pub(crate) seconds: Vec<Vec<f64>>,
    /// How long packets queued, in the mean.
    pub(crate) queueing: Duration,
    /// How late the emulated link was, in the mean.
    pub(crate) lateness: Duration,
}

/// Why a cell could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CellError {
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("a TCP connection with {control} does not start")]
    Tcp { control: &'static str, source: io::Error },
}

enum Flow {
    Runnel(RunnelFlow),
    Tcp(TcpFlow),
}

impl Cell {
    /// Runs it for so long, from when all have begun.
    pub(crate) fn run(&self, time: Duration, seed: u64) -> Result<Outcome, CellError> {
        let link = Link::start(&LinkConfig::symmetric(RATE, RTT, self.buffer).seeded(seed))?;
        let flows = self.start(&link, seed)?;
        let received = || flows.iter().map(Flow::received).collect::<Vec<_>>();
        let (first, before, began_at) = (received(), link.traffic().up, Instant::now());
        let (mut last, mut last_at, mut seconds) = (first.clone(), began_at, Vec::new());
        while began_at.elapsed() < time {
            std::thread::sleep(Duration::from_secs(1).min(time));
            let current = received();
            seconds.push(shares(&last, &current, last_at.elapsed()));
            (last, last_at) = (current, Instant::now());
        }
        let traffic = link.traffic().up - before;
        Ok(Outcome {
            shares: shares(&first, &received(), began_at.elapsed()),
            seconds,
            queueing: traffic.queueing_mean(),
            lateness: traffic.lateness_mean(),
        })
    }

    /// Returns how many flows it has.
    pub(crate) fn flows(&self) -> usize {
        self.links + usize::from(self.tcp.is_some())
    }

    /// Starts all flows one after the other. Beside TCP, who begins depends on the seed.
    fn start(&self, link: &Link, seed: u64) -> Result<Vec<Flow>, CellError> {
        let tcp =
            |control| TcpFlow::start(link, control).map_err(|source| CellError::Tcp { control, source });
        let mut flows = Vec::new();
        let early = self.tcp.filter(|_| seed.is_multiple_of(2)).map(tcp).transpose()?;
        if early.is_some() {
            std::thread::sleep(TCP_APART);
        }
        for index in 0..self.links {
            if index > 0 {
                std::thread::sleep(self.apart);
            }
            flows.push(Flow::Runnel(RunnelFlow::start(link)));
        }
        if let Some(flow) = early {
            flows.push(Flow::Tcp(flow));
        } else if let Some(control) = self.tcp {
            std::thread::sleep(TCP_APART);
            flows.push(Flow::Tcp(tcp(control)?));
        }
        Ok(flows)
    }
}

impl Flow {
    fn received(&self) -> u64 {
        match self {
            Self::Runnel(flow) => flow.received(),
            Self::Tcp(flow) => flow.received(),
        }
    }
}

impl Outcome {
    /// Returns which part of the link's rate was used.
    pub(crate) fn used(&self) -> f64 {
        self.shares.iter().sum()
    }

    /// Returns the smallest share, 1 being an equal one of the whole link.
    pub(crate) fn smallest(&self) -> f64 {
        self.shares.iter().copied().fold(f64::INFINITY, f64::min) * self.shares.len() as f64
    }

    /// Returns Jain's index: 1 when all have the same.
    pub(crate) fn fairness(&self) -> f64 {
        let squares: f64 = self.shares.iter().map(|share| share * share).sum();
        self.used().powi(2) / (self.shares.len() as f64 * squares)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Runnel", self.links)?;
        match self.tcp {
            Some(control) => write!(f, " and TCP {control}")?,
            None if self.links > 1 && self.apart.is_zero() => write!(f, " together")?,
            None if self.links > 1 => write!(f, " {} s apart", self.apart.as_secs())?,
            None => {}
        }
        write!(f, ", buffer {} ms", self.buffer.as_millis())
    }
}

/// Returns which part of the link's rate each flow had.
fn shares(before: &[u64], after: &[u64], time: Duration) -> Vec<f64> {
    let bytes = RATE.get() as f64 / 8.0 * time.as_secs_f64();
    before.iter().zip(after).map(|(before, after)| (after - before) as f64 / bytes).collect()
}

const RATE: NonZeroU64 = NonZeroU64::new(20_000_000).expect("20,000,000 is not 0");

pub(crate) const RTT: Duration = Duration::from_millis(50);

/// How long after one the other begins, beside TCP.
const TCP_APART: Duration = Duration::from_secs(2);
