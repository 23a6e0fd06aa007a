//! The files a sweep leaves, and the table it ends with.
//!
//! Owns which files there are. Knows nothing of how figures were measured.

mod legacy;
mod markdown;
mod summary;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::options::Plan;
use crate::sweep::SweepResult;
use crate::verdict::Verdict;
use crate::workload::Op;

pub(crate) use table::terminal_table;

/// What a report is made from.
pub(crate) struct Report<'a> {
    /// What was to be done.
    pub(crate) plan: &'a Plan,
    /// What was found.
    pub(crate) result: &'a SweepResult,
    /// Whether it may be used.
    pub(crate) verdict: &'a Verdict,
    /// How this program was called, secrets hidden.
    pub(crate) command_line: &'a str,
}

/// Makes sure that the files can be written, before anything is measured for them.
pub(crate) fn prepare(out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let probe = out.join(".slotway-bench-probe");
    fs::write(&probe, b"").with_context(|| format!("cannot write to {}", out.display()))?;
    fs::remove_file(&probe).with_context(|| format!("cannot remove {}", probe.display()))
}

/// Writes all files.
pub(crate) fn write(report: &Report<'_>) -> Result<()> {
    let (plan, result) = (report.plan, report.result);
    let client = &plan.client_id;
    for (op, name) in [(Op::Set, "set"), (Op::Get, "get")] {
        if !plan.ops.contains(&op) {
            continue;
        }
        let phases = || result.phases.iter().filter(|phase| phase.op == op);
        let raw = legacy::raw(phases(), plan.units)?;
        save(&plan.out, &format!("results-raw-{name}-client{client}.txt"), &raw)?;
        let results = legacy::results(phases(), plan.units)?;
        save(&plan.out, &format!("results-{name}-client{client}.txt"), &results)?;
    }
    save(&plan.out, "summary.json", &summary::json(report)?)?;
    save(&plan.out, "summary.csv", &summary::csv(report))?;
    save(&plan.out, "report.md", &markdown::report(report))
}

fn save(out: &Path, name: &str, text: &str) -> Result<()> {
    let path = out.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
