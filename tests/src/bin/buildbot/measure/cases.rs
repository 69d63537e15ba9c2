//! What is measured, and how.

use std::fs;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tokio::time::sleep;

use super::Figure;
use crate::faults::Fault;
use crate::judge::is_alive;
use crate::master::InVain;
use crate::scene::Scene;
use crate::told::{SUCCESS, Told};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upload,
    Download,
    Log,
    Output,
    Blackout,
    Rebind,
    Stop,
    Tiny,
    Interrupt,
    InterruptShown,
}

impl Case {
    pub(super) const ALL: [Self; 10] = [
        Self::Upload,
        Self::Download,
        Self::Log,
        Self::Output,
        Self::Blackout,
        Self::Rebind,
        Self::Stop,
        Self::Tiny,
        Self::Interrupt,
        Self::InterruptShown,
    ];

    /// Whether builds may still run when it is over.
    pub(super) fn leaves_builds(self) -> bool {
        matches!(self, Self::Tiny | Self::Interrupt | Self::InterruptShown)
    }

    pub(super) async fn run(self, scene: &mut Scene) -> Figure {
        let figure = match self {
            Self::Upload => self.transfer(scene, "measured-upload", "upload", 50.0).await,
            Self::Download => self.transfer(scene, "measured-download", "download", 20.0).await,
            Self::Log => step(scene, "log", "20 MB").await.map(Figure::Measured),
            Self::Output => output(scene).await.map(Figure::Measured),
            Self::Stop => stop(scene).await.map(Figure::Measured),
            Self::Tiny => tiny(scene).await.map(Figure::Measured),
            Self::Interrupt => interrupt(scene, Seen::Process).await.map(Figure::Measured),
            Self::InterruptShown => interrupt(scene, Seen::Build).await.map(Figure::Measured),
            Self::Blackout => Ok(endure(Fault::Blackout(Duration::from_secs(60)), scene).await),
            Self::Rebind => Ok(endure(Fault::Rebind, scene).await),
        };
        figure.unwrap_or_else(|InVain| Figure::Failed("the build does not go on".to_owned()))
    }

    /// Measures a step that brings so many megabytes, and looks whether they are the same.
    async fn transfer(
        self,
        scene: &mut Scene,
        builder: &str,
        name: &str,
        megabytes: f64,
    ) -> Result<Figure, InVain> {
        let seconds = step(scene, builder, name).await?;
        let files = match self {
            Self::Upload => {
                [scene.worker_path(builder, "build/data"), scene.master.path("uploaded/measured")]
            }
            _ => [scene.worker_path(builder, "build/measured"), scene.master.path("measured")],
        };
        let [one, other] = files.map(|path| fs::read(path).unwrap_or_default());
        if one != other || one.is_empty() {
            return Ok(Figure::Failed("the file is another".to_owned()));
        }
        Ok(Figure::Measured(megabytes / seconds))
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Upload => "FileUpload 50 MB, MB/s",
            Self::Download => "FileDownload 20 MB (16 KiB blocks), MB/s",
            Self::Log => "20 MB of log, s",
            Self::Output => "a line of output to the master: the longest of 200, s",
            Self::Stop => "stop beside a chatty log: build shown as ended, s",
            Self::Tiny => "tiny step beside a chatty log, s",
            Self::Interrupt => "stop beside a 100 MB upload and a chatty log: process ended, s",
            Self::InterruptShown => "the same: build shown as ended, s",
            Self::Rebind => "silent NAT rebind in mid-build: longest gap, s",
            Self::Blackout => "60 s blackout in mid-build: first line after it, s",
        }
    }
}

/// Returns how long a step takes, in seconds. Its build has ended then.
async fn step(scene: &mut Scene, builder: &str, name: &str) -> Result<f64, InVain> {
    scene.master.order(builder).await;
    let (began_at, ()) = scene.master.wait_for(BOUND, began(name)).await?;
    let (ended_at, result) = scene.master.wait_for(BOUND, ended(name)).await?;
    scene.master.builds(1, BOUND).await?;
    if result == SUCCESS { Ok((ended_at - began_at).as_secs_f64()) } else { Err(InVain) }
}

/// Returns how long it takes until a chatty build that is stopped is shown as ended, in seconds.
async fn stop(scene: &mut Scene) -> Result<f64, InVain> {
    chat(scene).await?;
    let ordered_at = Instant::now();
    scene.master.order_stop(CHATTY).await;
    let (ended_at, ()) = scene.master.wait_for(BOUND, build_ended(CHATTY)).await?;
    scene.master.builds(1, BOUND).await?;
    Ok((ended_at - ordered_at).as_secs_f64())
}

