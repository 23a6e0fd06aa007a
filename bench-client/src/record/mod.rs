//! The record of a run: everything that its reports are made from, as `summary.json` has it.
//!
//! Owns the fields, of which `bench-client/schema/summary.schema.json` is the public form. A change
//! that breaks readers raises `SCHEMA_VERSION`. `from_sweep` makes a record of what was measured,
//! `warnings` says what to beware of, `file` reads and writes it. Must not know how reports look.

mod figures;
mod file;
mod from_sweep;
mod ratios;
#[cfg(test)]
pub(crate) mod sample;
mod spread;
mod warnings;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::searched::Searched;
use crate::verdict::Verdict;

pub(crate) use figures::LatencyFigures;
pub(crate) use file::{SUMMARY_FILE, json, read};
pub(crate) use from_sweep::{CLUSTER_CLIENT, Made, of_sweep};
pub(crate) use spread::{Group, Spread, groups};

const SCHEMA: &str = "slotway-bench/summary";
const SCHEMA_VERSION: u32 = 2;

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) schema: String,
    pub(crate) schema_version: u32,
    pub(crate) tool: String,
    pub(crate) tool_version: String,
    pub(crate) debug_build: bool,
    pub(crate) run: String,
    pub(crate) started: String,
    pub(crate) started_epoch_s: u64,
    pub(crate) took_s: f64,
    pub(crate) command_line: String,
    pub(crate) verdict: Verdict,
    /// What a reader has to know before the figures, one sentence each, worst first.
    pub(crate) warnings: Vec<String>,
    pub(crate) interrupted: bool,
    pub(crate) options: OptionsRecord,
    pub(crate) client: ClientRecord,
    /// What was measured: one, or those of a comparison in the order they were given.
    pub(crate) targets: Vec<TargetRecord>,
    pub(crate) unmeasured: UnmeasuredRecord,
    pub(crate) phases: Vec<PhaseRecord>,
    /// Of several targets, all but the first by the first.
    #[serde(default)]
    pub(crate) comparison: Vec<RatioRecord>,
}

/// Figures of one target by those of the first, round by round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RatioRecord {
    pub(crate) target: String,
    pub(crate) to: String,
    pub(crate) op: String,
    pub(crate) bytes: u64,
    pub(crate) ops_per_s: Option<Spread>,
    pub(crate) p50: Option<Spread>,
    pub(crate) p99: Option<Spread>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OptionsRecord {
    pub(crate) ops: Vec<String>,
    pub(crate) duration_s: f64,
    pub(crate) warmup_s: f64,
    pub(crate) repeat: usize,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) threads: usize,
    pub(crate) rate_per_s: Option<u64>,
    pub(crate) units: String,
    pub(crate) seed: u64,
    pub(crate) max_error_pct: f64,
    pub(crate) client_id: String,
    pub(crate) keys_kept: bool,
    // What follows is not in records of earlier versions of this program.
    #[serde(default)]
    pub(crate) p99_limit_ms: Option<f64>,
    #[serde(default)]
    pub(crate) replay: Option<ReplayRecord>,
    #[serde(default)]
    pub(crate) mix: Option<String>,
    #[serde(default = "sequential")]
    pub(crate) key_distribution: String,
    #[serde(default = "one")]
    pub(crate) batch: usize,
    #[serde(default = "two")]
    pub(crate) protocol: u8,
}

/// A file of commands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReplayRecord {
    pub(crate) file: String,
    pub(crate) commands: u64,
}

fn one_address() -> String {
    "one address".to_owned()
}

fn sequential() -> String {
    "sequential".to_owned()
}

fn one() -> usize {
    1
}

fn two() -> u8 {
    2
}

/// The machine that the load came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientRecord {
    pub(crate) kernel: Option<String>,
    pub(crate) architecture: String,
    pub(crate) cpu_model: Option<String>,
    pub(crate) cpu_governor: Option<String>,
    pub(crate) cores: usize,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) load_average_at_start: Option<String>,
}

/// Something that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TargetRecord {
    pub(crate) name: String,
    pub(crate) address: String,
    /// `one address`, or `cluster client`: each key to the master that has it.
    #[serde(default = "one_address")]
    pub(crate) client: String,
    pub(crate) peer: Option<String>,
    pub(crate) network_path: Option<String>,
    pub(crate) info_at_start: BTreeMap<String, String>,
    pub(crate) info_at_end: BTreeMap<String, String>,
    pub(crate) no_info_because: Option<String>,
    /// Persistence and eviction, as the target tells.
    pub(crate) settings: BTreeMap<String, String>,
    /// A line for each shard; empty where nobody told.
    pub(crate) topology_at_start: Vec<String>,
    pub(crate) topology_at_end: Vec<String>,
    /// Whether they differ; null where it is not known.
    pub(crate) topology_changed: Option<bool>,
    /// Keys that were evicted in between; null where it is not known.
    pub(crate) evicted_keys: Option<u64>,
}

