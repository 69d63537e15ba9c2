//! How long things take at 60 ms and 100 Mbit/s, without loss and with 1 %: Buildbot's own worker beside ours, on one
//! emulated link each. The reference worker speaks TCP, with CUBIC, or Reno where the system allows nothing else.

mod cases;

use std::fmt;

use serde_json::json;
use tokio::time::timeout;

use self::cases::{BOUND, Case, endure};
use crate::arguments::Arguments;
use crate::faults::Fault;
use crate::matrix::end;
use crate::network::Network;
use crate::scene::{Kind, Scene, Stage};
use crate::show::{progress, say};

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
        if matches!(figure, Figure::Measured(_)) && !self.case.leaves_builds() {
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
