//! Tables: rows of text made from groups of phases, as aligned columns, as Markdown, or as cells.
//!
//! Owns the columns. Knows nothing of the text around a table.

use crate::figures::{grouped, ms};
use crate::record::{
    CommandRecord, Group, LatencyFigures, PhaseRecord, RatioRecord, Record, Spread, TargetRecord,
    groups,
};

/// A header and rows, all cells text.
pub(crate) struct Table {
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// The full figures of one operation on one target: the middle of its repeats.
    pub(super) fn full(record: &Record, target: &str, op: &str) -> Table {
        let mut header = vec!["size", "ops/s"];
        let repeated = record.options.repeat > 1;
        if repeated {
            header.push("min – max");
        }
        header.extend([
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
        ]);
        let gateway = record.phases.iter().any(|phase| phase.gateway_cpu_pct.is_some());
        if gateway {
            header.push("gateway CPU");
        }
        let open_loop = record.is_open_loop();
        if open_loop {
            header.extend(["achieved", "service p99", "lag p99"]);
        }
        let all = groups(record);
        let own = all.iter().filter(|group| group.target == target && group.op == op);
        let rows = own.map(|group| full_row(group, repeated, gateway, open_loop)).collect();
        Table { header, rows }
    }

    /// The commands of a mix on one target, by size; none of what is no mix.
    pub(super) fn commands(record: &Record, target: &str, op: &str) -> Option<Table> {
        let header = vec![
            "size", "command", "ops/s", "errors", "misses", "wrong", "avg", "p50", "p90", "p99",
            "p99.9", "max", "samples",
        ];
        let all = groups(record);
        let own = all.iter().filter(|group| group.target == target && group.op == op);
        let rows: Vec<Vec<String>> = own.flat_map(command_rows).collect();
        (!rows.is_empty()).then_some(Table { header, rows })
    }

    /// Each target by the first; none of one target.
    pub(super) fn ratios(record: &Record) -> Option<Table> {
        let header = vec![
            "op",
            "size",
            "target",
            "ops/s",
            "min – max",
            "p50",
            "min – max",
            "p99",
            "min – max",
        ];
        let row =
            |ratio: &RatioRecord| {
                let size = crate::size::label_of(ratio.bytes);
                let mut row = vec![ratio.op.clone(), size, ratio.target.clone()];
                for spread in [ratio.ops_per_s, ratio.p50, ratio.p99] {
                    row.push(spread.map_or_else(dash, |spread| format!("{:.3}", spread.median)));
                    row.push(spread.map_or_else(dash, |spread| {
                        format!("{:.3} – {:.3}", spread.min, spread.max)
                    }));
                }
                row
            };
        let ops = record.ops();
        let mut ratios: Vec<&RatioRecord> = record.comparison.iter().collect();
        ratios.sort_by_key(|ratio| (ops.iter().position(|op| *op == ratio.op), ratio.bytes));
        let rows: Vec<Vec<String>> = ratios.into_iter().map(row).collect();
        (!rows.is_empty()).then_some(Table { header, rows })
    }

