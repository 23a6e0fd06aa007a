//! Tables: rows of text made from phases, as aligned columns or as Markdown.
//!
//! Owns the columns. Knows nothing of the text around a table.

use super::summary::LatencyFigures;
use crate::figures::{grouped, ms};
use crate::phase::PhaseResult;
use crate::sweep::SweepResult;
use crate::verdict::Verdict;

/// A header and rows, all cells text.
pub(super) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The full figures of some phases, for the report.
    pub(super) fn full<'a>(
        phases: impl Iterator<Item = &'a PhaseResult>,
        open_loop: bool,
    ) -> Table {
        let mut header = vec![
            "size",
            "ops/s",
            "MB/s",
            "errors",
            "misses",
            "wrong",
            "avg",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "p99.99",
            "max",
            "samples",
            "client CPU",
        ];
        if open_loop {
            header.extend(["achieved", "service p99", "lag p99"]);
        }
        Table { header, rows: phases.map(full_row).collect() }
    }

    /// As GitHub renders it: the first column to the left, figures to the right.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|", self.header.join(" | "));
        for column in 0..self.header.len() {
            text += if column == 0 { ":--|" } else { "--:|" };
        }
        text.push('\n');
        for row in &self.rows {
            text += &format!("| {} |\n", row.join(" | "));
        }
        text
    }

    /// In columns, two blanks apart.
    fn aligned(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            longest.max(self.header[column].len())
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> = cells
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 | 1 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            padded.join("  ").trim_end().to_owned() + "\n"
        };
        let mut text = line(&mut self.header.iter().copied());
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

fn full_row(phase: &PhaseResult) -> Vec<String> {
    let counts = phase.tally.counts;
    let latency = LatencyFigures::of(&phase.tally.response);
    let mut row = vec![
        phase.size.to_string(),
        grouped(phase.per_second()),
        format!("{:.1}", phase.megabytes_per_second()),
    ];
    row.extend([counts.errors, counts.misses, counts.wrong].map(|count| grouped(count as f64)));
    row.extend(
        [
            latency.avg,
            latency.p50,
            latency.p90,
            latency.p99,
            latency.p99_9,
            latency.p99_99,
            latency.max,
        ]
        .map(optional_ms),
    );
    row.push(grouped(latency.samples as f64));
    row.push(percent(phase.client_cpu_percent));
    if let Some((service, lag)) = &phase.tally.service_and_lag {
        let achieved = phase.achieved_percent();
        row.push(achieved.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} %")));
        row.extend([service, lag].map(|times| optional_ms(LatencyFigures::of(times).p99)));
    }
    row
}

/// What a person sees at the end of a sweep.
pub(crate) fn terminal_table(result: &SweepResult, verdict: &Verdict) -> String {
    let header =
        vec!["op", "size", "ops/s", "MB/s", "p50 ms", "p99 ms", "max ms", "err", "miss", "wrong"];
    let rows = result.phases.iter().map(short_row).collect();
    let mut text = Table { header, rows }.aligned();
    for reason in &verdict.reasons {
        text += &format!("NOT VALID: {reason}\n");
    }
    text
}

fn short_row(phase: &PhaseResult) -> Vec<String> {
    let counts = phase.tally.counts;
    let latency = LatencyFigures::of(&phase.tally.response);
    let mut row = vec![
        phase.op.name().to_owned(),
        phase.size.to_string(),
        grouped(phase.per_second()),
        format!("{:.1}", phase.megabytes_per_second()),
    ];
    row.extend([latency.p50, latency.p99, latency.max].map(optional_ms));
    row.extend([counts.errors, counts.misses, counts.wrong].map(|count| count.to_string()));
    row
}

fn optional_ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), ms)
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["SET".into(), "16 B".into(), "1,000".into()],
            vec!["GET".into(), "512 KiB".into(), "7".into()],
        ];
        let table = Table { header: vec!["op", "size", "ops/s"], rows };
        assert_eq!(
            table.aligned(),
            "op   size     ops/s\nSET  16 B     1,000\nGET  512 KiB      7\n"
        );
        assert!(table.markdown().starts_with("| op | size | ops/s |\n|:--|--:|--:|\n| SET |"));
    }
}
