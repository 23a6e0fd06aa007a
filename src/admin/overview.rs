//! All that people look at: the gateway, the cluster, the clients, now and within the last hour.
//!
//! Owns what is told and under which names: `/api/status.json` has them, and
//! `docs/schema/status.schema.json` describes them. They are a promise: fields may come, none may go
//! or change its meaning while [`SCHEMA`] stays. The page and the CSV are other forms of it. Must not
//! know how anything is shown. Keys, values, passwords and arguments are in no part of it.

pub mod clients;
pub mod cluster;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::collect::command_counts;
use super::sampler::{Rate, Sample, Sampler};
use super::status::{GatewayStatus, WorkerStatus};
use crate::command::Class;
use crate::memory::{KINDS, Kind};
use crate::metrics::stats::Outcome;
use crate::server::Gateway;
use crate::topology::{DatabaseSize, Event};
use clients::ClientsOverview;
use cluster::ClusterOverview;

/// Grows when a field goes or changes its meaning.
pub(super) const SCHEMA: u32 = 1;
/// Commands that are told by name, those with most requests first.
const COMMANDS_MAX: usize = 20;

/// The whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Overview {
    /// The version of these fields.
    pub schema: u32,
    /// When it was made: milliseconds since 1970.
    pub time_ms: u64,
    /// The process.
    pub gateway: GatewayStatus,
    /// What happened in the last seconds.
    pub now: Sample,
    /// Requests read and not answered yet.
    pub inflight: u64,
    /// Bytes of requests held for a slot without a master.
    pub held_bytes: u64,
    /// Bytes in all buffers that can grow, by kind.
    pub memory: MemoryOverview,
    /// Its worker threads.
    pub workers: Vec<WorkerStatus>,
    /// The nodes.
    pub cluster: ClusterOverview,
    /// The databases other than 0 that have keys.
    pub databases: Vec<DatabaseSize>,
    /// The clients.
    pub clients: ClientsOverview,
    /// By class of commands, what happened in the last seconds.
    pub classes: BTreeMap<String, Rate>,
    /// The commands that were asked most in the last seconds, then since the start.
    pub commands: Vec<CommandOverview>,
    /// What has happened of late, the latest first.
    pub events: Vec<Event>,
    /// The last hour.
    pub hour: Hour,
}

/// Memory of buffers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemoryOverview {
    /// Bytes in use.
    pub used: usize,
    /// Bytes that may be.
    pub max: usize,
    /// Bytes by what they are for.
    pub kinds: BTreeMap<String, usize>,
}

/// One command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommandOverview {
    /// Its name.
    pub name: String,
    /// Requests a second.
    pub requests_per_s: f64,
    /// Errors a second.
    pub errors_per_s: f64,
    /// Requests since the start.
    pub requests: u64,
    /// Errors since the start.
    pub errors: u64,
}

/// Samples in columns, the latest last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hour {
    /// Seconds from one sample to the next.
    pub interval_s: u64,
    /// Requests a second.
    pub requests_per_s: Vec<f64>,
    /// Errors a second.
    pub errors_per_s: Vec<f64>,
    /// Milliseconds; null where nothing was asked.
    pub p50_ms: Vec<Option<f64>>,
    /// Milliseconds; null where nothing was asked.
    pub p99_ms: Vec<Option<f64>>,
    /// Bytes a second from and to clients.
    pub bytes_per_s: Vec<f64>,
    /// Messages a second to subscribers.
    pub messages_per_s: Vec<f64>,
    /// Clients connected.
    pub clients: Vec<usize>,
    /// Bytes in buffers.
    pub memory_bytes: Vec<usize>,
}

impl Overview {
    /// All of it, now.
    pub(super) fn of(gateway: &Gateway, sampler: &Sampler, now: Instant) -> Overview {
        let state = gateway.cluster.topology.state().clone();
        let map = gateway.cluster.topology.map().load_full();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let sum = |figure: fn(&crate::metrics::WorkerStats) -> u64| {
            gateway.workers.iter().map(|worker| figure(&worker.stats)).sum()
        };
        let class = |class: Class| (class.name().to_owned(), sampler.class(class));
        Overview {
            schema: SCHEMA,
            time_ms: since_1970.map_or(0, |past| past.as_millis() as u64),
            gateway: GatewayStatus::of(gateway, now),
            now: sampler.hour().next_back().copied().unwrap_or_default(),
            inflight: sum(|stats| stats.inflight.get()),
            held_bytes: sum(|stats| stats.held_bytes.get()),
            memory: MemoryOverview::of(gateway),
            workers: gateway.workers.iter().map(WorkerStatus::of).collect(),
            cluster: ClusterOverview::of(gateway, (&map, &state), sampler, now),
            databases: state.databases.iter().filter(|size| size.keys > 0).cloned().collect(),
            clients: ClientsOverview::of(gateway),
            classes: Class::ALL.into_iter().map(class).collect(),
            commands: commands(gateway, sampler),
            events: state.events.latest().cloned().collect(),
            hour: Hour::of(sampler),
        }
    }
}

impl MemoryOverview {
    fn of(gateway: &Gateway) -> MemoryOverview {
        let budget = &gateway.budget;
        let kinds = Kind::ALL.into_iter().zip(KINDS);
        MemoryOverview {
            used: budget.used(),
            max: budget.bytes_max(),
            kinds: kinds.map(|(kind, name)| (name.to_owned(), budget.used_by(kind))).collect(),
        }
    }
}

/// Those with most requests, of the last seconds first.
fn commands(gateway: &Gateway, sampler: &Sampler) -> Vec<CommandOverview> {
    let table = gateway.cluster.topology.table().load();
    let counts = command_counts(gateway);
    let used = counts.iter().enumerate().filter(|(_, outcomes)| outcomes.iter().sum::<u64>() > 0);
    let mut commands: Vec<CommandOverview> = used
        .map(|(row, outcomes)| {
            let is_other = row + 1 == counts.len();
            let command =
                u16::try_from(row).ok().filter(|_| !is_other).and_then(|id| table.get(id));
            let rates = sampler.commands().get(row).copied().unwrap_or_default();
            let requests = outcomes.iter().sum();
            CommandOverview {
                name: command.map_or("other".to_owned(), |command| command.name.to_string()),
                requests_per_s: rates.0,
                errors_per_s: rates.1,
                requests,
                errors: requests - outcomes[Outcome::Ok as usize],
            }
        })
        .collect();
    commands.sort_by(|one, other| {
        let by_rate = other.requests_per_s.total_cmp(&one.requests_per_s);
        by_rate.then(other.requests.cmp(&one.requests)).then(one.name.cmp(&other.name))
    });
    commands.truncate(COMMANDS_MAX);
    commands
}

impl Hour {
    fn of(sampler: &Sampler) -> Hour {
        let mut hour = Hour { interval_s: super::UPKEEP_EVERY.as_secs(), ..Hour::default() };
        for sample in sampler.hour() {
            hour.requests_per_s.push(sample.requests_per_s);
            hour.errors_per_s.push(sample.errors_per_s);
            hour.p50_ms.push(sample.p50_ms);
            hour.p99_ms.push(sample.p99_ms);
            hour.bytes_per_s.push(sample.received_per_s + sample.sent_per_s);
            hour.messages_per_s.push(sample.messages_per_s);
            hour.clients.push(sample.clients);
            hour.memory_bytes.push(sample.memory_bytes);
        }
        hour
    }
}

#[cfg(test)]
mod tests;
