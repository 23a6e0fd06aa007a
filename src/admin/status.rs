//! `/api/v1/status`: the gateway, its workers, the cluster and its nodes at one moment.
//!
//! Owns the names of the JSON's fields. They are a promise: fields may come, none may go or change
//! its meaning. The cluster's part is [`ClusterReport`], which `slotway topology --json` prints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

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

#[derive(Debug, Serialize)]
struct GatewayStatus {
    version: &'static str,
    uptime_s: u64,
    /// How many worker threads there are.
    workers: usize,
    /// How many of them clients belong to.
    workers_in_use: usize,
    /// Clients connected.
    clients: usize,
    /// Clients that may be.
    clients_max: usize,
    /// Clients accepted since the start.
    accepted: u64,
    /// Clients refused since the start.
    rejected: u64,
    /// Whether clients should be sent here.
    ready: bool,
    /// Why not; null when they should.
    reason: Option<String>,
    draining: bool,
}

#[derive(Debug, Serialize)]
struct WorkerStatus {
    alive: bool,
    clients: u64,
    /// Time in which it was not waiting for events.
    busy_s: f64,
    /// Since its last sign of life; it gives one every second.
    silence_s: f64,
    /// The latest that a timer fired within the last half minute.
    loop_lag_s: f64,
    /// Commands read and not answered yet.
    inflight: u64,
    /// Bytes of replies that clients have not read.
    buffered_bytes: u64,
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
        let map = gateway.topology.map().load_full();
        let state = gateway.topology.state().clone();
        let mut nodes = BTreeMap::new();
        gateway.registry.for_each(|name, blocks| {
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
    fn of(gateway: &Gateway, now: Instant) -> GatewayStatus {
        let reason = gateway.not_ready();
        let (accepted, rejected) = gateway.clients.totals();
        GatewayStatus {
            version: version::VERSION,
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
    fn of(worker: &crate::worker::Worker) -> WorkerStatus {
        let stats = &worker.stats;
        WorkerStatus {
            alive: worker.is_alive(),
            clients: stats.connections.get(),
            busy_s: seconds_of(stats.busy_us.get()),
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
