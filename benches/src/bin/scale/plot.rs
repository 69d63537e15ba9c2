//! The results as pictures.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::figures::{ChoiceCost, LinkCost};

type Drawn = Result<(), Box<dyn Error + Send + Sync>>;

/// One line of a plot, by its name.
type Series = (&'static str, Vec<(f64, f64)>);

/// Writes those for which there are figures.
pub(crate) fn write(choices: &[ChoiceCost], links: &[LinkCost], folder: &Path) -> Drawn {
    let mut by_queued: Vec<_> = choices.iter().filter(|cost| cost.peers == cost.queued.min(100)).collect();
    by_queued.sort_by_key(|cost| cost.queued);
    let caption = ("A choice, by the commands queued for 100 peers", "commands", "ns or instructions");
    lines(&costs(&by_queued, |cost| cost.queued as f64), caption, &folder.join("choices-by-queued.svg"))?;
    let mut by_peers: Vec<_> = choices.iter().filter(|cost| cost.queued == 100_000).collect();
    by_peers.sort_by_key(|cost| cost.peers);
    let caption = ("A choice, by the peers of 100,000 commands", "peers", "ns or instructions");
    lines(&costs(&by_peers, |cost| cost.peers as f64), caption, &folder.join("choices-by-peers.svg"))?;
    let of =
        |value: fn(&LinkCost) -> f64| links.iter().map(|cost| (cost.links as f64, value(cost))).collect();
    let memory = vec![
        ("both ends", of(LinkCost::kibibytes)),
        ("controller", of(|cost| cost.controller.resident_bytes as f64 / 1024.0 / cost.links as f64)),
    ];
    lines(&memory, ("Resident memory of an idle link", "links", "KiB a link"), &folder.join("memory.svg"))?;
    let processor = vec![
        ("controller", of(|cost| cost.controller.processor * 100.0)),
        ("all workers", of(|cost| cost.workers.processor * 100.0)),
    ];
    lines(&processor, ("Processor of idle links", "links", "% of one"), &folder.join("processor.svg"))
}

/// What choices cost, over one of the sizes: in time, and in instructions if they were counted.
fn costs(choices: &[&ChoiceCost], size: fn(&ChoiceCost) -> f64) -> Vec<Series> {
    let time = choices.iter().map(|cost| (size(cost), cost.nanoseconds)).collect();
    let counted = choices.iter().filter_map(|cost| Some((size(cost), cost.instructions? as f64))).collect();
    vec![("nanoseconds", time), ("instructions", counted)]
}

/// Draws lines over a logarithmic axis.
fn lines(series: &[Series], (caption, x, y): (&str, &str, &str), file: &Path) -> Drawn {
    let points = || series.iter().flat_map(|(_, points)| points);
    let (Some(left), Some(right), Some(top)) = (
        points().map(|point| point.0).reduce(f64::min),
        points().map(|point| point.0).reduce(f64::max),
        points().map(|point| point.1).reduce(f64::max),
    ) else {
        return Ok(());
    };
    let area = SVGBackend::new(file, (900, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((left * 0.9..right * 1.2).log_scale(), 0.0..top * 1.2)?;
    chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(TRANSPARENT).draw()?;
    for (index, (name, points)) in series.iter().enumerate() {
        let (red, green, blue) = Palette99::COLORS[index];
        let style = RGBColor(red, green, blue).stroke_width(3);
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?;
        line.label(*name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
    }
    let mut legend = chart.configure_series_labels();
    legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    area.present()?;
    Ok(())
}
