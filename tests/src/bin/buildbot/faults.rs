//! What a build on a node has to endure: darkness, new ports, and daemons that are killed.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::judge::{Verdict, is_alive};
use crate::master::{InVain, Master};
use crate::matrix::end;
use crate::network::Network;
use crate::scene::{Kind, Scene, Stage};
use crate::show::progress;
use crate::told::{Build, RETRY, SUCCESS, Step, Told, result_name};

/// Something that happens in the middle of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing gets through for so long.
    Blackout(Duration),
    /// The worker's node gets another port, and nobody is told.
    Rebind,
    /// The worker's daemon is killed and started again.
    WorkerKilled,
    /// The gateway is killed and started again.
    GatewayKilled,
    /// The node is away for longer than the gateway waits, and comes back.
    TooLongAway,
}

/// A fault that builds over one protocol have to endure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    kind: Kind,
    fault: Fault,
}

/// What has come of a fault.
#[derive(Clone, Debug)]
pub(crate) struct Endured {
    pub(crate) fault: String,
    pub(crate) verdict: Verdict,
    pub(crate) seen: String,
}

impl Trial {
    /// Those of a run.
    pub(crate) fn all(is_quick: bool) -> Vec<Self> {
        let short = Fault::Blackout(Duration::from_secs(10));
        let long = Fault::Blackout(Duration::from_secs(60));
        let over = |kind: Kind, faults: &[Fault]| {
            faults.iter().map(|&fault| Self { kind, fault }).collect::<Vec<_>>()
        };
        if is_quick {
            return over(Kind::Runnel, &[short, Fault::WorkerKilled, Fault::GatewayKilled]);
        }
        let killed = [Fault::Rebind, Fault::WorkerKilled, Fault::GatewayKilled, Fault::TooLongAway];
        let pb = over(Kind::Runnel, &[&[long][..], &killed].concat());
        [pb, over(Kind::Msgpack, &[&[short][..], &killed].concat())].concat()
    }

    /// Lets a build endure each that is asked for.
    pub(crate) async fn run_all(stage: &Stage, arguments: &Arguments) -> Vec<Endured> {
        let mut endured = Vec::new();
        for trial in Self::all(arguments.is_quick) {
            if arguments.wants(&trial.to_string()) {
                progress(&trial.to_string());
                endured.push(trial.run(stage, arguments).await);
            }
        }
        endured
    }

    async fn run(self, stage: &Stage, arguments: &Arguments) -> Endured {
        let patience = if self.fault == Fault::TooLongAway { PATIENCE } else { WITHIN };
        let network = Network::relayed(LOSS);
        let mut scene = match Scene::start_patient(stage, self.kind, &network, patience).await {
            Ok(scene) => scene,
            Err(error) => return self.endured(Err(error.to_string())),
        };
        let seen = if self.fault.ends_builds() {
            retried(self.fault, &mut scene).await
        } else {
            let silence = self.fault.strike(&mut scene).await;
            let meaning = self.fault.meaning_of_silence();
            silence.map(|silence| format!("{meaning} {:.1} s", silence.as_secs_f64()))
        };
        let endured = self.endured(seen);
        end(scene, arguments.keeps || matches!(endured.verdict, Verdict::Wrong { .. })).await;
        endured
    }

    fn endured(self, seen: Result<String, String>) -> Endured {
        let wanted = if self.fault.ends_builds() { "RETRY, then SUCCESS" } else { "SUCCESS" };
        let (verdict, seen) = match seen {
            Ok(seen) => (Verdict::Right(wanted.to_owned()), seen),
            Err(why) => (Verdict::Wrong { result: "none".to_owned(), why }, String::new()),
        };
        Endured { fault: self.to_string(), verdict, seen }
    }
}

impl Fault {
    /// Whether a build is tried again for it.
    fn ends_builds(self) -> bool {
        matches!(self, Self::GatewayKilled | Self::TooLongAway)
    }

    /// Lets a build endure it. Returns how long it was silent, as [`Self::meaning_of_silence`] says, or what is wrong.
    pub(crate) async fn strike(self, scene: &mut Scene) -> Result<Duration, String> {
        let builder = match self {
            Self::Blackout(time) if time > Duration::from_secs(10) => LONG,
            _ => SHORT,
        };
        scene.master.order(builder.name).await;
        line(&mut scene.master, "line 20").await.map_err(|InVain| "the build does not go on")?;
        let mut last_at = self.happen(scene).await;
        let (mut first, mut longest) = (None, Duration::ZERO);
        loop {
            let next = scene.master.wait_for(WITHIN, |told| match told {
                Told::Line { .. } => Some(None),
                Told::Build(build) => Some(Some(build.clone())),
                _ => None,
            });
            let (at, build) = next.await.map_err(|InVain| "nothing comes any more")?;
            let silence = at.saturating_duration_since(last_at);
            if let Some(build) = build {
                check(&build, builder)?;
                return Ok(if self == Self::Rebind { longest } else { first.unwrap_or_default() });
            }
            (first, longest, last_at) = (first.or(Some(silence)), longest.max(silence), at);
        }
    }

