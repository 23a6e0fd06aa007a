//! The files a sweep leaves, and the table it ends with.
//!
//! Owns which files there are. What only the run itself knows (the old client's batches, histograms)
//! is written once; everything else is made from the record, and can be made anew from it. Knows
//! nothing of how figures were measured.

mod csv;
mod histograms;
mod html;
mod legacy;
mod markdown;
mod prose;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::record::{self, Made, Record};
use crate::workload::Op;

pub(crate) use table::{Table, terminal_table};

/// Makes sure that the files can be written, before anything is measured for them.
pub(crate) fn prepare(out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let probe = out.join(".slotway-bench-probe");
    fs::write(&probe, b"").with_context(|| format!("cannot write to {}", out.display()))?;
    fs::remove_file(&probe).with_context(|| format!("cannot remove {}", probe.display()))
}

/// Writes all files; returns the record that they were made from.
pub(crate) fn write(made: &Made<'_>) -> Result<Record> {
    let out = &made.plan.out;
    old_clients_files(made)?;
    let record = record::of_sweep(made);
    save(out, record::SUMMARY_FILE, &record::json(&record)?)?;
    histograms::write(out, made.result)?;
    write_from_record(out, &record)?;
    Ok(record)
}

/// Makes anew what is made from the record in `out`.
pub(crate) fn rebuild(out: &Path) -> Result<Record> {
    let record = record::read(out)?;
    write_from_record(out, &record)?;
    Ok(record)
}

/// Of several rounds and targets, the first: the old files have a size once.
fn old_clients_files(made: &Made<'_>) -> Result<()> {
    let (plan, result) = (made.plan, made.result);
    let client = &plan.client_id;
    for (op, name) in [(Op::Set, "set"), (Op::Get, "get")] {
        if !plan.ops.contains(&op) {
            continue;
        }
        let first = plan.endpoints.first().map(|endpoint| endpoint.name.as_str());
        let phases = || {
            result.phases.iter().filter(move |phase| {
                phase.op == op && phase.round == 1 && Some(phase.target.as_str()) == first
            })
        };
        let raw = legacy::raw(phases(), plan.units)?;
        save(&plan.out, &format!("results-raw-{name}-client{client}.txt"), &raw)?;
        let results = legacy::results(phases(), plan.units)?;
        save(&plan.out, &format!("results-{name}-client{client}.txt"), &results)?;
    }
    Ok(())
}

fn write_from_record(out: &Path, record: &Record) -> Result<()> {
    save(out, "summary.csv", &csv::summary(record))?;
    save(out, "timeseries.csv", &csv::timeseries(record))?;
    save(out, "report.md", &markdown::report(record))?;
    save(out, "report.html", &html::report(record))
}

fn save(out: &Path, name: &str, text: &str) -> Result<()> {
    let path = out.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
