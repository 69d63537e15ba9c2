//! How long things take at 60 ms and 100 Mbit/s, without loss and with 1 %: Buildbot's own worker beside ours, on one
//! emulated link each. The reference worker speaks TCP, with CUBIC, or Reno where the system allows nothing else.

use std::fmt;
use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::arguments::Arguments;
use crate::faults::Fault;
use crate::master::InVain;
use crate::matrix::end;
use crate::network::Network;
use crate::scene::{Kind, Scene, Stage};
use crate::show::{progress, say};
use crate::told::{SUCCESS, Told};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Upload,
    Download,
    Log,
    Blackout,
    Rebind,
    Stop,
    Tiny,
}

/// One case with one worker on one link.
#[derive(Clone, Copy, Debug)]
struct Cell {
    case: Case,
    kind: Kind,
    /// From 0 to 1.
    loss: f64,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq)]
enum Figure {
    /// In the unit of the case.
    Measured(f64),
    /// It takes longer than anybody waits.
    TooLong,
    /// It is not measured.
    Said(String),
    /// It went wrong.
    Failed(String),
}

/// Measures what is asked for and prints it. Returns whether nothing went wrong.
pub(crate) async fn measure(stage: &Stage, arguments: &Arguments) -> bool {
    let mut figures = Vec::new();
    for (kind, loss) in COLUMNS {
        let cells = Case::ALL.map(|case| Cell { case, kind, loss });
        let mut scene = None;
        for cell in cells.into_iter().filter(|cell| arguments.wants(&cell.to_string())) {
            progress(&cell.to_string());
            let figure = cell.run(&mut scene, stage).await;
            progress(&format!("{cell}: {figure}"));
            figures.push((cell, figure));
        }
        if let Some(scene) = scene {
            end(scene, arguments.keeps).await;
        }
    }
    print(&figures, arguments.is_json);
    !figures.iter().any(|(_, figure)| matches!(figure, Figure::Failed(_)))
}

impl Cell {
    /// Runs it in a scene, which is started if there is none.
    async fn run(self, scene: &mut Option<Scene>, stage: &Stage) -> Figure {
        if self.case == Case::Rebind {
            return self.rebind(stage).await;
        }
        let mut current = match scene.take() {
            Some(current) => current,
            None => match Scene::start(stage, self.kind, &Network::emulated(self.loss)).await {
                Ok(started) => started,
                Err(error) => return Figure::Said(format!("skipped: {error}")),
            },
        };
        let figure = timeout(BOUND, self.case.run(&mut current)).await.unwrap_or(Figure::TooLong);
        // What still runs must not be in the way of what comes next.
        if matches!(figure, Figure::Measured(_)) && self.case != Case::Tiny {
            *scene = Some(current);
        } else {
            end(current, matches!(figure, Figure::Failed(_))).await;
        }
        figure
    }

    async fn rebind(self, stage: &Stage) -> Figure {
        if self.kind == Kind::Reference {
            return Figure::Said("hangs: not waited for".to_owned());
        }
        let mut scene = match Scene::start(stage, self.kind, &Network::relayed(self.loss)).await {
            Ok(scene) => scene,
            Err(error) => return Figure::Failed(error.to_string()),
        };
        let figure = endure(Fault::Rebind, &mut scene).await;
        end(scene, matches!(figure, Figure::Failed(_))).await;
        figure
    }
}

impl Case {
    const ALL: [Self; 7] =
        [Self::Upload, Self::Download, Self::Log, Self::Blackout, Self::Rebind, Self::Stop, Self::Tiny];

    async fn run(self, scene: &mut Scene) -> Figure {
        let figure = match self {
            Self::Upload => self.transfer(scene, "measured-upload", "upload", 50.0).await,
            Self::Download => self.transfer(scene, "measured-download", "download", 20.0).await,
            Self::Log => step(scene, "log", "20 MB").await.map(Figure::Measured),
            Self::Stop => stop(scene).await.map(Figure::Measured),
            Self::Tiny => tiny(scene).await.map(Figure::Measured),
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

    fn title(self) -> &'static str {
        match self {
            Self::Upload => "FileUpload 50 MB, MB/s",
            Self::Download => "FileDownload 20 MB (16 KiB blocks), MB/s",
            Self::Log => "20 MB of log, s",
            Self::Stop => "stop beside a chatty log: build shown as ended, s",
            Self::Tiny => "tiny step beside a chatty log, s",
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
    let ordered_at = std::time::Instant::now();
    scene.master.order_stop(CHATTY).await;
    let has_ended = |told: &Told| match told {
        Told::BuildEnded { builder } => (builder == CHATTY).then_some(()),
        _ => None,
    };
    let (ended_at, ()) = scene.master.wait_for(BOUND, has_ended).await?;
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

/// Starts a build that says a megabyte a second, and lets it speak for a while.
async fn chat(scene: &mut Scene) -> Result<(), InVain> {
    scene.master.order(CHATTY).await;
    scene.master.wait_for(BOUND, began("chatter")).await?;
    sleep(CHATTING).await;
    Ok(())
}

/// Returns how long a build was silent, in seconds.
async fn endure(fault: Fault, scene: &mut Scene) -> Figure {
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

fn ended(name: &str) -> impl Fn(&Told) -> Option<i64> {
    move |told| match told {
        Told::StepEnded { step, result } => (step == name).then_some(*result),
        _ => None,
    }
}

fn print(figures: &[(Cell, Figure)], is_json: bool) {
    if is_json {
        let rows = figures.iter().map(|(cell, figure)| {
            let value = if let Figure::Measured(value) = figure { json!(value) } else { json!(null) };
            json!({ "case": cell.case.title(), "worker": cell.kind.to_string(), "loss": cell.loss,
                "value": value, "text": figure.to_string() })
        });
        return say(&json!({ "figures": rows.collect::<Vec<_>>() }).to_string());
    }
    let columns = COLUMNS.map(|(kind, loss)| format!("{kind}, {:.0} %", loss * 100.0));
    say(&format!("| case | {} |", columns.join(" | ")));
    say(&format!("| --- |{}", " --- |".repeat(columns.len())));
    for case in Case::ALL {
        let figure = |column: (Kind, f64)| {
            let mut found = figures.iter().filter(|(cell, _)| cell.case == case);
            let found = found.find(|(cell, _)| (cell.kind, cell.loss) == column);
            found.map(|(_, figure)| figure.to_string()).unwrap_or_default()
        };
        say(&format!("| {} | {} |", case.title(), COLUMNS.map(figure).join(" | ")));
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(value) => write!(f, "{value:.2}"),
            Self::TooLong => write!(f, ">{}", BOUND.as_secs()),
            Self::Said(text) => f.write_str(text),
            Self::Failed(why) => write!(f, "**failed: {why}**"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.0} %/{}", self.kind, self.loss * 100.0, self.case.title())
    }
}

const COLUMNS: [(Kind, f64); 4] =
    [(Kind::Reference, 0.0), (Kind::Reference, 0.01), (Kind::Runnel, 0.0), (Kind::Runnel, 0.01)];

/// Nothing is waited for any longer.
const BOUND: Duration = Duration::from_secs(240);

/// How long a chatty build speaks before something is done beside it.
const CHATTING: Duration = Duration::from_secs(20);

const CHATTY: &str = "chatty";

const TINY: &str = "tiny";
