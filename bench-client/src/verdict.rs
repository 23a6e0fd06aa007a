//! Whether a sweep's figures may be used, and the exit code that says so.
//!
//! Owns the thresholds' meaning. Knows nothing of how results are shown.

use serde::{Deserialize, Serialize};

use crate::phase::PhaseResult;
use crate::plan::Plan;
use crate::rate_search::ACHIEVED_PERCENT_MIN;
use crate::sweep::SweepResult;

/// The judgement over a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Whether all figures may be used.
    pub(crate) valid: bool,
    /// What is wrong with them, one sentence each.
    pub(crate) reasons: Vec<String>,
    /// What the program ends with.
    pub(crate) exit_code: u8,
}

/// Judges a sweep by its plan.
pub(crate) fn judge(plan: &Plan, result: &SweepResult) -> Verdict {
    let mut reasons = Vec::new();
    for phase in &result.phases {
        reasons.extend(too_many_errors(plan.max_error_pct, phase));
    }
    let mut exit_code = if reasons.is_empty() { 0 } else { 2 };
    for phase in &result.phases {
        if let Some(reason) = rate_missed(phase) {
            reasons.push(reason);
            exit_code = exit_code.max(if exit_code == 2 { 2 } else { 3 });
        }
    }
    if result.interrupted {
        reasons.push("the sweep was interrupted: sizes are missing or shortened".to_owned());
        exit_code = 130;
    }
    Verdict { valid: reasons.is_empty(), reasons, exit_code }
}

fn too_many_errors(max_error_pct: f64, phase: &PhaseResult) -> Option<String> {
    let counts = phase.tally.counts;
    let name = phase.name();
    if counts.good == 0 {
        return Some(format!("{name}: no request succeeded"));
    }
    (counts.bad_percent() > max_error_pct).then(|| {
        format!(
            "{name}: {} errors, {} misses and {} wrong values are {:.3} % of {} requests; {max_error_pct} % are allowed",
            counts.errors,
            counts.misses,
            counts.wrong,
            counts.bad_percent(),
            counts.total()
        )
    })
}

fn rate_missed(phase: &PhaseResult) -> Option<String> {
    if let Some(searched) = &phase.searched {
        return (!searched.confirmed).then(|| {
            format!(
                "{}: no rate was found that a run of the full duration held with a p99 under {} ms",
                phase.name(),
                searched.p99_limit_ms
            )
        });
    }
    let (offered, achieved) = phase.offered_achieved?;
    let percent = phase.achieved_percent()?;
    (percent < ACHIEVED_PERCENT_MIN).then(|| {
        format!(
            "{}: {achieved:.1} of {offered:.0} requests/s reached ({percent:.1} %); below {ACHIEVED_PERCENT_MIN} % its latencies are not those of that rate",
            phase.name()
        )
    })
}
