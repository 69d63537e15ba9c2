//! The results as Markdown.

use std::fmt::Write as _;

use runnel_workload::Kind;

use super::path::Path;
use super::plan::name;
use super::results::{Results, Sample, Spread};
use super::systems::System;

type Row = (Path, Kind, usize);

/// Returns all tables, with where they come from.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let repetitions = results.samples.iter().map(|sample| sample.repetition + 1).max().unwrap_or(0);
    for command in &results.commands {
        writeln!(text, "`{command}`  ").expect("text takes everything");
    }
    writeln!(
        text,
        "commit {}, {}; medians of {repetitions} repetitions, with the smallest and the largest.",
        results.commit, results.machine
    )
    .expect("text takes everything");
    let (urgent, plain): (Vec<_>, Vec<_>) = results.rows().into_iter().partition(|row| row.1 == Kind::Urgent);
    if !plain.is_empty() {
        throughput(&mut text, results, &plain);
    }
    if !urgent.is_empty() {
        latencies(&mut text, results, &urgent);
    }
    text
}

/// A table of rates, and one of their ratios to raw quinn.
fn throughput(text: &mut String, results: &Results, rows: &[Row]) {
    let systems = results.systems(|path| path == Path::Loopback);
    heading(text, "Loopback, two processes, a processor each: thousand a second (bodies: Mbit/s)", &systems);
    for &row in rows {
        cells(
            text,
            &row_name(row),
            systems.iter().map(|&system| results.spread(row, system, rate).map(with_ends)),
        );
    }
    if !systems.contains(&System::Quinn) {
        return;
    }
    heading(text, "The same as a ratio to raw quinn", &systems);
    for &row in rows {
        let Some(quinn) = results.spread(row, System::Quinn, rate) else { continue };
        let ratio = |&system: &System| {
            results.spread(row, system, rate).map(|spread| format!("{:.2}", spread.median / quinn.median))
        };
        cells(text, &row_name(row), systems.iter().map(ratio));
    }
}

/// A table of urgent requests beside bulk: a line for each path and system.
fn latencies(text: &mut String, results: &Results, rows: &[Row]) {
    let columns = ["p50, ms", "p99, ms", "longest, ms", "bulk, Mbit/s"];
    heading(text, "Urgent requests of 100 B, one every 20 ms, beside 4 bodies of 8 MiB", &columns);
    for &row in rows {
        for system in results.systems(|path| path == row.0) {
            let millis = |figure: fn(&runnel_workload::Latency) -> u64| {
                let figure = move |sample: &Sample| Some(figure(sample.latency.as_ref()?) as f64 / 1000.0);
                results.spread(row, system, figure).map(with_ends)
            };
            let figures = [
                millis(|latency| latency.p50_micros),
                millis(|latency| latency.p99_micros),
                millis(|latency| latency.max_micros),
                results.spread(row, system, |sample| Some(sample.goodput)).map(with_ends),
            ];
            if figures.iter().any(Option::is_some) {
                cells(text, &format!("{}: {system}", row.0), figures);
            }
        }
    }
}

fn heading<T: std::fmt::Display>(text: &mut String, title: &str, columns: &[T]) {
    let names: String = columns.iter().map(|column| format!(" {column} |")).collect();
    let line = " ---: |".repeat(columns.len());
    writeln!(text, "\n**{title}**\n\n| |{names}\n| --- |{line}").expect("text takes everything");
}

fn cells(text: &mut String, name: &str, cells: impl IntoIterator<Item = Option<String>>) {
    let cells: String =
        cells.into_iter().map(|cell| format!(" {} |", cell.unwrap_or_else(|| "–".to_owned()))).collect();
    writeln!(text, "| {name} |{cells}").expect("text takes everything");
}

fn row_name((_, kind, in_flight): Row) -> String {
    name(kind, in_flight)
}

/// What is told of a workload: thousand commands a second, or Mbit/s.
pub(crate) fn rate(sample: &Sample) -> Option<f64> {
    Some(if sample.kind == Kind::Bulk { sample.goodput } else { sample.rate / 1000.0 })
}

fn with_ends(spread: Spread) -> String {
    format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
}

/// Three digits or more.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.5, 12.34, 1234.5].map(number), ["0.50", "12.3", "1234"]);
    }
}
