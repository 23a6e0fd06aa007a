//! The highest rate whose 99th percentile stays under a limit.
//!
//! Owns which rate is tried next, and what holding it means. Knows nothing of how a rate is kept.
//! Invariant: the number of runs is bounded. Rates are doubled until one fails, then what lies between
//! is halved; the rate that is left is confirmed by a run of the full duration.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use crate::figures::{grouped, ms};
use crate::phase::{self, Job, PhaseResult, Snapshot, Timing};
use crate::searched::{Searched, Try};

const RATE_FIRST: u64 = 1_000;
const RATE_MAX: u64 = 10_000_000;
/// Rates that are tried by short runs; one that fails is tried twice.
const PROBES_MAX: usize = 24;
/// What is left between a rate that was held and one that was not, in percent of the first.
const PRECISION_PERCENT: u64 = 3;
/// Runs of the full duration; each that fails is followed by one at a rate that is lower by so much.
const CONFIRMATIONS_MAX: usize = 4;
const STEP_DOWN_PERCENT: u64 = 5;

/// Of the full duration, and no less than a second of it.
const PROBE_PART: u32 = 5;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_WARMUP_MAX: Duration = Duration::from_secs(1);

/// Below this share of the offered rate it was not held.
pub(crate) const ACHIEVED_PERCENT_MIN: f64 = 99.0;

/// What has to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For the 99th percentile of response times.
    pub(crate) p99: Duration,
    /// Bad requests in percent of all.
    pub(crate) max_error_pct: f64,
}

/// The time that a search takes with the usual number of runs.
pub(crate) fn usual_time(timing: Timing) -> Duration {
    const USUAL_PROBES: u32 = 16;
    let probe = probe_of(timing);
    (probe.warmup + probe.duration) * USUAL_PROBES + timing.warmup + timing.duration
}

fn probe_of(timing: Timing) -> Timing {
    Timing {
        warmup: timing.warmup.min(PROBE_WARMUP_MAX),
        duration: (timing.duration / PROBE_PART).max(PROBE_MIN).min(timing.duration),
        ..timing
    }
}

/// Searches; the result is the last run, with what led to it. `note` is told of each run.
pub(crate) fn run(
    job: &Job<'_>,
    timing: Timing,
    limits: Limits,
    mut watch_progress: impl FnMut(&Snapshot),
    mut note: impl FnMut(&str),
) -> Result<PhaseResult> {
    let mut tries = Vec::new();
    let mut one = |rate: u64, timing: Timing, full: bool| -> Result<(PhaseResult, bool)> {
        let job = Job { rate: Some(rate), ..*job };
        let result = phase::run(&job, timing, &mut watch_progress)?;
        let tried = judge(&result, rate, limits, full);
        note(&line(&result, &tried, limits));
        tries.push(tried);
        Ok((result, tried.held))
    };
    let is_stopped = || job.stop.load(Ordering::Relaxed);
    let mut search = Search::default();
    let mut last = None;
    while let Some(rate) = search.next().filter(|_| !is_stopped()) {
        let (mut result, mut held) = one(rate, probe_of(timing), false)?;
        // A hiccup of a short run must not decide about all rates above it.
        if !held && !is_stopped() {
            (result, held) = one(rate, probe_of(timing), false)?;
        }
        search.learn(rate, held);
        last = Some(result);
    }
    let mut rate = search.held.unwrap_or(1);
    let mut confirmed = false;
    for _ in 0..CONFIRMATIONS_MAX {
        if confirmed || is_stopped() || search.held.is_none() {
            break;
        }
        let (result, held) = one(rate, timing, true)?;
        // What was cut short confirms nothing.
        confirmed = held && !is_stopped();
        rate = (rate - rate * STEP_DOWN_PERCENT / 100).max(1);
        last = Some(result);
    }
    let mut result = match last {
        Some(result) => result,
        None => one(RATE_FIRST, probe_of(timing), false)?.0,
    };
    let p99_limit_ms = limits.p99.as_secs_f64() * 1000.0;
    result.searched = Some(Searched { p99_limit_ms, confirmed, tries });
    Ok(result)
}

