//! `summary.json` and `summary.csv`: the same figures for programs.
//!
//! Owns their fields. A change that breaks readers raises `SCHEMA_VERSION`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::Report;
use crate::figures::utc;
use crate::phase::PhaseResult;
use crate::tally::Latencies;
use crate::verdict::Verdict;

const SCHEMA: &str = "slotway-bench/summary";
const SCHEMA_VERSION: u32 = 1;

/// Samples below which a percentile would be a handful of requests at most.
const P999_SAMPLES_MIN: u64 = 1_000;
const P9999_SAMPLES_MIN: u64 = 10_000;

/// Latency figures in milliseconds; absent where there are too few samples.
#[derive(Debug, Serialize)]
pub(super) struct LatencyFigures {
    pub(super) samples: u64,
    pub(super) min: Option<f64>,
    pub(super) avg: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p90: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) p99_9: Option<f64>,
    pub(super) p99_99: Option<f64>,
    pub(super) max: Option<f64>,
}

impl LatencyFigures {
    /// The figures of a histogram.
    pub(super) fn of(latencies: &Latencies) -> LatencyFigures {
        let samples = latencies.count();
        let (min, avg, max) = latencies.min_mean_max_ms();
        let from = |samples_min: u64, value: f64| (samples >= samples_min.max(1)).then_some(value);
        let percentile = |at: f64, samples_min| from(samples_min, latencies.percentile_ms(at));
        LatencyFigures {
            samples,
            min: from(1, min),
            avg: from(1, avg),
            p50: percentile(50.0, 1),
            p90: percentile(90.0, 1),
            p95: percentile(95.0, 1),
            p99: percentile(99.0, 1),
            p99_9: percentile(99.9, P999_SAMPLES_MIN),
            p99_99: percentile(99.99, P9999_SAMPLES_MIN),
            max: from(1, max),
        }
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    schema: &'static str,
    schema_version: u32,
    tool: &'static str,
    tool_version: &'static str,
    debug_build: bool,
    run: &'a str,
    started: String,
    started_epoch_s: u64,
    took_s: f64,
    command_line: &'a str,
    verdict: &'a Verdict,
    interrupted: bool,
    options: OptionsFigures<'a>,
    client: ClientFigures<'a>,
    target: TargetFigures<'a>,
    unmeasured: UnmeasuredFigures<'a>,
    phases: Vec<PhaseFigures<'a>>,
}

#[derive(Serialize)]
struct OptionsFigures<'a> {
    target: &'a str,
    duration_s: f64,
    warmup_s: f64,
    connections: usize,
    pipeline: usize,
    threads: usize,
    rate_per_s: Option<u64>,
    units: &'static str,
    seed: u64,
    max_error_pct: f64,
    client_id: &'a str,
    keys_kept: bool,
}

#[derive(Serialize)]
struct ClientFigures<'a> {
    kernel: Option<&'a str>,
    cpu_model: Option<&'a str>,
    cores: usize,
    memory_mib: Option<u64>,
}

#[derive(Serialize)]
struct TargetFigures<'a> {
    peer: Option<&'a str>,
    network_path: Option<&'static str>,
    info_at_start: &'a BTreeMap<String, String>,
    info_at_end: &'a BTreeMap<String, String>,
    no_info_because: Option<&'a str>,
}

#[derive(Serialize)]
struct UnmeasuredFigures<'a> {
    keys_filled: u64,
    keys_not_filled: u64,
    keys_not_removed: u64,
    errors: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct PhaseFigures<'a> {
    op: &'static str,
    bits: u64,
    bytes: usize,
    keys: usize,
    requests: u64,
    ops: u64,
    errors: u64,
    misses: u64,
    wrong: u64,
    elapsed_s: f64,
    ops_per_s: f64,
    megabytes_per_s: f64,
    offered_per_s: Option<f64>,
    achieved_per_s: Option<f64>,
    achieved_pct: Option<f64>,
    latency_is: &'static str,
    latency_ms: LatencyFigures,
    service_ms: Option<LatencyFigures>,
    schedule_lag_ms: Option<LatencyFigures>,
    client_cpu_pct_of_a_core: Option<f64>,
    errors_by_text: &'a BTreeMap<String, u64>,
}

