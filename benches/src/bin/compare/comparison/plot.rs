//! The results as pictures.

use std::error::Error;
use std::path::Path as FilePath;

use plotters::prelude::*;
use runnel_workload::Kind;

use super::path::{MEGABITS, Path};
use super::plan::name;
use super::results::{Results, Sample};
use super::systems::System;
use super::table::rate;

type Drawn = Result<(), Box<dyn Error + Send + Sync>>;

/// Writes those for which there are figures.
pub(crate) fn write(results: &Results, folder: &FilePath) -> Drawn {
    let by_loss = |path: Path| match path {
        Path::Emulated { megabits: MEGABITS, loss_permille, .. } => Some(f64::from(loss_permille) / 10.0),
        _ => None,
    };
    let by_rate = |path: Path| match path {
        Path::Emulated { megabits, loss_permille: 0, .. } => Some(f64::from(megabits)),
        _ => None,
    };
    lines(results, "loss in %", by_loss, &folder.join("urgent-by-loss.svg"))?;
    lines(results, "rate in Mbit/s", by_rate, &folder.join("urgent-by-rate.svg"))?;
    bars(results, &folder.join("throughput.svg"))
}

/// Draws the 99th percentile of urgent requests beside bulk over what `place` makes of the path.
fn lines(results: &Results, axis: &str, place: impl Fn(Path) -> Option<f64>, file: &FilePath) -> Drawn {
    let p99 = |sample: &Sample| Some(sample.latency?.p99_micros as f64 / 1000.0);
    let mut series = Vec::new();
    for system in results.systems(|path| place(path).is_some()) {
        let mut points: Vec<_> = results
            .rows()
            .into_iter()
            .filter(|row| row.1 == Kind::Urgent)
            .filter_map(|row| Some((place(row.0)?, results.spread(row, system, p99)?.median)))
            .collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        series.push((system, points));
    }
    let points = || series.iter().flat_map(|(_, points)| points);
    let (Some(right), Some(top)) =
        (points().map(|point| point.0).reduce(f64::max), points().map(|point| point.1).reduce(f64::max))
    else {
        return Ok(());
    };
    let area = SVGBackend::new(file, (900, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Urgent requests beside bulk: 99th percentile", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right * 1.02, (30.0..top * 1.3).log_scale())?;
    chart.configure_mesh().x_desc(axis).y_desc("ms").light_line_style(TRANSPARENT).draw()?;
    for (index, (system, points)) in series.into_iter().enumerate() {
        let (color, width) = style(system, index);
        let style = color.stroke_width(width);
        let label = chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?;
        label
            .label(system.to_string())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
    }
    let mut legend = chart.configure_series_labels();
    legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    area.present()?;
    Ok(())
}

/// Draws rates on loopback, a group of bars for each workload, as parts of the fastest of the group.
fn bars(results: &Results, file: &FilePath) -> Drawn {
    let rows: Vec<_> =
        results.rows().into_iter().filter(|row| row.0 == Path::Loopback && row.1 != Kind::Urgent).collect();
    let systems = results.systems(|path| path == Path::Loopback);
    if rows.is_empty() {
        return Ok(());
    }
    let (group, count) = (systems.len() + 1, rows.len());
    let height = u32::try_from(count * group * 16 + 90)?;
    let area = SVGBackend::new(file, (900, height)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw_text(
        "Loopback: commands a second (bodies: Mbit/s), as parts of the fastest",
        &("sans-serif", 20).into_text_style(&area),
        (12, 12),
    )?;
    for (index, row) in rows.iter().enumerate() {
        let top = 50 + i32::try_from(index * group * 16)?;
        let rates = systems.iter().map(|&system| Some(results.spread(*row, system, rate)?.median));
        let rates: Vec<_> = rates.collect();
        let fastest = rates.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        area.draw_text(&name(row.1, row.2), &("sans-serif", 13).into_text_style(&area), (12, top))?;
        for (place, (&system, rate)) in systems.iter().zip(rates).enumerate() {
            let (y, value) = (top + i32::try_from(place * 16)?, rate.unwrap_or(0.0));
            #[expect(clippy::cast_possible_truncation, reason = "a bar has at most its full length")]
            let length = (value / fastest * 330.0) as i32;
            let bar =
                Rectangle::new([(250, y), (250 + length.max(1), y + 13)], style(system, place).0.filled());
            area.draw(&bar)?;
            let unit = if row.1 == Kind::Bulk { "Mbit/s" } else { "k/s" };
            let text = format!("{system}: {value:.1} {unit}");
            area.draw_text(&text, &("sans-serif", 12).into_text_style(&area), (256 + length.max(1), y))?;
        }
    }
    area.present()?;
    Ok(())
}

/// A colour of its own for each; ours is the one that stands out.
fn style(system: System, index: usize) -> (RGBColor, u32) {
    match system {
        System::RunnelInline => (RGBColor(120, 20, 20), 4),
        System::QuinnHashed => (RGBColor(120, 120, 120), 2),
        System::RunnelHere => (RGBColor(160, 60, 20), 4),
        System::Runnel => (RGBColor(200, 30, 30), 4),
        _ => {
            let (red, green, blue) = Palette99::COLORS[index % Palette99::COLORS.len()];
            (RGBColor(red, green, blue), 2)
        }
    }
}
