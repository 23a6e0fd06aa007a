//! The files of a comparison: a table for people, all figures for programs.
//!
//! Owns their shape. Knows nothing of how figures were measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::outcome::{Comparison, Row};
use crate::figures::{grouped, ms, utc};
use crate::testbed::Front;

/// Counted up whenever the meaning of something in the file changes.
const JSON_VERSION: u32 = 1;

/// Writes `peers.md` and `peers.json`.
pub(super) fn write(out: &Path, all: &Comparison) -> Result<()> {
    let json = serde_json::to_string_pretty(&as_json(all))? + "\n";
    for (name, text) in [("peers.md", markdown(all)), ("peers.json", json)] {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The table, with what has to be known to read it.
pub(super) fn markdown(all: &Comparison) -> String {
    let mut page =
        format!("# Proxies compared, {}\n\n`{}`\n\n", utc(all.started_epoch_s), all.command_line);
    let unknown = || "unknown".to_owned();
    let _ = writeln!(
        page,
        "{}, {} cores, {} MiB, {}. Load average before: {}. {} rounds of {} ms each; medians. \
         Client, proxies and all Redis nodes share the cores, and latencies are those of a closed \
         loop: compare within a case, not with figures from elsewhere.\n",
        all.host.cpu_model.clone().unwrap_or_else(unknown),
        all.host.cores,
        all.host.memory_mib.unwrap_or(0),
        all.host.kernel.clone().unwrap_or_else(unknown),
        all.load_average_before.clone().unwrap_or_else(unknown),
        all.rounds,
        all.counted_ms,
    );
    let (disturbed, runs, worst) = all.disturbed();
    if disturbed > 0 {
        let _ = writeln!(
            page,
            "**The machine was shared**: in {disturbed} of {runs} runs others used more than a \
             tenth of its cores (at most {worst:.0} %). No figure is as it would be alone: \
             who has to wait for a core does less, and finds more to do at once when it has one, so \
             that even CPU per request is another. The rounds are interleaved so that all have the same to suffer; see the spread (±).\n",
        );
    }
    page += "CPU: microseconds of the proxy's process per request, user and system, all threads. \
             Ratios: this gateway over the best of the others; above 1 is better for requests/s, \
             below 1 for CPU and p99. Others: what programs outside of the comparison had of all \
             cores.\n\n\
             | masters | case | proxy | requests/s | CPU µs | p50 ms | p99 ms | p99.9 ms | peak MiB \
             | others % | requests/s ÷ best | CPU ÷ best | p99 ÷ best |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    all.rows.iter().filter(|row| row.idle.is_empty()).for_each(|row| line(&mut page, all, row));
    idle(&mut page, all);
    notes(&mut page, all);
    page
}

fn line(page: &mut String, all: &Comparison, row: &Row) {
    let mark = if row.comparable { "" } else { " ¹" };
    let start = format!("| {} | {} | {}{mark} |", row.masters, row.case, row.proxy);
    let Some(medians) = row.medians() else {
        let _ = writeln!(page, "{start} failed | | | | | | | | | |");
        return;
    };
    let fixed =
        |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure:.2}"));
    let whole =
        |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure:.0}"));
    let _ = write!(
        page,
        "{start} {} ±{:.0} % | {} | {} | {} | {} | {} | {} |",
        grouped(medians.requests_per_s),
        medians.spread_percent,
        fixed(medians.cpu_us),
        ms(medians.p50_ms),
        ms(medians.p99_ms),
        ms(medians.p999_ms),
        whole(medians.peak_mib),
        whole(medians.others_percent),
    );
    let _ = match all.ratios(row) {
        Some(ratios) => writeln!(
            page,
            " {:.2} | {} | {:.2} |",
            ratios.requests_per_s,
            fixed(ratios.cpu),
            ratios.p99
        ),
        None => writeln!(page, " | | |"),
    };
}

fn idle(page: &mut String, all: &Comparison) {
    let rows: Vec<&Row> = all.rows.iter().filter(|row| !row.idle.is_empty()).collect();
    if rows.is_empty() {
        return;
    }
    *page += "\n| idle clients | proxy | MiB before | MiB with them | KiB each |\n|---|---|---|---|---|\n";
    for row in rows {
        // The first round: later ones begin with what the one before has left.
        let Some(idle) = row.idle.first() else { continue };
        let each = idle.after_kib.saturating_sub(idle.before_kib) as f64 / idle.clients as f64;
        let _ = writeln!(
            page,
            "| {} | {} | {:.0} | {:.0} | {each:.1} |",
            grouped(idle.clients as f64),
            row.proxy,
            idle.before_kib as f64 / 1024.0,
            idle.after_kib as f64 / 1024.0,
        );
    }
}

fn notes(page: &mut String, all: &Comparison) {
    *page += "\n";
    if all.rows.iter().any(|row| row.front == Front::Lone) {
        let replicas = if all.rows.iter().any(|row| row.replicas) { "with" } else { "without" };
        let _ = writeln!(
            page,
            "haproxy has a single Redis without replicas behind it and understands nothing of what \
             it passes on; the others have the cluster of three masters {replicas} replicas.",
        );
    }
    if all.rows.iter().any(|row| !row.comparable) {
        *page += "¹ Not comparable: one Redis has all the keys, nothing is split or merged; left \
                  out of the ratios.\n";
    }
    for row in &all.rows {
        for failure in row.failures.iter().take(1) {
            let times = row.failures.len();
            let _ =
                writeln!(page, "- {} through {} failed {times}×: {failure}", row.case, row.proxy);
        }
        if row.wrong() > 0 {
            let example = row.samples.iter().find_map(|sample| sample.example.as_deref());
            let example = example.unwrap_or_default();
            let (case, proxy, wrong) = (&row.case, &row.proxy, row.wrong());
            let _ = writeln!(page, "- {case} through {proxy}: {wrong} WRONG replies, as {example}");
        }
    }
}

fn as_json(all: &Comparison) -> Value {
    let rows: Vec<Value> = all
        .rows
        .iter()
        .map(|row| {
            json!({
                "masters": row.masters,
                "replicas": row.replicas,
                "case": row.case,
                "proxy": row.proxy,
                "front": format!("{:?}", row.front).to_lowercase(),
                "comparable": row.comparable,
                "medians": row.medians(),
                "ratios_to_best_peer": all.ratios(row),
                "samples": row.samples,
                "idle": row.idle,
                "failures": row.failures,
            })
        })
        .collect();
    let (disturbed, runs, worst) = all.disturbed();
    json!({
        "version": JSON_VERSION,
        "started_epoch_s": all.started_epoch_s,
        "command_line": all.command_line,
        "host": {
            "cpu_model": all.host.cpu_model,
            "cores": all.host.cores,
            "memory_mib": all.host.memory_mib,
            "kernel": all.host.kernel,
            "open_files": all.open_files,
            "load_average_before": all.load_average_before,
        },
        "rounds": all.rounds,
        "counted_ms": all.counted_ms,
        "runs_disturbed_by_others": disturbed,
        "runs": runs,
        "others_percent_max": worst,
        "rows": rows,
    })
}