/// `summary.json`.
pub(super) fn json(report: &Report<'_>) -> Result<String> {
    let result = report.result;
    let summary = Summary {
        schema: SCHEMA,
        schema_version: SCHEMA_VERSION,
        tool: env!("CARGO_PKG_NAME"),
        tool_version: env!("CARGO_PKG_VERSION"),
        debug_build: cfg!(debug_assertions),
        run: &result.run,
        started: utc(result.started_epoch_s),
        started_epoch_s: result.started_epoch_s,
        took_s: result.took_s,
        command_line: report.command_line,
        verdict: report.verdict,
        interrupted: result.interrupted,
        options: options(report),
        client: ClientFigures {
            kernel: result.host.kernel.as_deref(),
            cpu_model: result.host.cpu_model.as_deref(),
            cores: result.host.cores,
            memory_mib: result.host.memory_mib,
        },
        target: TargetFigures {
            peer: result.target.peer.as_deref(),
            network_path: result.target.network_path,
            info_at_start: &result.target.info,
            info_at_end: &result.info_after,
            no_info_because: result.target.silence.as_deref(),
        },
        unmeasured: UnmeasuredFigures {
            keys_filled: result.unmeasured.filled,
            keys_not_filled: result.unmeasured.fill_failed,
            keys_not_removed: result.unmeasured.unlink_failed,
            errors: result.unmeasured.errors.counts(),
        },
        phases: result.phases.iter().map(phase_figures).collect(),
    };
    Ok(serde_json::to_string_pretty(&summary)? + "\n")
}

fn options<'a>(report: &Report<'a>) -> OptionsFigures<'a> {
    let plan = report.plan;
    OptionsFigures {
        target: &plan.target.address,
        duration_s: plan.timing.duration.as_secs_f64(),
        warmup_s: plan.timing.warmup.as_secs_f64(),
        connections: plan.connections,
        pipeline: plan.pipeline,
        threads: plan.timing.threads,
        rate_per_s: plan.rate,
        units: plan.units.word(),
        seed: plan.seed,
        max_error_pct: plan.max_error_pct,
        client_id: &plan.client_id,
        keys_kept: plan.keep,
    }
}

fn phase_figures(phase: &PhaseResult) -> PhaseFigures<'_> {
    let counts = phase.tally.counts;
    let open_loop = phase.tally.service_and_lag.as_ref();
    PhaseFigures {
        op: phase.op.name(),
        bits: phase.size.bits(),
        bytes: phase.size.bytes(),
        keys: phase.keys,
        requests: counts.total(),
        ops: counts.good,
        errors: counts.errors,
        misses: counts.misses,
        wrong: counts.wrong,
        elapsed_s: phase.elapsed.as_secs_f64(),
        ops_per_s: phase.per_second(),
        megabytes_per_s: phase.megabytes_per_second(),
        offered_per_s: phase.offered_achieved.map(|(offered, _)| offered),
        achieved_per_s: phase.offered_achieved.map(|(_, achieved)| achieved),
        achieved_pct: phase.achieved_percent(),
        latency_is: match open_loop {
            Some(_) => "response time from the intended start",
            None => "service time, not corrected for coordinated omission",
        },
        latency_ms: LatencyFigures::of(&phase.tally.response),
        service_ms: open_loop.map(|(service, _)| LatencyFigures::of(service)),
        schedule_lag_ms: open_loop.map(|(_, lag)| LatencyFigures::of(lag)),
        client_cpu_pct_of_a_core: phase.client_cpu_percent,
        errors_by_text: phase.tally.errors.counts(),
    }
}

/// `summary.csv`: a header and one line per phase; an absent figure is an empty field.
pub(super) fn csv(report: &Report<'_>) -> String {
    let mut text = String::from(
        "op,bits,bytes,conns,pipeline,target_rate,ops,errors,misses,wrong,ops_per_s,MBps,\
         avg_ms,min_ms,p50_ms,p90_ms,p95_ms,p99_ms,p99.9_ms,p99.99_ms,max_ms,client_cpu_pct\n",
    );
    for phase in &report.result.phases {
        text += &csv_line(report, phase);
        text.push('\n');
    }
    text
}

fn csv_line(report: &Report<'_>, phase: &PhaseResult) -> String {
    let figure = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    let counts = phase.tally.counts;
    let latency = LatencyFigures::of(&phase.tally.response);
    let mut fields = vec![phase.op.name().to_owned()];
    fields.extend(
        [phase.size.bits(), phase.size.bytes() as u64, report.plan.connections as u64]
            .map(|number| number.to_string()),
    );
    fields.push(report.plan.pipeline.to_string());
    fields.push(report.plan.rate.map_or_else(String::new, |rate| rate.to_string()));
    fields.extend(
        [counts.good, counts.errors, counts.misses, counts.wrong].map(|count| count.to_string()),
    );
    fields.extend(
        [
            Some(phase.per_second()),
            Some(phase.megabytes_per_second()),
            latency.avg,
            latency.min,
            latency.p50,
            latency.p90,
            latency.p95,
            latency.p99,
            latency.p99_9,
            latency.p99_99,
            latency.max,
            phase.client_cpu_percent,
        ]
        .map(figure),
    );
    fields.join(",")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_wait_for_enough_samples() {
        let mut latencies = Latencies::new().unwrap();
        assert!(LatencyFigures::of(&latencies).p50.is_none());
        (0..9_999).for_each(|_| latencies.record(Duration::from_millis(1)));
        let figures = LatencyFigures::of(&latencies);
        assert!(figures.p99_9.is_some() && figures.p99_99.is_none());
        latencies.record(Duration::from_millis(1));
        assert!(LatencyFigures::of(&latencies).p99_99.is_some());
    }
}
