//! Makes a record of what a sweep measured.
//!
//! Owns how measured things become fields. Must not know how reports look.

use super::{
    ClientRecord, CommandRecord, IntervalRecord, LatencyFigures, OptionsRecord, PhaseRecord,
    Record, ReplayRecord, SCHEMA, SCHEMA_VERSION, TargetRecord, UnmeasuredRecord, ratios, warnings,
};
use crate::figures::utc;
use crate::hdr;
use crate::phase::PhaseResult;
use crate::plan::Plan;
use crate::recorder::ClassTally;
use crate::sweep::{Contact, SweepResult};
use crate::timeline::Interval;
use crate::verdict::Verdict;
use crate::workload::Op;

/// How a loop is called that keeps to a schedule, and one that waits for its replies.
pub(super) const OPEN: &str = "open";
const CLOSED: &str = "closed";

/// What sends the load: to one address, or to each master the keys that it has.
const ONE_ADDRESS: &str = "one address";
pub(crate) const CLUSTER_CLIENT: &str = "cluster client";

const OPEN_LATENCY: &str = "response time from the intended start";
const CLOSED_LATENCY: &str = "service time, not corrected for coordinated omission";

/// What a record is made of.
pub(crate) struct Made<'a> {
    /// What was to be done.
    pub(crate) plan: &'a Plan,
    /// What was found.
    pub(crate) result: &'a SweepResult,
    /// Whether it may be used.
    pub(crate) verdict: &'a Verdict,
    /// How this program was called, secrets hidden.
    pub(crate) command_line: &'a str,
}

