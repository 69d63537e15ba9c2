//! What has come of everything, as Markdown or as JSON.

use serde_json::{Value, json};

use crate::faults::Endured;
use crate::judge::Verdict;
use crate::matrix::{Cell, Column};
use crate::show::say;

/// Prints what has come of the builders: a row for each step, a column for each worker and network.
pub(crate) fn print_cells(columns: &[Column], cells: &[Cell]) {
    let names: Vec<_> = columns.iter().map(Column::name).collect();
    let names: Vec<_> =
        names.into_iter().filter(|name| cells.iter().any(|cell| cell.column == *name)).collect();
    if names.is_empty() {
        return;
    }
    say(&format!("| builder | step | {} |", names.join(" | ")));
    say(&format!("| --- | --- |{}", " --- |".repeat(names.len())));
    let mut seen = Vec::new();
    for cell in cells {
        if !seen.contains(&cell.builder) {
            seen.push(cell.builder);
            print_builder(cell, &names, cells);
        }
    }
}

/// Prints what has come of the faults.
pub(crate) fn print_faults(endured: &[Endured]) {
    if endured.is_empty() {
        return;
    }
    say("\n| fault in mid-build | result | seen |");
    say("| --- | --- | --- |");
    for Endured { fault, verdict, seen } in endured {
        say(&format!("| {fault} | {} | {seen} |", text_of(verdict)));
    }
}

/// Prints all of it for programs.
pub(crate) fn print_json(cells: &[Cell], endured: &[Endured]) {
    let steps = cells.iter().flat_map(|cell| {
        cell.steps.iter().map(|(step, verdict)| {
            let mut row = json_of(verdict);
            row["builder"] = json!(cell.builder);
            row["step"] = json!(step);
            row["column"] = json!(cell.column);
            row
        })
    });
    let faults = endured.iter().map(|endured| {
        let mut row = json_of(&endured.verdict);
        row["fault"] = json!(endured.fault);
        row["seen"] = json!(endured.seen);
        row
    });
    say(&json!({ "steps": steps.collect::<Vec<_>>(), "faults": faults.collect::<Vec<_>>() }).to_string());
}

fn print_builder(first: &Cell, columns: &[String], cells: &[Cell]) {
    for (index, (step, _)) in first.steps.iter().enumerate() {
        let verdicts = columns.iter().map(|column| {
            let cell = cells.iter().find(|cell| cell.builder == first.builder && cell.column == *column);
            cell.map(|cell| text_of(&cell.steps[index].1)).unwrap_or_default()
        });
        let verdicts: Vec<_> = verdicts.collect();
        say(&format!("| {} | {step} | {} |", first.builder, verdicts.join(" | ")));
    }
}

fn text_of(verdict: &Verdict) -> String {
    let text = match verdict {
        Verdict::Right(result) => result.clone(),
        Verdict::Known { result, known } => format!("{result} (known: {known})"),
        Verdict::Wrong { result, why } => format!("**{result}: {why}**"),
        Verdict::Skipped(why) => format!("skipped: {why}"),
    };
    text.replace('|', "\\|").replace('\n', " ")
}

fn json_of(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Right(result) => json!({ "verdict": "right", "result": result }),
        Verdict::Known { result, known } => json!({ "verdict": "known", "result": result, "why": known }),
        Verdict::Wrong { result, why } => json!({ "verdict": "wrong", "result": result, "why": why }),
        Verdict::Skipped(why) => json!({ "verdict": "skipped", "why": why }),
    }
}
