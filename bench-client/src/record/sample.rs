//! A record for tests: a small, good run.
//!
//! Owns its figures. They are made up, and the same each time.

use super::*;

/// Two operations at three sizes, three times, without anything to warn of.
pub(crate) fn record() -> Record {
    let mut phases = Vec::new();
    for round in 1..=3 {
        for bytes in [16, 1024, 65_536] {
            for op in ["SET", "GET"] {
                phases.push(phase(op, bytes, round));
            }
        }
    }
    Record {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION,
        tool: "slotway-bench".into(),
        tool_version: "0.0.0".into(),
        debug_build: false,
        run: "1-2".into(),
        started: "2026-01-01 00:00:00 UTC".into(),
        started_epoch_s: 1_767_225_600,
        took_s: 180.0,
        command_line: "slotway-bench sweep --target h:1".into(),
        verdict: Verdict { valid: true, reasons: Vec::new(), exit_code: 0 },
        warnings: Vec::new(),
        interrupted: false,
        options: options(),
        client: ClientRecord {
            kernel: Some("Linux 6".into()),
            architecture: "x86_64".into(),
            cpu_model: Some("Fast <9000>".into()),
            cpu_governor: None,
            cores: 2,
            memory_mib: Some(4096),
            load_average_at_start: None,
        },
        targets: vec![TargetRecord {
            name: "target".into(),
            address: "h:1".into(),
            client: "one address".into(),
            peer: Some("10.0.0.1:1".into()),
            network_path: None,
            info_at_start: [("redis_version".into(), "7.0.15".into())].into(),
            info_at_end: [("redis_version".into(), "7.0.15".into())].into(),
            no_info_because: None,
            settings: [("appendonly".into(), "no".into())].into(),
            topology_at_start: vec!["3 shards".into()],
            topology_at_end: vec!["3 shards".into()],
            topology_changed: Some(false),
            evicted_keys: Some(0),
        }],
        unmeasured: UnmeasuredRecord {
            keys_filled: 0,
            keys_not_filled: 0,
            keys_not_removed: 0,
            errors: BTreeMap::new(),
        },
        phases,
        comparison: Vec::new(),
    }
}

/// The same against two targets, of which the second is half as fast.
pub(crate) fn comparison() -> Record {
    let mut record = record();
    let mut other = record.targets[0].clone();
    (other.name, other.address) = ("other".into(), "h:2".into());
    record.targets[0].name = "gateway".into();
    record.targets.push(other);
    record.phases.iter_mut().for_each(|phase| phase.target = "gateway".into());
    for mut phase in record.phases.clone() {
        phase.target = "other".into();
        phase.ops_per_s /= 2.0;
        for figure in [&mut phase.latency_ms.p50, &mut phase.latency_ms.p99] {
            *figure = figure.map(|ms| ms * 2.0);
        }
        record.phases.push(phase);
    }
    record.comparison = ratios::of(&record);
    record
}

fn options() -> OptionsRecord {
    OptionsRecord {
        ops: vec!["SET".into(), "GET".into()],
        duration_s: 10.0,
        warmup_s: 1.0,
        repeat: 3,
        connections: 50,
        pipeline: 1,
        threads: 1,
        rate_per_s: None,
        units: "bits".into(),
        seed: 1,
        max_error_pct: 0.0,
        client_id: "1".into(),
        keys_kept: false,
        p99_limit_ms: None,
        replay: None,
        mix: None,
        key_distribution: "sequential".into(),
        batch: 10,
        protocol: 2,
    }
}

fn phase(op: &str, bytes: u64, round: usize) -> PhaseRecord {
    let ops_per_s = 60_000.0 / (1.0 + bytes as f64 / 16_384.0) + 100.0 * round as f64;
    let p50 = 50_000.0 / ops_per_s;
    let ops = ops_per_s as u64 * 10;
    PhaseRecord {
        op: op.into(),
        bits: bytes * 8,
        bytes,
        target: "target".into(),
        round,
        keys: 100,
        started_epoch_s: 1_767_225_600.0 + 11.0 * round as f64,
        requests: ops,
        ops,
        errors: 0,
        misses: 0,
        wrong: 0,
        reconnects: 0,
        redirects: 0,
        elapsed_s: 10.0,
        ops_per_s,
        megabytes_per_s: ops_per_s * bytes as f64 / 1e6,
        offered_per_s: None,
        achieved_per_s: None,
        achieved_pct: None,
        loop_kind: "closed".into(),
        latency_is: "service time, not corrected for coordinated omission".into(),
        latency_ms: LatencyFigures {
            samples: ops,
            min: Some(p50 / 4.0),
            avg: Some(p50),
            p50: Some(p50),
            p90: Some(p50 * 1.5),
            p95: Some(p50 * 1.7),
            p99: Some(p50 * 2.0),
            p99_9: Some(p50 * 4.0),
            p99_99: Some(p50 * 8.0),
            max: Some(p50 * 12.0),
        },
        service_ms: None,
        schedule_lag_ms: None,
        longest_pause_ms: Some(3.0),
        p99_corrected_ms: Some(p50 * 2.0),
        client_cpu_pct: Some(40.0),
        client_threads: 1,
        gateway_cpu_pct: None,
        rate_search: None,
        commands: Vec::new(),
        errors_by_text: BTreeMap::new(),
        spectrum: vec![[0.0, p50 / 4.0], [50.0, p50], [99.0, p50 * 2.0], [100.0, p50 * 12.0]],
        timeline: (1..=11).map(|second| interval(second, ops_per_s, p50)).collect(),
    }
}

fn interval(second: u32, ops_per_s: f64, p50: f64) -> IntervalRecord {
    IntervalRecord {
        end_s: f64::from(second),
        length_s: 1.0,
        warm_up: second == 1,
        ops: ops_per_s as u64,
        ops_per_s,
        errors: 0,
        misses: 0,
        wrong: 0,
        p50_ms: Some(p50),
        p99_ms: Some(p50 * 2.0),
        max_ms: Some(p50 * 12.0),
        pause_ms: 3.0,
    }
}