/// The record of a sweep.
pub(crate) fn of_sweep(made: &Made<'_>) -> Record {
    let Made { plan, result, verdict, command_line } = *made;
    let host = &result.host;
    let unmeasured = &result.unmeasured;
    let mut record = Record {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION,
        tool: env!("CARGO_PKG_NAME").to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        debug_build: cfg!(debug_assertions),
        run: result.run.clone(),
        started: utc(result.started_epoch_s),
        started_epoch_s: result.started_epoch_s,
        took_s: result.took_s,
        command_line: command_line.to_owned(),
        verdict: verdict.clone(),
        warnings: Vec::new(),
        interrupted: result.interrupted,
        options: options(plan),
        client: ClientRecord {
            kernel: host.kernel.clone(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpu_model: host.cpu_model.clone(),
            cpu_governor: host.cpu_governor.clone(),
            cores: host.cores,
            memory_mib: host.memory_mib,
            load_average_at_start: result.load_average.clone(),
        },
        targets: result.contacts.iter().map(target).collect(),
        unmeasured: UnmeasuredRecord {
            keys_filled: unmeasured.filled,
            keys_not_filled: unmeasured.fill_failed,
            keys_not_removed: unmeasured.unlink_failed,
            errors: unmeasured.errors.counts().clone(),
        },
        phases: result.phases.iter().map(phase).collect(),
        comparison: Vec::new(),
    };
    record.comparison = ratios::of(&record);
    record.warnings = warnings::of(&record);
    record
}

fn options(plan: &Plan) -> OptionsRecord {
    OptionsRecord {
        ops: plan.ops.iter().map(|op| op.name().to_owned()).collect(),
        duration_s: plan.timing.duration.as_secs_f64(),
        warmup_s: plan.timing.warmup.as_secs_f64(),
        repeat: plan.repeat,
        connections: plan.connections,
        pipeline: plan.pipeline,
        threads: plan.timing.threads,
        rate_per_s: plan.rate,
        units: plan.units.word().to_owned(),
        seed: plan.seed,
        max_error_pct: plan.max_error_pct,
        client_id: plan.client_id.clone(),
        keys_kept: plan.keep,
        p99_limit_ms: plan.rate_search.map(|limits| limits.p99.as_secs_f64() * 1000.0),
        replay: plan.replay.as_ref().map(|(path, commands)| ReplayRecord {
            file: path.display().to_string(),
            commands: commands.count() as u64,
        }),
        mix: plan.mix.as_ref().map(ToString::to_string),
        key_distribution: plan.key_order.word().to_owned(),
        batch: plan.batch,
        protocol: if plan.resp3 { 3 } else { 2 },
    }
}

fn target(contact: &Contact) -> TargetRecord {
    let (before, after) = (&contact.before, &contact.after);
    let evicted = |info: &std::collections::BTreeMap<String, String>| {
        info.get("evicted_keys").and_then(|keys| keys.parse::<u64>().ok())
    };
    let known = !before.topology.is_empty() && !after.topology.is_empty();
    TargetRecord {
        name: contact.name.clone(),
        address: contact.address.clone(),
        client: if contact.is_cluster { CLUSTER_CLIENT } else { ONE_ADDRESS }.to_owned(),
        peer: before.peer.clone(),
        network_path: before.network_path.map(str::to_owned),
        info_at_start: before.info.clone(),
        info_at_end: after.info.clone(),
        no_info_because: before.silence.clone(),
        settings: before.settings.clone(),
        topology_at_start: before.topology.clone(),
        topology_at_end: after.topology.clone(),
        topology_changed: known.then(|| before.topology != after.topology),
        evicted_keys: evicted(&before.info)
            .zip(evicted(&after.info))
            .map(|(before, after)| after.saturating_sub(before)),
    }
}

fn phase(phase: &PhaseResult) -> PhaseRecord {
    let (tally, counts) = (&phase.tally, phase.tally.counts);
    let open_loop = tally.service_and_lag.as_ref();
    let closed = open_loop.is_none() && tally.response.count() > 0;
    let points = hdr::spectrum(tally.response.histogram());
    PhaseRecord {
        op: phase.op.name().to_owned(),
        bits: phase.size.bits(),
        bytes: phase.size.bytes() as u64,
        target: phase.target.clone(),
        round: phase.round,
        keys: phase.keys as u64,
        started_epoch_s: phase.started_epoch_s,
        requests: counts.total(),
        ops: counts.good,
        errors: counts.errors,
        misses: counts.misses,
        wrong: counts.wrong,
        reconnects: tally.reconnects,
        redirects: tally.redirects,
        elapsed_s: phase.elapsed.as_secs_f64(),
        ops_per_s: phase.per_second(),
        megabytes_per_s: phase.megabytes_per_second(),
        offered_per_s: phase.offered_achieved.map(|(offered, _)| offered),
        achieved_per_s: phase.offered_achieved.map(|(_, achieved)| achieved),
        achieved_pct: phase.achieved_percent(),
        loop_kind: if open_loop.is_some() { OPEN } else { CLOSED }.to_owned(),
        latency_is: if open_loop.is_some() { OPEN_LATENCY } else { CLOSED_LATENCY }.to_owned(),
        latency_ms: LatencyFigures::of(&tally.response),
        service_ms: open_loop.map(|(service, _)| LatencyFigures::of(service)),
        schedule_lag_ms: open_loop.map(|(_, lag)| LatencyFigures::of(lag)),
        longest_pause_ms: longest_pause(&phase.timeline).filter(|_| open_loop.is_none()),
        p99_corrected_ms: closed.then(|| tally.response.corrected_percentile_ms(99.0)),
        client_cpu_pct: phase.client_cpu_percent,
        client_threads: phase.threads,
        gateway_cpu_pct: phase.gateway_cpu_percent,
        rate_search: phase.searched.clone(),
        commands: phase.commands.iter().map(|command| of_command(phase, command)).collect(),
        errors_by_text: tally.errors.counts().clone(),
        spectrum: points.iter().map(|point| [point.quantile * 100.0, point.ms]).collect(),
        timeline: phase.timeline.iter().map(interval).collect(),
    }
}

fn of_command(phase: &PhaseResult, (op, tally): &(Op, ClassTally)) -> CommandRecord {
    let (counts, seconds) = (tally.counts, phase.elapsed.as_secs_f64());
    CommandRecord {
        command: op.name().to_owned(),
        requests: counts.total(),
        ops: counts.good,
        errors: counts.errors,
        misses: counts.misses,
        wrong: counts.wrong,
        ops_per_s: if seconds > 0.0 { counts.good as f64 / seconds } else { 0.0 },
        latency_ms: LatencyFigures::of(&tally.response),
    }
}

fn longest_pause(timeline: &[Interval]) -> Option<f64> {
    let measured = timeline.iter().filter(|interval| !interval.warm_up);
    measured.map(|interval| interval.pause.as_secs_f64() * 1000.0).max_by(f64::total_cmp)
}

fn interval(interval: &Interval) -> IntervalRecord {
    let counts = interval.counts;
    let figures = interval.p50_p99_max_ms;
    IntervalRecord {
        end_s: interval.end.as_secs_f64(),
        length_s: interval.length.as_secs_f64(),
        warm_up: interval.warm_up,
        ops: counts.good,
        ops_per_s: interval.per_second(),
        errors: counts.errors,
        misses: counts.misses,
        wrong: counts.wrong,
        p50_ms: figures.map(|(p50, ..)| p50),
        p99_ms: figures.map(|(_, p99, _)| p99),
        max_ms: figures.map(|(.., max)| max),
        pause_ms: interval.pause.as_secs_f64() * 1000.0,
    }
}
