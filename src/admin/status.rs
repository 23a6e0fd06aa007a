//! `/api/v1/status`: the gateway, its workers, the cluster and its nodes at one moment.
//!
//! Owns the names of the JSON's fields. They are a promise: fields may come, none may go or change
//! its meaning. The cluster's part is [`ClusterReport`], which `slotway topology --json` prints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::metrics::NodeStats;
use crate::metrics::exposition::seconds_of;
use crate::metrics::stats::NODE_ERRORS;
use crate::server::Gateway;
use crate::topology::ClusterReport;
use crate::version;

/// The whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    gateway: GatewayStatus,
    workers: Vec<WorkerStatus>,
    /// `topology` and `shards`.
    #[serde(flatten)]
    cluster: ClusterReport,
    /// Every node the gateway has talked to, by name; one that has left the map stays.
    nodes: BTreeMap<String, NodeStatus>,
}

/// The process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GatewayStatus {
    /// Of the program.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// How many worker threads there are.
    pub workers: usize,
    /// How many of them clients belong to.
    pub workers_in_use: usize,
    /// Clients connected.
    pub clients: usize,
    /// Clients that may be.
    pub clients_max: usize,
    /// Clients accepted since the start.
    pub accepted: u64,
    /// Clients refused since the start.
    pub rejected: u64,
    /// Whether clients should be sent here.
    pub ready: bool,
    /// Why not; null when they should.
    pub reason: Option<String>,
    /// Whether it is about to stop.
    pub draining: bool,
}

/// One worker thread.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorkerStatus {
    /// Whether it has not ended.
    pub alive: bool,
    /// Its clients.
    pub clients: u64,
    /// Time in which it was not waiting for events.
    pub busy_s: f64,
    /// What it used of its core of late, in percent; more when that went into large replies.
    pub load_percent: u64,
    /// Since its last sign of life; it gives one every second.
    pub silence_s: f64,
    /// The latest that a timer fired within the last half minute.
    pub loop_lag_s: f64,
    /// Commands read and not answered yet.
    pub inflight: u64,
    /// Bytes of replies that clients have not read.
    pub buffered_bytes: u64,
}

#[derive(Debug, Default, Serialize)]
struct NodeStatus {
    /// Requests it has answered.
    requests: u64,
    /// Requests it has not answered yet.
    inflight: u64,
    /// Open connections.
    connections: u64,
    /// Connections made.
    connects: u64,
    /// Failures by kind; only kinds that have happened.
    errors: BTreeMap<&'static str, u64>,
}

impl Status {
    /// The status now.
    pub(super) fn of(gateway: &Gateway, now: Instant) -> Status {
        let map = gateway.cluster.topology.map().load_full();
        let state = gateway.cluster.topology.state().clone();
        let mut nodes = BTreeMap::new();
        gateway.cluster.registry.for_each(|name, blocks| {
            nodes.insert(name.to_owned(), NodeStatus::of(blocks));
        });
        Status {
            gateway: GatewayStatus::of(gateway, now),
            workers: gateway.workers.iter().map(WorkerStatus::of).collect(),
            cluster: ClusterReport::new(&map, &state, now),
            nodes,
        }
    }
}

impl GatewayStatus {
    pub(super) fn of(gateway: &Gateway, now: Instant) -> GatewayStatus {
        let reason = gateway.not_ready();
        let (accepted, rejected) = gateway.clients.totals();
        GatewayStatus {
            version: version::VERSION.to_owned(),
            uptime_s: now.saturating_duration_since(gateway.started).as_secs(),
            workers: gateway.workers.len(),
            workers_in_use: gateway.assigner.in_use(),
            clients: gateway.clients.count(),
            clients_max: gateway.clients.clients_max(),
            accepted,
            rejected,
            ready: reason.is_none(),
            reason,
            draining: gateway.is_draining(),
        }
    }
}

impl WorkerStatus {
    pub(super) fn of(worker: &crate::worker::Worker) -> WorkerStatus {
        let stats = &worker.stats;
        WorkerStatus {
            alive: worker.is_alive(),
            clients: stats.connections.get(),
            busy_s: seconds_of(stats.busy_us.get()),
            load_percent: stats.load_percent.get(),
            silence_s: stats.pulse.silence().as_secs_f64(),
            loop_lag_s: seconds_of(stats.loop_lag_us.get()),
            inflight: stats.inflight.get(),
            buffered_bytes: stats.client_buffered_bytes.get(),
        }
    }
}

impl NodeStatus {
    fn of(blocks: &[Arc<NodeStats>]) -> NodeStatus {
        let mut status = NodeStatus::default();
        for block in blocks {
            status.requests += block.requests.get();
            status.inflight += block.inflight.get();
            status.connections += block.connections.get();
            status.connects += block.connects.get();
            for (kind, count) in NODE_ERRORS.into_iter().zip(&block.errors) {
                if count.get() > 0 {
                    *status.errors.entry(kind).or_default() += count.get();
                }
            }
        }
        status
    }
}