/// Traffic that is in no figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UnmeasuredRecord {
    pub(crate) keys_filled: u64,
    pub(crate) keys_not_filled: u64,
    pub(crate) keys_not_removed: u64,
    pub(crate) errors: BTreeMap<String, u64>,
}

/// One operation at one size, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PhaseRecord {
    pub(crate) op: String,
    pub(crate) bits: u64,
    pub(crate) bytes: u64,
    /// Which of the targets, by name.
    pub(crate) target: String,
    /// Which repeat, from 1.
    pub(crate) round: usize,
    pub(crate) keys: u64,
    pub(crate) started_epoch_s: f64,
    pub(crate) requests: u64,
    pub(crate) ops: u64,
    pub(crate) errors: u64,
    pub(crate) misses: u64,
    pub(crate) wrong: u64,
    /// Connections that were made anew; in no count of requests.
    pub(crate) reconnects: u64,
    /// Requests that a cluster sent elsewhere; in no count of errors where they were followed.
    pub(crate) redirects: u64,
    pub(crate) elapsed_s: f64,
    pub(crate) ops_per_s: f64,
    pub(crate) megabytes_per_s: f64,
    pub(crate) offered_per_s: Option<f64>,
    pub(crate) achieved_per_s: Option<f64>,
    pub(crate) achieved_pct: Option<f64>,
    /// `open` or `closed`.
    #[serde(rename = "loop")]
    pub(crate) loop_kind: String,
    pub(crate) latency_is: String,
    pub(crate) latency_ms: LatencyFigures,
    pub(crate) service_ms: Option<LatencyFigures>,
    pub(crate) schedule_lag_ms: Option<LatencyFigures>,
    /// Closed loop: the longest time in which nothing was answered, and the 99th percentile that an
    /// open loop would have had, by estimate.
    pub(crate) longest_pause_ms: Option<f64>,
    pub(crate) p99_corrected_ms: Option<f64>,
    /// Of one core, warm-up included.
    pub(crate) client_cpu_pct: Option<f64>,
    pub(crate) client_threads: usize,
    pub(crate) gateway_cpu_pct: Option<f64>,
    /// The search for a rate of which this is the last run.
    #[serde(default)]
    pub(crate) rate_search: Option<Searched>,
    /// The same by the commands of a mix; empty of one command.
    #[serde(default)]
    pub(crate) commands: Vec<CommandRecord>,
    pub(crate) errors_by_text: BTreeMap<String, u64>,
    /// Pairs of a percentile and milliseconds.
    pub(crate) spectrum: Vec<[f64; 2]>,
    pub(crate) timeline: Vec<IntervalRecord>,
}

/// One of the commands of a mix.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CommandRecord {
    pub(crate) command: String,
    pub(crate) requests: u64,
    pub(crate) ops: u64,
    pub(crate) errors: u64,
    pub(crate) misses: u64,
    pub(crate) wrong: u64,
    pub(crate) ops_per_s: f64,
    pub(crate) latency_ms: LatencyFigures,
}

/// A second of a phase, most often.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IntervalRecord {
    /// Its end, from the phase's start.
    pub(crate) end_s: f64,
    pub(crate) length_s: f64,
    pub(crate) warm_up: bool,
    pub(crate) ops: u64,
    pub(crate) ops_per_s: f64,
    pub(crate) errors: u64,
    pub(crate) misses: u64,
    pub(crate) wrong: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// The longest time without a good reply that was seen in it.
    pub(crate) pause_ms: f64,
}

impl PhaseRecord {
    /// Requests that did not do what they should.
    pub(crate) fn bad(&self) -> u64 {
        self.errors + self.misses + self.wrong
    }

    /// Whether requests were sent on a schedule.
    pub(crate) fn is_open_loop(&self) -> bool {
        self.loop_kind == from_sweep::OPEN
    }

    /// How its size is written.
    pub(crate) fn size(&self) -> String {
        crate::size::label_of(self.bytes)
    }

    /// The client's threads' time that was used, in percent of all they had.
    pub(crate) fn client_busy_pct(&self) -> Option<f64> {
        self.client_cpu_pct.map(|percent| percent / self.client_threads.max(1) as f64)
    }
}

impl Record {
    /// Whether requests were sent on a schedule.
    pub(crate) fn is_open_loop(&self) -> bool {
        self.options.rate_per_s.is_some()
            || self.options.p99_limit_ms.is_some()
            || self.phases.iter().any(PhaseRecord::is_open_loop)
    }

    /// Operations in the order in which they first ran.
    pub(crate) fn ops(&self) -> Vec<&str> {
        let mut ops: Vec<&str> = Vec::new();
        for phase in &self.phases {
            if !ops.contains(&phase.op.as_str()) {
                ops.push(&phase.op);
            }
        }
        ops
    }

    /// Sizes in bytes, ascending.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let sizes: std::collections::BTreeSet<u64> =
            self.phases.iter().map(|phase| phase.bytes).collect();
        sizes.into_iter().collect()
    }
}