    fn meaning_of_silence(self) -> &'static str {
        if self == Self::Rebind { "longest silence" } else { "first line after" }
    }

    /// Lets it happen, and returns when it was over.
    async fn happen(self, scene: &mut Scene) -> Instant {
        match self {
            Self::Blackout(time) => {
                scene.ways.go_dark().await;
                sleep(time).await;
                scene.master.drain();
                scene.ways.lighten().await;
            }
            Self::Rebind => {
                scene.master.drain();
                scene.ways.rebind();
            }
            Self::WorkerKilled => {
                let (fleet, ways) = scene.fleet();
                fleet.restart_worker(ways).await;
            }
            Self::GatewayKilled => {
                let (fleet, ways) = scene.fleet();
                fleet.restart_gateway(ways).await;
            }
            Self::TooLongAway => {
                scene.ways.go_dark().await;
                let is_detached = |told: &Told| matches!(told, Told::Detached).then_some(());
                // What has not come is missed by whoever waits for it next.
                scene.master.wait_for(WITHIN, is_detached).await.ok();
                scene.ways.lighten().await;
            }
        }
        Instant::now()
    }
}

/// Lets it happen in the middle of a build, which has to be tried again, without its process, and to end well then.
async fn retried(fault: Fault, scene: &mut Scene) -> Result<String, String> {
    scene.master.order(SHORT.name).await;
    let pid = pid(&mut scene.master).await.map_err(|InVain| "the build does not begin")?;
    fault.happen(scene).await;
    let first = scene.master.builds(1, WITHIN).await.map_err(|InVain| "the build does not end")?;
    if first[0].result != RETRY {
        return Err(format!("the build is {}", result_name(Some(first[0].result))));
    }
    let again = self::pid(&mut scene.master).await.map_err(|InVain| "the build is not tried again")?;
    if is_alive(pid) {
        return Err(format!("process {pid} lives on beside {again}"));
    }
    let builds = scene.master.builds(1, WITHIN).await.map_err(|InVain| "the build does not end")?;
    check(&builds[0], SHORT)?;
    Ok("no process was left".to_owned())
}

/// Returns what is wrong with a build that has to be as if nothing had happened.
pub(crate) fn check(build: &Build, builder: Lines) -> Result<(), String> {
    if build.result != SUCCESS {
        return Err(format!("the build is {}", result_name(Some(build.result))));
    }
    let expected: String = (1..=builder.lines).map(|number| format!("line {number}\n")).collect();
    let output = build.steps.iter().find(|step| step.name == "lines").map(Step::output);
    let output = output.unwrap_or_default();
    if blake3::hash(output.as_bytes()) == blake3::hash(expected.as_bytes()) {
        return Ok(());
    }
    Err(format!("{} of {} bytes of the log came", output.len(), expected.len()))
}

/// Waits until a process has said its id.
async fn pid(master: &mut Master) -> Result<u32, InVain> {
    let found = master.wait_for(WITHIN, |told| match told {
        Told::Line { line, .. } => line.strip_prefix("pid ").and_then(|pid| pid.parse().ok()),
        _ => None,
    });
    Ok(found.await?.1)
}

/// Waits for a line.
async fn line(master: &mut Master, wanted: &str) -> Result<Instant, InVain> {
    let found = master.wait_for(WITHIN, |told| match told {
        Told::Line { line, .. } => (line == wanted).then_some(()),
        _ => None,
    });
    Ok(found.await?.0)
}

/// A builder that says ten lines a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) name: &'static str,
    lines: usize,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/faults/{}", self.kind, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blackout(time) => write!(f, "blackout of {} s", time.as_secs()),
            Self::Rebind => f.write_str("silent NAT rebind"),
            Self::WorkerKilled => f.write_str("worker's daemon killed and restarted"),
            Self::GatewayKilled => f.write_str("gateway killed and restarted"),
            Self::TooLongAway => write!(f, "away for longer than {} s", PATIENCE.as_secs()),
        }
    }
}

pub(crate) const SHORT: Lines = Lines { name: "lines-20", lines: 200 };
pub(crate) const LONG: Lines = Lines { name: "lines-80", lines: 800 };

/// Packets that the network loses beside, from 0 to 1.
const LOSS: f64 = 0.02;

/// How long the gateway waits for a node that is away too long.
const PATIENCE: Duration = Duration::from_secs(4);

/// Longer than a build and whatever happens to it.
const WITHIN: Duration = Duration::from_secs(200);
