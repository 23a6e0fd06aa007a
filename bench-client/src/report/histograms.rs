//! `hdr/<op>-<bytes>.hgrm` and `hdr/run.hlog`: histograms for the tools of HdrHistogram.
//!
//! Owns these files' names and the log's lines. Knows nothing of how histograms are encoded.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::save;
use crate::figures::utc;
use crate::hdr;
use crate::phase::PhaseResult;
use crate::sweep::SweepResult;

const DIRECTORY: &str = "hdr";

/// Writes a percentile text for each operation, size, target and round, and one log of all. Those of
/// an earlier run in the same place go.
pub(super) fn write(out: &Path, result: &SweepResult) -> Result<()> {
    let directory = out.join(DIRECTORY);
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot replace {}", directory.display()))?;
    }
    fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let (several_targets, several_rounds) =
        (result.contacts.len() > 1, result.phases.iter().any(|phase| phase.round > 1));
    for phase in &result.phases {
        let mut name = name_of(phase);
        if several_targets {
            name = format!("{}-{name}", phase.target);
        }
        if several_rounds {
            name += &format!("-{}", phase.round);
        }
        let text = hdr::percentile_text(phase.tally.response.histogram());
        save(&directory, &format!("{name}.hgrm"), &text)?;
    }
    save(&directory, "run.hlog", &log(result))
}

/// `set-16`.
fn name_of(phase: &PhaseResult) -> String {
    format!("{}-{}", phase.op.file_name(), phase.size.bytes())
}

/// An interval log: values in microseconds, a line for each measured second, tagged with target,
/// operation, bytes and round.
fn log(result: &SweepResult) -> String {
    let start = result.started_epoch_s as f64;
    let mut text = format!(
        "#[Logged with slotway-bench {}; values in microseconds, Interval_Max in milliseconds]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {start:.3} (seconds since epoch), {}]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        env!("CARGO_PKG_VERSION"),
        utc(result.started_epoch_s)
    );
    for phase in &result.phases {
        let tag = format!("{}-{}-{}", phase.target, name_of(phase), phase.round);
        let offset = (phase.started_epoch_s - start).max(0.0);
        for interval in phase.timeline.iter().filter(|interval| !interval.warm_up) {
            let Some((.., max)) = interval.p50_p99_max_ms else { continue };
            let length = interval.length.as_secs_f64();
            let begin = offset + interval.end.as_secs_f64() - length;
            let encoded = &interval.encoded;
            let _ = writeln!(text, "Tag={tag},{begin:.3},{length:.3},{max:.3},{encoded}");
        }
    }
    text
}
