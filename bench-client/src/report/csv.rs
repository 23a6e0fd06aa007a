//! `summary.csv` and `timeseries.csv`: the record as tables for programs.
//!
//! Owns their columns. An absent figure is an empty field.

use crate::record::{IntervalRecord, PhaseRecord, Record};

const SUMMARY_COLUMNS: &str = "op,bits,bytes,target,round,conns,pipeline,loop,target_rate,achieved_rate,ops,errors,misses,\
     wrong,reconnects,redirects,ops_per_s,MBps,avg_ms,min_ms,p50_ms,p90_ms,p95_ms,p99_ms,p99.9_ms,p99.99_ms,\
     max_ms,service_p99_ms,lag_p99_ms,longest_pause_ms,client_cpu_pct,gateway_cpu_pct\n";
const TIMESERIES_COLUMNS: &str = "target,op,bytes,round,time_s,phase_s,length_s,warm_up,ops,ops_per_s,errors,misses,wrong,\
     p50_ms,p99_ms,max_ms,pause_ms\n";

/// One line per phase.
pub(super) fn summary(record: &Record) -> String {
    let mut text = SUMMARY_COLUMNS.to_owned();
    for phase in &record.phases {
        text += &summary_line(record, phase);
        text.push('\n');
    }
    text
}

fn summary_line(record: &Record, phase: &PhaseRecord) -> String {
    let latency = &phase.latency_ms;
    let mut fields = vec![phase.op.clone(), phase.bits.to_string(), phase.bytes.to_string()];
    fields.push(phase.target.clone());
    fields.extend(
        [phase.round, record.options.connections, record.options.pipeline]
            .map(|number| number.to_string()),
    );
    fields.push(phase.loop_kind.clone());
    fields.extend([phase.offered_per_s, phase.achieved_per_s].map(figure));
    fields.extend(
        [phase.ops, phase.errors, phase.misses, phase.wrong, phase.reconnects, phase.redirects]
            .map(|count| count.to_string()),
    );
    let p99 =
        |figures: &Option<crate::record::LatencyFigures>| figures.as_ref().and_then(|f| f.p99);
    fields.extend(
        [
            Some(phase.ops_per_s),
            Some(phase.megabytes_per_s),
            latency.avg,
            latency.min,
            latency.p50,
            latency.p90,
            latency.p95,
            latency.p99,
            latency.p99_9,
            latency.p99_99,
            latency.max,
            p99(&phase.service_ms),
            p99(&phase.schedule_lag_ms),
            phase.longest_pause_ms,
            phase.client_cpu_pct,
            phase.gateway_cpu_pct,
        ]
        .map(figure),
    );
    fields.join(",")
}

/// One line per second.
pub(super) fn timeseries(record: &Record) -> String {
    let mut text = TIMESERIES_COLUMNS.to_owned();
    for phase in &record.phases {
        for interval in &phase.timeline {
            text += &timeseries_line(record, phase, interval);
            text.push('\n');
        }
    }
    text
}

fn timeseries_line(record: &Record, phase: &PhaseRecord, interval: &IntervalRecord) -> String {
    let since_start = phase.started_epoch_s - record.started_epoch_s as f64 + interval.end_s;
    let mut fields = vec![phase.target.clone(), phase.op.clone(), phase.bytes.to_string()];
    fields.push(phase.round.to_string());
    fields
        .extend([since_start, interval.end_s, interval.length_s].map(|value| figure(Some(value))));
    fields.push(u8::from(interval.warm_up).to_string());
    fields.push(interval.ops.to_string());
    fields.push(figure(Some(interval.ops_per_s)));
    fields
        .extend([interval.errors, interval.misses, interval.wrong].map(|count| count.to_string()));
    let times = [interval.p50_ms, interval.p99_ms, interval.max_ms, Some(interval.pause_ms)];
    fields.extend(times.map(figure));
    fields.join(",")
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn every_line_has_a_field_for_each_column() {
        for text in [summary(&sample::record()), timeseries(&sample::record())] {
            let widths: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
            assert!(widths.len() > 10 && widths.iter().all(|width| *width == widths[0]), "{text}");
        }
    }
}
