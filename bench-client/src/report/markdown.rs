//! `report.md`: what was measured, how far to trust it, and what was not measured.
//!
//! Owns the form of Markdown. What is said in words is in `prose`, figures are in `table`.

use super::prose;
use super::table::{Table, title};
use crate::figures::grouped;
use crate::record::Record;

/// The whole report.
pub(super) fn report(record: &Record) -> String {
    let mut text = String::from("# slotway-bench sweep\n\n");
    verdict(&mut text, record);
    list(&mut text, "Warnings", &record.warnings);
    if let Some(table) = Table::searches(record) {
        text += &format!("## Highest rates\n\n{}\n\n{}\n", prose::SEARCHES, table.markdown());
    }
    ratios(&mut text, record);
    tables(&mut text, record);
    list(&mut text, "How", &prose::method(record));
    environment(&mut text, record);
    errors(&mut text, record);
    list(&mut text, "Not measured", &prose::NOT_MEASURED.map(str::to_owned));
    if has_old_files(record) {
        old_client(&mut text, record);
    }
    text += "## Files\n\n- [report.html](report.html): this report with charts\n";
    for (file, what) in prose::files(record) {
        text += &format!("- [{file}]({file}): {what}\n");
    }
    text
}

fn has_old_files(record: &Record) -> bool {
    record.options.ops.iter().any(|op| op == "SET" || op == "GET")
}

fn old_client(text: &mut String, record: &Record) {
    let client = &record.options.client_id;
    let intro = format!(
        "`results-*-client{client}.txt` and `results-raw-*-client{client}.txt` have the shape of the \
         client this one replaces, so old readers work. The load and the figures differ:"
    );
    list(text, &format!("Against the old client\n\n{intro}"), &prose::old_client(record));
}

fn verdict(text: &mut String, record: &Record) {
    if record.verdict.valid {
        let requests: u64 = record.phases.iter().map(|phase| phase.requests).sum();
        let bad: u64 = record.phases.iter().map(|phase| phase.bad()).sum();
        *text += &format!(
            "**Valid.** {} measured requests, {} errors, misses or wrong values.\n\n",
            grouped(requests as f64),
            grouped(bad as f64)
        );
    } else {
        *text += "**Not valid.** Do not quote these figures:\n\n";
        for reason in &record.verdict.reasons {
            *text += &format!("- {reason}\n");
        }
        text.push('\n');
    }
    let targets: Vec<String> = record
        .targets
        .iter()
        .map(|target| match record.targets.len() {
            1 => format!("`{}`", target.address),
            _ => format!("{} `{}`", target.name, target.address),
        })
        .collect();
    *text += &format!(
        "Target {}, started {}, took {:.0} s.\n\n```\n{}\n```\n\n",
        targets.join(", "),
        record.started,
        record.took_s,
        record.command_line
    );
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    *text += &format!("## {title}\n\n");
    if lines.is_empty() {
        *text += "None.\n";
    }
    lines.iter().for_each(|line| *text += &format!("- {line}\n"));
    text.push('\n');
}

fn ratios(text: &mut String, record: &Record) {
    if let (Some(table), Some(first)) = (Table::ratios(record), record.targets.first()) {
        *text += &format!("## By {}\n\n{}\n\n{}\n", first.name, prose::RATIOS, table.markdown());
    }
}

fn tables(text: &mut String, record: &Record) {
    for op in record.ops() {
        for target in &record.targets {
            let title = title(record, target, op);
            *text += &format!("## {title}\n\n{}\n\n", prose::latency_kind(record));
            *text += &Table::full(record, &target.name, op).markdown();
            text.push('\n');
            if let Some(table) = Table::commands(record, &target.name, op) {
                *text += &format!("By command:\n\n{}\n", table.markdown());
            }
        }
    }
    *text += &format!("{}\n\n", prose::COLUMNS);
}

fn environment(text: &mut String, record: &Record) {
    *text += "## Environment\n\n| what | value |\n|:--|:--|\n";
    for (name, value) in prose::environment(record) {
        *text += &format!("| {name} | {} |\n", cell(&value));
    }
    text.push('\n');
}

fn errors(text: &mut String, record: &Record) {
    *text += "## Errors\n\n";
    let rows = prose::errors(record);
    if rows.is_empty() {
        *text += "None.\n\n";
        return;
    }
    *text += "| where | count | text |\n|:--|--:|:--|\n";
    for [place, count, error] in rows {
        *text += &format!("| {place} | {count} | {} |\n", cell(&error));
    }
    text.push('\n');
}

/// A cell must not end its column, nor start markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\r', '\n'], " ")
}