/// Returns how long a step takes that does nothing, beside a chatty one, in seconds.
async fn tiny(scene: &mut Scene) -> Result<f64, InVain> {
    chat(scene).await?;
    scene.master.order(TINY).await;
    let (began_at, ()) = scene.master.wait_for(BOUND, began(TINY)).await?;
    let (ended_at, _) = scene.master.wait_for(BOUND, ended(TINY)).await?;
    Ok((ended_at - began_at).as_secs_f64())
}

/// Returns how long a line took at most from when its program wrote it until the master told of it, in seconds.
async fn output(scene: &mut Scene) -> Result<f64, InVain> {
    scene.master.order(CLOCK).await;
    let (mut longest, mut lines) = (Duration::ZERO, 0);
    loop {
        let next = scene.master.wait_for(BOUND, |told| match told {
            Told::Line { line, .. } => Some(line.parse::<f64>().ok()),
            Told::Build(_) => Some(None),
            _ => None,
        });
        let (at, written_at) = next.await?;
        // Both clocks are this machine's.
        let Some(written_at) = written_at.map(Duration::from_secs_f64) else { break };
        let came_at = UNIX_EPOCH.elapsed().unwrap_or_default() - at.elapsed();
        longest = longest.max(came_at.saturating_sub(written_at));
        lines += 1;
    }
    if lines == CLOCK_LINES { Ok(longest.as_secs_f64()) } else { Err(InVain) }
}

/// What is waited for when a build is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Its program's end.
    Process,
    /// The master's word.
    Build,
}

/// Returns how long it takes until something is seen of the stop of a build beside a long upload and a chatty one, in
/// seconds.
async fn interrupt(scene: &mut Scene, seen: Seen) -> Result<f64, InVain> {
    scene.master.order(CHATTY).await;
    scene.master.wait_for(BOUND, began("chatter")).await?;
    scene.master.order("long-upload").await;
    scene.master.wait_for(BOUND, began("long upload")).await?;
    scene.master.order(WAITING).await;
    let pid = scene.master.wait_for(BOUND, |told| match told {
        Told::Line { line, .. } => line.strip_prefix("pid ").and_then(|pid| pid.parse().ok()),
        _ => None,
    });
    let (_, pid): (_, u32) = pid.await?;
    // The upload has found its rate by then, and goes on for longer.
    sleep(Duration::from_secs(3)).await;
    let ordered_at = Instant::now();
    scene.master.order_stop(WAITING).await;
    if seen == Seen::Build {
        let (ended_at, ()) = scene.master.wait_for(BOUND, build_ended(WAITING)).await?;
        return Ok((ended_at - ordered_at).as_secs_f64());
    }
    while is_alive(pid) {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(ordered_at.elapsed().as_secs_f64())
}

/// Starts a build that says a megabyte a second, and lets it speak for a while.
async fn chat(scene: &mut Scene) -> Result<(), InVain> {
    scene.master.order(CHATTY).await;
    scene.master.wait_for(BOUND, began("chatter")).await?;
    sleep(CHATTING).await;
    Ok(())
}

/// Returns how long a build was silent, in seconds.
pub(super) async fn endure(fault: Fault, scene: &mut Scene) -> Figure {
    match fault.strike(scene).await {
        Ok(silence) => Figure::Measured(silence.as_secs_f64()),
        Err(why) => Figure::Failed(why),
    }
}

fn began(name: &str) -> impl Fn(&Told) -> Option<()> {
    move |told| match told {
        Told::StepBegan { step } => (step == name).then_some(()),
        _ => None,
    }
}

fn build_ended(name: &str) -> impl Fn(&Told) -> Option<()> {
    move |told| match told {
        Told::BuildEnded { builder } => (builder == name).then_some(()),
        _ => None,
    }
}

fn ended(name: &str) -> impl Fn(&Told) -> Option<i64> {
    move |told| match told {
        Told::StepEnded { step, result } => (step == name).then_some(*result),
        _ => None,
    }
}

/// Nothing is waited for any longer.
pub(super) const BOUND: Duration = Duration::from_secs(240);

/// How long a chatty build speaks before something is done beside it.
const CHATTING: Duration = Duration::from_secs(20);

const CHATTY: &str = "chatty";

const TINY: &str = "tiny";

const WAITING: &str = "waiting";

const CLOCK: &str = "clock";

const CLOCK_LINES: usize = 200;