    /// The highest rates that were found, a row for each round; none where none were looked for.
    pub(super) fn searches(record: &Record) -> Option<Table> {
        let mut header = vec!["op", "size", "target", "round", "highest rate"];
        header.extend(["p99 limit ms", "p99 ms", "p50 ms", "confirmed", "runs"]);
        let row = |phase: &PhaseRecord| {
            let searched = phase.rate_search.as_ref()?;
            let rate = searched.rate().map_or_else(dash, |rate| grouped(rate as f64) + "/s");
            Some(vec![
                phase.op.clone(),
                phase.size(),
                phase.target.clone(),
                phase.round.to_string(),
                rate,
                searched.p99_limit_ms.to_string(),
                optional_ms(phase.latency_ms.p99),
                optional_ms(phase.latency_ms.p50),
                if searched.confirmed { "yes" } else { "no" }.to_owned(),
                searched.tries.len().to_string(),
            ])
        };
        let rows: Vec<Vec<String>> = record.phases.iter().filter_map(row).collect();
        (!rows.is_empty()).then_some(Table { header, rows })
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
    pub(crate) fn aligned(&self) -> String {
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

/// `59,000 – 61,000`.
pub(super) fn range(spread: Spread) -> String {
    format!("{} – {}", grouped(spread.min), grouped(spread.max))
}

fn full_row(group: &Group<'_>, repeated: bool, gateway: bool, open_loop: bool) -> Vec<String> {
    let rate = group.spread(|phase| Some(phase.ops_per_s));
    let mut row = vec![
        crate::size::label_of(group.bytes),
        rate.map_or_else(dash, |rate| grouped(rate.median)),
    ];
    if repeated {
        row.push(rate.map_or_else(dash, range));
    }
    let megabytes = group.median(|phase| Some(phase.megabytes_per_s));
    row.push(megabytes.map_or_else(dash, |rate| format!("{rate:.1}")));
    let counts: [fn(&PhaseRecord) -> u64; 3] = [|p| p.errors, |p| p.misses, |p| p.wrong];
    row.extend(counts.map(|count| grouped(group.sum(count) as f64)));
    let latencies: [fn(&PhaseRecord) -> Option<f64>; 7] = [
        |p| p.latency_ms.avg,
        |p| p.latency_ms.p50,
        |p| p.latency_ms.p90,
        |p| p.latency_ms.p99,
        |p| p.latency_ms.p99_9,
        |p| p.latency_ms.p99_99,
        |p| p.latency_ms.max,
    ];
    row.extend(latencies.map(|figure| optional_ms(group.median(figure))));
    row.push(grouped(group.sum(|phase| phase.latency_ms.samples) as f64));
    row.push(percent(group.median(|phase| phase.client_cpu_pct)));
    if gateway {
        row.push(percent(group.median(|phase| phase.gateway_cpu_pct)));
    }
    if open_loop {
        let achieved = group.median(|phase| phase.achieved_pct);
        row.push(achieved.map_or_else(dash, |value| format!("{value:.1} %")));
        let p99: [fn(&PhaseRecord) -> Option<f64>; 2] = [
            |p| p.service_ms.as_ref().and_then(|figures| figures.p99),
            |p| p.schedule_lag_ms.as_ref().and_then(|figures| figures.p99),
        ];
        row.extend(p99.map(|figure| optional_ms(group.median(figure))));
    }
    row
}

fn command_rows(group: &Group<'_>) -> Vec<Vec<String>> {
    let row = |name: &String| {
        let of = |phase: &PhaseRecord| {
            phase.commands.iter().find(|command| command.command == *name).cloned()
        };
        let rate = group.median(|phase| of(phase).map(|command| command.ops_per_s));
        let mut row = vec![crate::size::label_of(group.bytes), name.clone()];
        row.push(rate.map_or_else(dash, grouped));
        let counts: [fn(&CommandRecord) -> u64; 3] = [|c| c.errors, |c| c.misses, |c| c.wrong];
        row.extend(counts.map(|count| {
            grouped(group.sum(|phase| of(phase).map_or(0, |command| count(&command))) as f64)
        }));
        let latencies: [fn(&LatencyFigures) -> Option<f64>; 6] =
            [|l| l.avg, |l| l.p50, |l| l.p90, |l| l.p99, |l| l.p99_9, |l| l.max];
        row.extend(latencies.map(|figure| {
            optional_ms(group.median(|phase| of(phase).and_then(|c| figure(&c.latency_ms))))
        }));
        let samples = group.sum(|phase| of(phase).map_or(0, |c| c.latency_ms.samples));
        row.push(grouped(samples as f64));
        row
    };
    group.phases.first().map_or_else(Vec::new, |phase| {
        phase.commands.iter().map(|command| row(&command.command)).collect()
    })
}

/// What a person sees at the end of a sweep.
pub(crate) fn terminal_table(record: &Record) -> String {
    let several = record.targets.len() > 1;
    let mut header = vec!["op", "size"];
    if several {
        header.push("target");
    }
    header.push("ops/s");
    if record.options.repeat > 1 {
        header.push("min – max");
    }
    header.extend(["MB/s", "p50 ms", "p99 ms", "max ms", "err", "miss", "wrong"]);
    let rows = groups(record).iter().map(|group| short_row(record, group)).collect();
    let mut text = Table { header, rows }.aligned();
    if let Some(table) = Table::searches(record) {
        text += &format!("\nHighest rates:\n{}\n", table.aligned());
    }
    if let (Some(table), Some(first)) = (Table::ratios(record), record.targets.first()) {
        text += &format!("\nBy {}, round by round:\n{}\n", first.name, table.aligned());
    }
    for op in record.ops() {
        for target in &record.targets {
            if let Some(table) = Table::commands(record, &target.name, op) {
                text += &format!("\n{}:\n{}\n", title(record, target, op), table.aligned());
            }
        }
    }
    for warning in &record.warnings {
        text += &format!("note: {warning}\n");
    }
    for reason in &record.verdict.reasons {
        text += &format!("NOT VALID: {reason}\n");
    }
    text
}

fn short_row(record: &Record, group: &Group<'_>) -> Vec<String> {
    let rate = group.spread(|phase| Some(phase.ops_per_s));
    let mut row = vec![group.op.to_owned(), crate::size::label_of(group.bytes)];
    if record.targets.len() > 1 {
        row.push(group.target.to_owned());
    }
    row.push(rate.map_or_else(dash, |rate| grouped(rate.median)));
    if record.options.repeat > 1 {
        row.push(rate.map_or_else(dash, range));
    }
    let megabytes = group.median(|phase| Some(phase.megabytes_per_s));
    row.push(megabytes.map_or_else(dash, |rate| format!("{rate:.1}")));
    let latencies: [fn(&PhaseRecord) -> Option<f64>; 3] =
        [|p| p.latency_ms.p50, |p| p.latency_ms.p99, |p| p.latency_ms.max];
    row.extend(latencies.map(|figure| optional_ms(group.median(figure))));
    let counts: [fn(&PhaseRecord) -> u64; 3] = [|p| p.errors, |p| p.misses, |p| p.wrong];
    row.extend(counts.map(|count| group.sum(count).to_string()));
    row
}

/// What the figures of an operation on a target are called.
pub(super) fn title(record: &Record, target: &TargetRecord, op: &str) -> String {
    match record.targets.len() {
        1 => op.to_owned(),
        _ => format!("{op}, {}", target.name),
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn optional_ms(value: Option<f64>) -> String {
    value.map_or_else(dash, ms)
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.0} %"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

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

    #[test]
    fn repeats_are_one_row_with_their_ends() {
        let record = sample::record();
        let table = Table::full(&record, "target", "SET");
        assert_eq!(table.rows.len(), 3);
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
        assert_eq!(table.rows[0][1..3], ["60,141", "60,041 – 60,241"].map(String::from));
    }
}