fn judge(result: &PhaseResult, rate_per_s: u64, limits: Limits, full: bool) -> Try {
    let response = &result.tally.response;
    let p99_ms = (response.count() > 0).then(|| response.percentile_ms(99.0));
    let achieved_pct = result.achieved_percent();
    let held = achieved_pct.is_some_and(|percent| percent >= ACHIEVED_PERCENT_MIN)
        && result.tally.counts.bad_percent() <= limits.max_error_pct
        && p99_ms.is_some_and(|p99| p99 <= limits.p99.as_secs_f64() * 1000.0);
    Try { rate_per_s, achieved_pct, p99_ms, held, full }
}

fn line(result: &PhaseResult, tried: &Try, limits: Limits) -> String {
    format!(
        "{} {} {}  {}/s{}  p99 {} of {} ms  {}",
        result.op.name(),
        result.size,
        if tried.full { "confirm" } else { "try" },
        grouped(tried.rate_per_s as f64),
        tried.achieved_pct.map_or_else(String::new, |percent| format!(" ({percent:.1} %)")),
        tried.p99_ms.map_or_else(|| "-".to_owned(), ms),
        ms(limits.p99.as_secs_f64() * 1000.0),
        if tried.held { "held" } else { "not held" }
    )
}

/// What is known so far.
#[derive(Debug, Default)]
struct Search {
    /// The highest rate that was held, and the lowest that was not.
    held: Option<u64>,
    failed: Option<u64>,
    probes: usize,
}

impl Search {
    /// The rate to try next; none when enough is known.
    fn next(&self) -> Option<u64> {
        if self.probes >= PROBES_MAX {
            return None;
        }
        match (self.held, self.failed) {
            (None, None) => Some(RATE_FIRST),
            (Some(held), None) => (held < RATE_MAX).then(|| (held * 2).min(RATE_MAX)),
            (None, Some(failed)) => (failed > 1).then_some(failed / 2),
            (Some(held), Some(failed)) => {
                let left = failed.saturating_sub(held);
                (left > (held * PRECISION_PERCENT / 100).max(1)).then_some(held + left / 2)
            }
        }
    }

    fn learn(&mut self, rate: u64, held: bool) {
        self.probes += 1;
        match held {
            true => self.held = Some(self.held.map_or(rate, |known| known.max(rate))),
            false => self.failed = Some(self.failed.map_or(rate, |known| known.min(rate))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search finds where every rate up to `highest` is held, and with how many runs.
    fn search(highest: u64) -> (Option<u64>, usize) {
        let mut search = Search::default();
        while let Some(rate) = search.next() {
            search.learn(rate, rate <= highest);
        }
        (search.held, search.probes)
    }

    #[test]
    fn the_highest_rate_is_found_within_few_percent() {
        for highest in [1, 7, 150, 999, 1_000, 1_001, 47_311, 300_000, 9_999_999] {
            let (found, probes) = search(highest);
            let found = found.unwrap();
            assert!(
                found <= highest && highest - found <= 1 + highest * 4 / 100,
                "{found} {highest}"
            );
            assert!(probes <= PROBES_MAX, "{highest}: {probes}");
        }
    }

    #[test]
    fn there_may_be_none_and_there_may_be_no_end() {
        let (found, probes) = search(0);
        assert!(found.is_none() && probes <= 11);
        assert_eq!(search(u64::MAX).0, Some(RATE_MAX));
    }

    #[test]
    fn a_target_that_changes_its_mind_does_not_keep_a_search_going() {
        let mut search = Search::default();
        let mut held = true;
        while let Some(rate) = search.next() {
            search.learn(rate, held);
            held = !held;
        }
        assert!(search.probes <= PROBES_MAX);
    }
}
